"""SendGrid: what each answer means for a batch and for the provider's health."""

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from funnel.core.delivery import Fate, Health, Report, State
from funnel.core.sequence import Funnel
from funnel.mail.provider import Mailing
from funnel.mail.sendgrid import SendGrid
from funnel.mail.sendgrid_answers import LATER_MS, NO_ANSWER, SOON_MS
from tests.conftest import NOON_MS
from tests.fakes.sendgrid import Answer, Drop, FakeSendGrid, Half, Reset, TakeThen
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


def busy(retry_ms: int) -> Report:
    return Report(Fate(State.PLANNED, "rate limit", retry_ms=retry_ms), health=Health.BUSY)


def held(status: int, health: Health = Health.FINE) -> Report:
    return Report(Fate(State.PLANNED, f"answer {status}", retry_ms=LATER_MS), health=health)


def unknown(status: int) -> Report:
    return Report(Fate(State.UNKNOWN, f"answer {status}"), health=Health.FAILING)


def named(reference: str) -> Answer:
    return Answer(202, headers={"X-Message-Id": reference})


def accepted(reference: str = "") -> Report:
    return Report(Fate(State.ACCEPTED, reference=reference))


ADDRESS_1 = "personalizations.1.to.0.email"
ANSWERS: list[tuple[str, Answer, Report]] = [
    ("accepted", named("abc"), accepted("abc")),
    ("accepted without a name", Answer(202), accepted()),
    ("accepted with a name that just fits", named("a" * 200), accepted("a" * 200)),
    ("accepted with a name that is too long", named("a" * 201), accepted()),
    ("accepted with a name that is none", named("a b"), accepted()),
    ("accepted with an odd name", named("\xe4"), accepted()),
    ("accepted with a page", Answer(202, "<html>"), accepted()),
    ("sandbox", Answer(200), unknown(200)),
    ("created", Answer(201), unknown(201)),
    ("limited for 7 s", limited(X_RateLimit_Reset=str(NOW_S + 7)), busy(7000)),
    ("limited until now", limited(X_RateLimit_Reset=str(NOW_S)), busy(1000)),
    ("limited until the past", limited(X_RateLimit_Reset="1"), busy(1000)),
    ("limited for a day", limited(X_RateLimit_Reset=str(NOW_S + 86_400)), busy(LATER_MS)),
    ("limited", limited(), busy(SOON_MS)),
    ("limited until soon", limited(X_RateLimit_Reset="soon"), busy(SOON_MS)),
    ("limited until -1", limited(X_RateLimit_Reset="-1"), busy(SOON_MS)),
    ("limited for ever", limited(X_RateLimit_Reset="9" * 13), busy(SOON_MS)),
    ("one address", Answer(400, errors(ADDRESS_1)), Report(FOR_NOW, {1: REFUSED})),
    ("one person", Answer(400, errors("personalizations.2")), Report(FOR_NOW, {2: REFUSED})),
    ("two addresses", Answer(400, errors("personalizations.0.to.0.email", "personalizations.2.to.0.email")),
     Report(FOR_NOW, {0: REFUSED, 2: REFUSED})),
    ("one address twice", Answer(400, errors("personalizations.1.to", "personalizations.1")),
     Report(FOR_NOW, {1: REFUSED})),
    ("an address and the sender", Answer(400, errors(ADDRESS_1, "from.email")), held(400)),
    ("an address and who knows what", Answer(400, errors(ADDRESS_1, None)), held(400)),
    ("someone who is not there", Answer(400, errors("personalizations.3.to.0.email")), held(400)),
    ("one's headers", Answer(400, errors("personalizations.1.headers")), held(400)),
    ("one's substitutions", Answer(400, errors("personalizations.1.substitutions")), held(400)),
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
    *((f"refused {status}", Answer(status), held(status, Health.REFUSING))
      for status in (401, 403, 404, 405, 406, 415)),
    *((f"elsewhere {status}", Answer(status, headers={"Location": "/elsewhere"}), held(status, Health.REFUSING))
      for status in (301, 302, 307, 308)),
    ("too large", Answer(413), Report(Fate(State.PLANNED, "too large"), split=True)),
    ("too large, says a page", Answer(413, "<html>"), Report(Fate(State.PLANNED, "too large"), split=True)),
    *((f"fault {status}", Answer(status), unknown(status)) for status in (408, 409, 418, 500, 501, 502, 503, 504)),
    ("a fault that blames someone", Answer(500, errors(ADDRESS_1)), unknown(500)),
    ("endless", Answer(202, "a" * 600_000), NO_ANSWER),
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
    assert "example.org" not in f"{got}{caplog.text}"


@pytest.mark.parametrize(
    ("fault", "taken"),
    [
        (Drop("before"), False),
        (Drop("after"), True),
        (Reset(), False),
        (Reset(5_000), False),
        (Half("status"), True),
        (Half("status", taken=False), False),
        (Half("headers"), True),
        (Half("headers", taken=False), False),
        (Half("body"), True),
        (Half("body", taken=False), False),
    ],
    ids=str,
)
def test_an_answer_that_breaks_off_may_mean_anything(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, fault: Any, taken: bool
) -> None:
    assert provider.hand_over(mailing).fate.state == State.ACCEPTED
    fake.script(fault)
    assert provider.hand_over(mailing) == NO_ANSWER
    assert len(fake.requests) == 1 + taken
    assert provider.hand_over(mailing).fate.state == State.ACCEPTED


def test_a_fault_after_the_mail_was_taken_may_mean_anything(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing
) -> None:
    fake.script(TakeThen(Answer(503)))
    assert provider.hand_over(mailing) == unknown(503)
    assert len(fake.requests) == 1


def test_a_single_mail_that_is_too_large_is_never_sent(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing
) -> None:
    fake.script(Answer(413))
    report = provider.hand_over(replace(mailing, recipients=mailing.recipients[:1]))
    assert report == Report(Fate(State.FAILED, "too large"))


def test_a_wrong_key_holds_the_mail_and_is_not_told(fake: FakeSendGrid, mailing: Mailing) -> None:
    with closing(SendGrid("SG.wrong", fake.url, 1000)) as provider:
        report = provider.hand_over(mailing)
    assert report == held(401, Health.REFUSING)
    assert fake.requests == []


@pytest.mark.parametrize("key", ["SG.a\r\nX: y", "SG.ä", "SG.a\n"])
def test_what_cannot_be_a_key_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ValueError) as refusal:
        SendGrid(key, "http://127.0.0.1:1", 1000)
    assert "SG." not in str(refusal.value)


def test_a_refused_address_is_ejected_and_the_others_then_get_their_mail(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, funnel: Funnel
) -> None:
    people = {"alice@example.org": "Alice", "bob@nowhere": "Bob", "charlie@example.org": ""}
    report = provider.hand_over(letters.mailing(mailing.template, funnel, people))
    assert report == Report(FOR_NOW, {1: REFUSED})
    del people["bob@nowhere"]
    assert provider.hand_over(letters.mailing(mailing.template, funnel, people)).fate.state == State.ACCEPTED
    assert [one.to for one in fake.deliveries()] == list(people)


def test_a_thousand_refused_addresses_are_all_named(
    fake: FakeSendGrid, provider: SendGrid, mailing: Mailing, funnel: Funnel
) -> None:
    crowd = letters.mailing(mailing.template, funnel, {f"p{number}@nowhere": "" for number in range(1000)})
    assert provider.hand_over(crowd) == Report(FOR_NOW, dict.fromkeys(range(1000), REFUSED))
