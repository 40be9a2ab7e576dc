"""The payloads as names, lessons and providers' answers: mails keep their structure, and no answer is repeated."""

from contextlib import closing
from urllib.parse import urlsplit

import orjson
import pytest

from funnel import markdown
from funnel.core.lesson import Field
from funnel.core.sequence import Funnel
from funnel.mail.compile import Template
from funnel.mail.events import read
from funnel.mail.message import to_mime
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.mail.sendgrid_answers import read_answer
from funnel.mail.smtp import Smtp
from tests.conftest import NOON_MS
from tests.fakes.sendgrid import FakeSendGrid
from tests.fakes.smtp import SmtpSink
from tests.fakes.webhook import dump, event
from tests.mail import letters
from tests.mail.letters import Page
from tests.payloads import LINKS, MARKUP, PAYLOADS, WORD

NAME = Field("first_name", "there")
ADDRESSES = [f"reader{number}@example.org" for number in range(len(PAYLOADS))]
# What a provider takes (10,000 bytes), and of it what a name may be: the form takes nothing that does not print.
LETTERS = {address: payload for address, payload in zip(ADDRESSES, PAYLOADS, strict=True) if len(payload) < 500}
NAMES = {address: payload for address, payload in LETTERS.items() if payload.isprintable()}
SAFE_TAGS = {"a", "p", "em", "strong", "ul", "ol", "li", "blockquote", "hr", "br", "code", "pre"}


@pytest.fixture
def greeting() -> Template:
    """A mail with the name in its subject, its text and its HTML."""
    return letters.template(["Dear ", NAME], ["Dear ", NAME, ",\n"], ["<p title='x'>Dear ", NAME, ",</p>"])


def structure(raw: bytes) -> tuple[list[str], list[str], list[tuple[str, list[str]]]]:
    """The names of headers, the types of parts, and the elements of the HTML with their attributes' names."""
    message = letters.read_mime(raw)
    html = message.get_body(("html",))
    assert html is not None
    tags = [(tag, sorted(attributes)) for tag, attributes in Page(html.get_content()).tags]
    return sorted(message.keys()), [part.get_content_type() for part in message.walk()], tags


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_a_name_never_changes_the_structure_of_a_mail(greeting: Template, funnel: Funnel, number: int) -> None:
    plain, hostile = (
        letters.mailing(greeting, funnel, {"alice@example.org": name}) for name in ("Alice", PAYLOADS[number])
    )
    made = to_mime(hostile, next(iter(hostile.recipients)))
    assert structure(made) == structure(to_mime(plain, next(iter(plain.recipients))))
    assert not [line for line in made.split(b"\r\n") if line.startswith(b".") or b"\n" in line or b"\r" in line]
    text = letters.read_mime(made).get_body(("plain",))
    assert text is not None
    assert WORD in text.get_content()


def test_names_reach_the_reader_as_they_are_through_sendgrid(greeting: Template, funnel: Funnel) -> None:
    mail = letters.mailing(greeting, funnel, NAMES)
    with FakeSendGrid("SG.key") as fake, closing(SendGrid("SG.key", fake.url, 1000)) as provider:
        provider.hand_over(mail)
        for one in fake.deliveries():
            assert [(tag, sorted(each)) for tag, each in Page(one.html).tags] == [("p", ["title"])]
            assert NAMES[one.to] in one.text
            assert one.subject == f"Dear {NAMES[one.to]}"


def test_names_reach_the_reader_through_smtp_and_start_no_second_message(greeting: Template, funnel: Funnel) -> None:
    mail = letters.mailing(greeting, funnel, LETTERS)
    with SmtpSink() as sink, closing(Smtp(f"smtp://{sink.host}:{sink.port}", sink.client_context())) as provider:
        provider.hand_over(mail)
        assert [one.rcpt_tos for one in sink.messages] == [[address] for address in LETTERS]


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_a_lesson_becomes_nothing_but_the_markup_of_a_letter(number: int) -> None:
    page = Page(markdown.to_html(PAYLOADS[number][:3_000]))
    assert {tag for tag, _ in page.tags} <= SAFE_TAGS
    for tag, attributes in page.tags:
        assert set(attributes) <= ({"href", "rel"} if tag == "a" else set())
    assert {urlsplit(link).scheme for link in page.links} <= {"http", "https", "mailto"}


@pytest.mark.parametrize("payload", [*MARKUP, *(link for link in LINKS if not link.startswith("!"))])
def test_what_a_payload_says_is_still_there_to_read(payload: str) -> None:
    assert WORD in "".join(Page(markdown.to_html(payload)).seen.values()) + markdown.to_html(payload)


@pytest.mark.parametrize("number", range(len(PAYLOADS)))
def test_nothing_that_a_provider_answers_or_tells_is_repeated(mailing: Mailing, number: int) -> None:
    payload = PAYLOADS[number]
    answer = orjson.dumps({"errors": [{"message": payload, "field": payload, "help": payload}], payload: payload})
    for status in (200, 400, 401, 413, 429, 500):
        for body in (answer, payload.encode()):
            assert WORD not in repr(read_answer(status, {"Retry-After": payload}, body, mailing)).lower()
    told = read(
        dump(event("f" * 32, 0, "bounce", NOON_MS, reason=payload, response=payload, type=payload, email=payload))
    )
    assert WORD not in repr(told).lower()
    for name in ("event", "batch", "position", "timestamp", "status", payload[:50]):
        assert WORD not in repr(read(dump(event("f" * 32, 0, "bounce", NOON_MS) | {name: payload}))).lower()


def test_nothing_that_a_mail_server_replies_is_repeated(greeting: Template, funnel: Funnel) -> None:
    replies = [
        f"550 5.1.1 {WORD} <b>&\x1b[31m",
        f"451 {WORD}",
        f"550 {'A' * 400}{WORD}",
        f"550 5.7.1 {WORD} http://{WORD}.example",
    ]
    people = {f"reader{number}@example.org": "" for number in range(len(replies))}
    with SmtpSink() as sink, closing(Smtp(f"smtp://{sink.host}:{sink.port}", sink.client_context())) as provider:
        for address, reply in zip(people, replies, strict=True):
            sink.refuse(address, reply)
        assert WORD not in repr(provider.hand_over(letters.mailing(greeting, funnel, people)))
