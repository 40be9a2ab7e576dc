"""SendGrid: the request, measured against the official SDK, and what each answer means."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sendgrid.helpers.mail import (
    ClickTracking,
    Content,
    CustomArg,
    From,
    Header,
    Mail,
    OpenTracking,
    Personalization,
    Subject,
    SubscriptionTracking,
    Substitution,
    To,
    TrackingSettings,
)

from funnel.core.delivery import Fate, Report, State
from funnel.core.lesson import Field
from funnel.core.sequence import Funnel
from funnel.mail.compile import Pieces, escape_html
from funnel.mail.provider import Mailing, Recipient
from funnel.mail.sendgrid import LATER_MS, SOON_MS, SendGrid, payload
from tests.conftest import NOON_MS
from tests.fakes.sendgrid import Answer, Drop, FakeSendGrid
from tests.mail import letters

KEY = "SG.a-key-that-stays-here"
NOW_S = NOON_MS // 1000
FOR_NOW = Fate(State.PLANNED, "another address was refused")
REFUSED = Fate(State.FAILED, "address refused")


@pytest.fixture
def fake() -> Iterator[FakeSendGrid]:
    with FakeSendGrid(KEY) as server:
        yield server


@pytest.fixture
def provider(fake: FakeSendGrid) -> Iterator[SendGrid]:
    with closing(SendGrid(KEY, fake.url, 1000)) as made:
        yield made


def by_recipient(request: dict[str, Any]) -> dict[str, Any]:
    """The request with its personalizations by address: their order says nothing."""
    people = {one["to"][0]["email"]: one for one in request["personalizations"]}
    assert len(people) == len(request["personalizations"])
    return {**request, "personalizations": people}


def as_the_sdk_writes_it(mailing: Mailing) -> dict[str, Any]:
    template = mailing.template
    places = {field: place for place, field in enumerate(template.fields)}

    def mark(kind: str, field: Field) -> str:
        return f"[{kind}{template.nonce}.{places[field]}]"

    def marked(kind: str, pieces: Pieces) -> str:
        return "".join(part if isinstance(part, str) else mark(kind, part) for part in pieces.parts)

    def person(place: int, one: Recipient) -> Personalization:
        made = Personalization()
        made.add_to(To(one.address))
        for name, value in {"Message-ID": one.message_id, **one.headers}.items():
            made.add_header(Header(name, value))
        for field in template.fields:
            value = one.values.get(field.name) or field.fallback
            made.add_substitution(Substitution(mark("t", field), value))
            made.add_substitution(Substitution(mark("h", field), escape_html(value)))
        made.add_custom_arg(CustomArg("position", str(place)))
        return made

    mail = Mail(From(mailing.sender_address, mailing.sender_name), subject=Subject(marked("t", template.subject)))
    mail.add_content(Content("text/plain", marked("t", template.text)))
    mail.add_content(Content("text/html", marked("h", template.html)))
    for name, value in mailing.headers.items():
        mail.add_header(Header(name, value))
    mail.add_custom_arg(CustomArg("batch", mailing.uid))
    mail.tracking_settings = TrackingSettings(
        ClickTracking(False, False), OpenTracking(False), SubscriptionTracking(False)
    )
    for place, one in enumerate(mailing.recipients):
        mail.add_personalization(person(place, one))
    written: dict[str, Any] = mail.get()
    return written


def test_the_payload_of_a_lesson_is_what_the_official_sdk_writes(mailing: Mailing) -> None:
    assert by_recipient(payload(mailing)) == by_recipient(as_the_sdk_writes_it(mailing))


def test_the_payload_with_a_name_in_the_subject_is_what_the_official_sdk_writes(funnel: Funnel) -> None:
    name, other = Field("first_name", "there"), Field("first_name", "reader")
    template = letters.template(["For ", name], [other, ": hello.\n"], ["<p>", name, " ", Field("read_url"), "</p>"])
    mailing = letters.mailing(template, funnel)
    assert by_recipient(payload(mailing)) == by_recipient(as_the_sdk_writes_it(mailing))


def test_the_payload_tells_only_the_batch_and_the_place(mailing: Mailing) -> None:
    request = payload(mailing)
    assert request.keys() == {
        "from", "subject", "content", "headers", "custom_args", "tracking_settings", "personalizations"
    }  # fmt: skip
    assert request["custom_args"] == {"batch": letters.UID}
    assert [one["custom_args"] for one in request["personalizations"]] == [{"position": str(n)} for n in range(3)]
    assert {frozenset(one) for one in request["personalizations"]} == {
        frozenset({"to", "headers", "substitutions", "custom_args"})
    }
    assert [one["to"] for one in request["personalizations"]] == [[{"email": address}] for address in letters.PEOPLE]


def test_every_kind_of_tracking_is_off(mailing: Mailing) -> None:
    switches = [value for one in payload(mailing)["tracking_settings"].values() for value in one.values()]
    assert switches == [False] * 4


def test_a_thousand_people_fit_into_one_request(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, funnel: Funnel
) -> None:
    people = {f"p{number}@example.org": letters.HOSTILE for number in range(1000)}
    crowd = letters.mailing(mailing.template, funnel, people)
    assert provider.hand_over(crowd).fate.state == State.ACCEPTED
    got = {one.to: (one.text, one.html) for one in fake.deliveries()}
    assert got == {to: (one.text, one.html) for to, one in letters.expected(crowd).items()}


def test_the_answer_names_the_request_for_later(fake: FakeSendGrid, provider: SendGrid, mailing: Mailing) -> None:
    report = provider.hand_over(mailing)
    assert report == Report(Fate(State.ACCEPTED, reference=fake.deliveries()[0].message_id))


def errors(*fields: str | None) -> dict[str, Any]:
    return {"errors": [{"message": "Does not contain a valid address.", "field": field} for field in fields]}


def limited(**headers: str) -> Answer:
    return Answer(429, headers={name.replace("_", "-"): value for name, value in headers.items()})


def planned(reason: str, retry_ms: int) -> Report:
    return Report(Fate(State.PLANNED, reason, retry_ms=retry_ms))


def held(status: int) -> Report:
    return planned(f"answer {status}", LATER_MS)


def unknown(status: int) -> Report:
    return Report(Fate(State.UNKNOWN, f"answer {status}"))


ANSWERS: list[tuple[str, Answer, Report]] = [
    ("accepted", Answer(202, headers={"X-Message-Id": "abc"}), Report(Fate(State.ACCEPTED, reference="abc"))),
    ("accepted without a name", Answer(202), Report(Fate(State.ACCEPTED))),
    ("accepted with a long name", Answer(202, headers={"X-Message-Id": "a" * 999}),
     Report(Fate(State.ACCEPTED, reference="a" * 200))),
    ("accepted with a page", Answer(202, "<html>"), Report(Fate(State.ACCEPTED))),
    ("limited for 7 s", limited(X_RateLimit_Reset=str(NOW_S + 7)), planned("rate limit", 7000)),
    ("limited until now", limited(X_RateLimit_Reset=str(NOW_S)), planned("rate limit", 1000)),
    ("limited until the past", limited(X_RateLimit_Reset="1"), planned("rate limit", 1000)),
    ("limited for a day", limited(X_RateLimit_Reset=str(NOW_S + 86_400)), planned("rate limit", LATER_MS)),
    ("limited", limited(), planned("rate limit", SOON_MS)),
    ("limited until soon", limited(X_RateLimit_Reset="soon"), planned("rate limit", SOON_MS)),
    ("limited until -1", limited(X_RateLimit_Reset="-1"), planned("rate limit", SOON_MS)),
    ("one address", Answer(400, errors("personalizations.1.to.0.email")), Report(FOR_NOW, {1: REFUSED})),
    ("one person", Answer(400, errors("personalizations.2")), Report(FOR_NOW, {2: REFUSED})),
    ("two addresses", Answer(400, errors("personalizations.0.to.0.email", "personalizations.2.to.0.email")),
     Report(FOR_NOW, {0: REFUSED, 2: REFUSED})),
    ("one address twice", Answer(400, errors("personalizations.1.to", "personalizations.1")),
     Report(FOR_NOW, {1: REFUSED})),
    ("an address and the sender", Answer(400, errors("personalizations.1.to.0.email", "from.email")), held(400)),
    ("an address and who knows what", Answer(400, errors("personalizations.1.to.0.email", None)), held(400)),
    ("all of them", Answer(400, errors("personalizations")), held(400)),
    ("the sender", Answer(400, errors("from.email")), held(400)),
    ("no field", Answer(400, errors(None)), held(400)),
    ("no errors", Answer(400, errors()), held(400)),
    ("an empty object", Answer(400, {}), held(400)),
    ("a list", Answer(400, ["personalizations.1"]), held(400)),
    ("a number", Answer(400, 7), held(400)),
    ("errors as text", Answer(400, {"errors": "personalizations.1"}), held(400)),
    ("errors as numbers", Answer(400, {"errors": [1]}), held(400)),
    ("a page", Answer(400, "<html>personalizations.1</html>"), held(400)),
    ("nothing", Answer(400, ""), held(400)),
    ("half an object", Answer(400, '{"errors": [{'), held(400)),
    ("no key", Answer(401), held(401)),
    ("no right", Answer(403), held(403)),
    ("not there", Answer(404), held(404)),
    ("too large", Answer(413), held(413)),
    ("elsewhere", Answer(307, headers={"Location": "/elsewhere"}), held(307)),
    *((f"fault {status}", Answer(status), unknown(status)) for status in (500, 502, 503, 504)),
    ("a fault that blames someone", Answer(500, errors("personalizations.1.to.0.email")), unknown(500)),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "report"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_each_answer_has_its_meaning(
    fake: FakeSendGrid,
    provider: SendGrid,
    mailing: Mailing,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    report: Report,
) -> None:
    fake.script(answer)
    with caplog.at_level(logging.DEBUG):
        got = provider.hand_over(mailing)
    assert got == report
    assert KEY not in f"{got}{caplog.text}"


@pytest.mark.parametrize("when", ["before", "after"])
def test_no_answer_may_mean_anything(fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, when: Any) -> None:
    fake.script(Drop(when))
    assert provider.hand_over(mailing) == Report(Fate(State.UNKNOWN, "no answer"))
    assert len(fake.requests) == (when == "after")
    assert provider.hand_over(mailing).fate.state == State.ACCEPTED


def test_an_answer_that_is_not_http_may_mean_anything(mailing: Mailing) -> None:
    def talk() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk)
        thread.start()
        with closing(SendGrid(KEY, f"http://127.0.0.1:{server.getsockname()[1]}", 1000)) as provider:
            report = provider.hand_over(mailing)
        thread.join()
    assert report == Report(Fate(State.UNKNOWN, "no answer"))


def test_a_wrong_key_holds_the_mail_and_is_not_told(fake: FakeSendGrid, mailing: Mailing) -> None:
    with closing(SendGrid("SG.wrong", fake.url, 1000)) as provider:
        report = provider.hand_over(mailing)
    assert report == held(401)
    assert fake.requests == []


def test_a_refused_address_is_ejected_and_the_others_then_get_their_mail(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, funnel: Funnel
) -> None:
    people = {"alice@example.org": "Alice", "bob@nowhere": "Bob", "charlie@example.org": ""}
    report = provider.hand_over(letters.mailing(mailing.template, funnel, people))
    assert report == Report(FOR_NOW, {1: REFUSED})
    del people["bob@nowhere"]
    assert provider.hand_over(letters.mailing(mailing.template, funnel, people)).fate.state == State.ACCEPTED
    assert [one.to for one in fake.deliveries()] == list(people)


def test_one_connection_carries_many_batches(fake: FakeSendGrid, provider: SendGrid, mailing: Mailing) -> None:
    fake.script(Answer(429), Answer(400), Answer(500))
    for _ in range(6):
        provider.hand_over(mailing)
    assert (fake.connections, len(fake.requests)) == (1, 3)
