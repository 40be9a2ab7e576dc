"""Whoever the address belongs to, a stranger at the form learns nothing."""

import pytest

from tests.conftest import Clock
from tests.web.conftest import Site, answers_for
from tests.web.everybody import PEOPLE, invite
from tests.web.shape import unstamped


@pytest.fixture
def known(site: Site) -> Site:
    invite(site)
    return site


def replies(site: Site, address: str) -> list[tuple[int, list[tuple[str, str]], str]]:
    """Everything that a stranger sees when signing this address up, but for the address itself and the cookie."""
    visitor = site.other()
    visitor.take_quiz(answers_for(site.funnel, "freeze"))
    signed = visitor.sign_up(address, "Nobody")
    shown = [signed, visitor.land(signed), visitor.client.post(site.at("inbox")), visitor.client.get(site.at("join"))]
    again = visitor.sign_up(address, "Nobody")
    shown += [again, visitor.land(again)]
    site.world.work()
    shown.append(visitor.client.get(site.at("inbox")))
    kept = [[(name, value) for name, value in each.headers.multi_items() if name != "set-cookie"] for each in shown]
    return [
        (each.status_code, headers, unstamped(each.text).replace(address, "ADDRESS"))
        for each, headers in zip(shown, kept, strict=True)
    ]


def test_the_reply_is_the_same_for_every_address(known: Site) -> None:
    seen = {person: replies(known, address) for person, address in PEOPLE.items()}
    for person, found in seen.items():
        assert found == seen["new"], person


def test_the_same_goes_for_an_address_that_is_corrected(known: Site) -> None:
    def corrected(address: str) -> list[str]:
        visitor = known.other()
        visitor.take_quiz(answers_for(known.funnel, "freeze"))
        visitor.sign_up("mistyped@example.org")
        return [unstamped(visitor.land(visitor.sign_up(address)).text).replace(address, "ADDRESS")]

    seen = {person: corrected(address) for person, address in PEOPLE.items()}
    assert {str(found) for found in seen.values()} == {str(seen["new"])}


def test_an_expired_link_offers_a_new_mail_whoever_asks(known: Site, clock: Clock) -> None:
    link = known.link(PEOPLE["pending"], "onfirm")
    clock.forward(hours=73)
    first, second = known.client.post(f"{link}/again"), known.client.post(f"{link}/again")
    assert first.text == second.text
    assert PEOPLE["pending"] not in first.text


def test_who_may_not_be_mailed_is_not_mailed(known: Site) -> None:
    before = {person: len(known.world.mails(address)) for person, address in PEOPLE.items()}
    for address in PEOPLE.values():
        replies(known, address)
    after = {person: len(known.world.mails(address)) for person, address in PEOPLE.items()}
    silent = {person for person in PEOPLE if after[person] == before[person]}
    assert silent == {"suppressed", "complained", "bounced", "mailed often"}


def test_a_stranger_who_signs_a_reader_up_again_changes_nothing_for_them(known: Site) -> None:
    tables = ("subscriber", "enrollment", "delivery", "due", "suppression")
    before = {name: known.dump()[name] for name in tables}
    for person in ("active", "unsubscribed", "deleted", "suppressed"):
        visitor = known.other()
        visitor.take_quiz(answers_for(known.funnel, "fawn"))
        visitor.sign_up(PEOPLE[person], "Mallory")
    assert {name: known.dump()[name] for name in tables} == before
