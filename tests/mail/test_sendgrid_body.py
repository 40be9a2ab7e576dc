"""The request that SendGrid gets, measured against the official SDK and against a plain dictionary."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
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

from funnel.core.lesson import Field
from funnel.core.sequence import Funnel
from funnel.mail.compile import Pieces, escape_html
from funnel.mail.message import one_line
from funnel.mail.provider import Mailing, Recipient
from funnel.mail.sendgrid_body import request_body
from tests import payloads
from tests.conftest import NOON_MS
from tests.mail import letters

NAME, OTHER, LINK = Field("first_name", "there"), Field("first_name", "reader"), Field("read_url")
TEXT = st.text(st.characters(codec=None))  # half surrogate pairs, control characters and all
ODD = TEXT | st.sampled_from([letters.HOSTILE, "\x7f", "a\x7fb", '","', '",', "\\", "\\u007f", "\ud83d", "Zoë", "😀"])
HEADERS = st.dictionaries(st.sampled_from(["List-Unsubscribe", "X-One", 'X-"Two"']), ODD)


def request_of(mailing: Mailing) -> dict[str, Any]:
    return dict(json.loads(request_body(mailing)))


def by_recipient(request: dict[str, Any]) -> dict[str, Any]:
    """The request with its personalizations by address: the SDK reverses their order."""
    people = {one["to"][0]["email"]: one for one in request["personalizations"]}
    assert len(people) == len(request["personalizations"])
    return {**request, "personalizations": people}


def marks_of(mailing: Mailing, kind: str, *pieces: Pieces) -> dict[Field, str]:
    template = mailing.template
    places = {field: place for place, field in enumerate(template.fields)}
    used = [part for one in pieces for part in one.parts if isinstance(part, Field)]
    return {field: f"[{kind}{template.nonce}.{places[field]}]" for field in used}


def marked(pieces: Pieces, marks: dict[Field, str]) -> str:
    return "".join(part if isinstance(part, str) else marks[part] for part in pieces.parts)


def in_a_header(value: str, broken: bool) -> str:
    return one_line(value) if broken else value


def headers_of(one: Recipient) -> dict[str, str]:
    found = {"Message-ID": one.message_id, **one.headers}
    return {name: in_a_header(value, "\n" in value or "\r" in value) for name, value in found.items()}


def substitutions(mailing: Mailing, one: Recipient) -> dict[str, str]:
    template = mailing.template
    texts, htmls = marks_of(mailing, "t", template.subject, template.text), marks_of(mailing, "h", template.html)
    values = {field: one.values.get(field.name) or field.fallback for field in (*texts, *htmls)}
    values |= {
        field: in_a_header(values[field], not values[field].isprintable())
        for field in marks_of(mailing, "t", template.subject)
    }
    plain = {mark: values[field] for field, mark in texts.items()}
    return plain | {mark: escape_html(values[field]) for field, mark in htmls.items()}


def as_the_sdk_writes_it(mailing: Mailing) -> dict[str, Any]:
    template = mailing.template
    texts, htmls = marks_of(mailing, "t", template.subject, template.text), marks_of(mailing, "h", template.html)

    def person(one: Recipient) -> Personalization:
        made = Personalization()
        made.add_to(To(one.address))
        for name, value in headers_of(one).items():
            made.add_header(Header(name, value))
        for mark, value in substitutions(mailing, one).items():
            made.add_substitution(Substitution(mark, value))
        made.add_custom_arg(CustomArg("position", str(one.place)))
        return made

    mail = Mail(From(mailing.sender_address, mailing.sender_name), subject=Subject(marked(template.subject, texts)))
    mail.add_content(Content("text/plain", marked(template.text, texts)))
    mail.add_content(Content("text/html", marked(template.html, htmls)))
    for name, value in mailing.headers.items():
        mail.add_header(Header(name, value))
    mail.add_custom_arg(CustomArg("batch", f"{mailing.uid}.{mailing.attempt}"))
    mail.tracking_settings = TrackingSettings(
        ClickTracking(False, False), OpenTracking(False), SubscriptionTracking(False)
    )
    for one in mailing.recipients:
        mail.add_personalization(person(one))
    written: dict[str, Any] = mail.get()
    return written


def as_a_plain_dictionary(mailing: Mailing) -> dict[str, Any]:
    template = mailing.template
    texts, htmls = marks_of(mailing, "t", template.subject, template.text), marks_of(mailing, "h", template.html)
    return {
        "from": {"email": mailing.sender_address, "name": mailing.sender_name},
        "subject": one_line(marked(template.subject, texts)),
        "content": [
            {"type": "text/plain", "value": marked(template.text, texts)},
            {"type": "text/html", "value": marked(template.html, htmls)},
        ],
        "headers": dict(mailing.headers),
        "custom_args": {"batch": f"{mailing.uid}.{mailing.attempt}"},
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
        "personalizations": [
            {
                "to": [{"email": one.address}],
                "headers": headers_of(one),
                "custom_args": {"position": str(one.place)},
                **({"substitutions": found} if (found := substitutions(mailing, one)) else {}),
            }
            for one in mailing.recipients
        ],
    }


def placed(mailing: Mailing) -> Mailing:
    """The mailing as a third attempt, with places that are no indexes: someone was ejected before."""
    people = tuple(one._replace(place=7 * index + 2) for index, one in enumerate(mailing.recipients))
    return replace(mailing, recipients=people, attempt=3)


def test_the_request_for_a_lesson_is_what_the_official_sdk_writes(mailing: Mailing) -> None:
    mail = placed(mailing)
    assert by_recipient(request_of(mail)) == by_recipient(as_the_sdk_writes_it(mail))


def test_the_request_with_a_name_in_the_subject_is_what_the_official_sdk_writes(funnel: Funnel) -> None:
    template = letters.template(["For ", NAME], [OTHER, ": hello.\n"], ["<p>", NAME, " ", LINK, "</p>"])
    mail = placed(letters.mailing(template, funnel))
    assert by_recipient(request_of(mail)) == by_recipient(as_the_sdk_writes_it(mail))


def test_a_mail_without_a_field_is_what_the_official_sdk_writes(funnel: Funnel) -> None:
    mail = letters.mailing(letters.template(["Hello"], ["Hello.\n"], ["<p>Hello.</p>"]), funnel)
    assert by_recipient(request_of(mail)) == by_recipient(as_the_sdk_writes_it(mail))


@given(
    st.lists(st.builds(Recipient, ODD, ODD, ODD, st.dictionaries(st.sampled_from(["first_name", "read_url"]), ODD),
                       HEADERS, st.integers(0, 999)), min_size=1, max_size=8),
    st.lists(st.sampled_from([NAME, OTHER, LINK, 'Dear "', "\n"]), max_size=4),
    st.sampled_from([(), (NAME,), (OTHER, LINK)]),
)  # fmt: skip
def test_no_name_address_or_header_breaks_the_request(
    people: list[Recipient], parts: list[str | Field], named: tuple[Field, ...]
) -> None:
    template = letters.template(["A note", *named], parts, [*reversed(parts), "."])
    alike = tuple(
        one._replace(headers={name: one.headers.get(name, "") for name in people[0].headers}) for one in people
    )
    mail = Mailing(letters.UID, template, 'The "House"', "house@example.org", {"X-Z": "ü"}, alike, NOON_MS)
    assert request_of(mail) == as_a_plain_dictionary(mail)


@pytest.mark.parametrize("payload", [*payloads.HEADERS, *payloads.LINES], ids=repr)
def test_no_value_adds_a_line_to_a_subject_or_a_header(payload: str, funnel: Funnel) -> None:
    template = letters.template(["For ", NAME], ["Hello ", OTHER], ["<p>", NAME, "</p>"])
    mail = letters.mailing(template, funnel, {"alice@example.org": payload, "bob@example.org": "Bob"})
    alice, bob = mail.recipients
    alice = alice._replace(headers=dict.fromkeys(alice.headers, payload), message_id=payload)
    request = request_of(replace(mail, recipients=(alice, bob)))
    hers, his = request["personalizations"]
    mark = next(iter(marks_of(mail, "t", template.subject).values()))
    assert hers["substitutions"][mark].isprintable()
    for value in (hers["substitutions"][mark], *hers["headers"].values()):
        assert payloads.WORD in value
        assert not {"\r", "\n"} & set(value)
    assert his["substitutions"][mark] == "Bob"
    assert his["headers"] == {"Message-ID": bob.message_id, **bob.headers}


def test_recipients_with_different_headers_are_not_one_mailing(mailing: Mailing) -> None:
    first, *others = mailing.recipients
    with pytest.raises(ValueError, match="same headers"):
        request_body(replace(mailing, recipients=(first._replace(headers={}), *others)))


def test_a_name_with_the_character_that_parts_names_stays_with_its_reader(funnel: Funnel) -> None:
    people = {"alice@example.org": "<Al\x7fice>", "bob@example.org": letters.HOSTILE, "charlie@example.org": "Ch\x7f"}
    mail = letters.mailing(letters.template(["A note"], [NAME, LINK], [NAME, LINK]), funnel, people)
    assert request_of(mail) == as_a_plain_dictionary(mail)


def test_the_request_tells_only_the_batch_its_attempt_and_the_place(mailing: Mailing) -> None:
    request = request_of(placed(mailing))
    assert request.keys() == {
        "from", "subject", "content", "headers", "custom_args", "tracking_settings", "personalizations"
    }  # fmt: skip
    assert request["custom_args"] == {"batch": f"{letters.UID}.3"}
    assert [one["custom_args"] for one in request["personalizations"]] == [{"position": n} for n in ("2", "9", "16")]
    assert {frozenset(one) for one in request["personalizations"]} == {
        frozenset({"to", "headers", "substitutions", "custom_args"})
    }
    assert [one["to"] for one in request["personalizations"]] == [[{"email": address}] for address in letters.PEOPLE]


def test_every_kind_of_tracking_is_off(mailing: Mailing) -> None:
    switches = [value for one in request_of(mailing)["tracking_settings"].values() for value in one.values()]
    assert switches == [False] * 4
