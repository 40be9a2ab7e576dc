"""Another address: who leaves one is forgotten there; one that was only wished for tells nothing and stops nobody."""

from collections.abc import Collection

import pytest
from sqlalchemy import Connection

from funnel.core.consent import Standing, Suppressed, Suppression
from funnel.core.event import Event, Why
from funnel.flow import correcting, erasing, events, signup
from funnel.flow.correcting import Swap
from funnel.mail.erasing import EraseFault
from funnel.store import events as event_store
from funnel.store import subscribers
from funnel.store.db import writing
from funnel.store.tables import Record, batch, delivery, erasure, event, ledger, subscriber, suppression, tombstone
from tests.flow.test_erasing import Provider, follow
from tests.flow.test_rights import NEW, data, dump, joined, mailed
from tests.world import ALICE, BOB, CHARLIE, World

__all__ = ["joined"]  # a fixture


def move(world: World, to: str = NEW) -> Swap:
    """Alice asks for another address, and presses the button in the mail that goes there."""
    correcting.ask_for_address(world.tools, mailed(world), to, world.clock())
    world.work()
    return correcting.swap(world.tools, world.token(world.mails(to)[-1], "this address"), world.clock()).state


def test_an_address_that_was_left_is_forgotten_by_others_and_its_reader_is_not(joined: World) -> None:
    provider = Provider(EraseFault("answer 500", temporary=True))
    before = dump(joined)
    assert move(joined) == Swap.DONE
    assert (provider.told, len(joined.rows(erasure))) == ([], 1)
    follow(joined, provider)
    assert (provider.told, joined.rows(erasure), joined.rows(tombstone)) == ([ALICE], [], [])
    for kept in (delivery, ledger, event):
        assert before[kept.name] == dump(joined)[kept.name]
    joined.days(40)
    assert len(joined.lessons(NEW)) == len(joined.funnel().patterns["freeze"].lessons) - len(joined.lessons(ALICE))


def test_the_mails_to_an_address_that_was_left_are_taken_out_of_the_outbox(joined: World) -> None:
    assert joined.mails(ALICE)
    move(joined)
    follow(joined)
    assert (joined.mails(ALICE), bool(joined.mails(NEW))) == ([], True)


def test_the_same_address_in_other_letters_is_not_forgotten(joined: World) -> None:
    assert move(joined, ALICE.upper()) == Swap.DONE
    assert joined.rows(erasure) == []


def test_an_address_is_left_once_its_last_mail_is_there(joined: World) -> None:
    provider = Provider()
    move(joined)
    with writing(joined.tools.engine) as connection:
        connection.execute(batch.update().values(state="unknown"))
    for _ in range(3):
        erasing.go_on(joined.tools, provider, joined.clock())
        joined.clock.forward(seconds=30)
    assert provider.told == []
    with writing(joined.tools.engine) as connection:
        connection.execute(batch.update().values(state="accepted"))
    erasing.go_on(joined.tools, provider, joined.clock())
    assert provider.told == [ALICE]


def tell_of_the_newest_mail(world: World, kind: str, why: Why) -> None:
    """What the provider tells of whatever was handed over last."""
    last = world.rows(batch)[-1]
    with writing(world.tools.engine) as connection:
        event_store.add(connection, [(last.id, Event(last.uid, 1, 0, kind, why, world.clock()))], world.clock())
    events.apply(world.tools, world.clock())


def test_what_bounces_late_at_an_address_that_was_left_stops_nobody(joined: World) -> None:
    lesson = next(row for row in joined.rows(batch) if row.kind == "lesson")
    joined.clock.forward(seconds=300)
    assert move(joined) == Swap.DONE
    joined.clock.forward(seconds=300)
    with writing(joined.tools.engine) as connection:
        late = Event(lesson.uid, 1, 0, "bounce", Why.BOUNCED, joined.clock())
        event_store.add(connection, [(lesson.id, late)], joined.clock())
    events.apply(joined.tools, joined.clock())
    assert [row.state for row in joined.rows(subscriber)] == [Standing.ACTIVE]
    assert joined.rows(suppression) == []
    joined.days(2)
    assert joined.lessons(NEW)


def test_confirming_anew_at_the_same_address_excuses_no_bounce_of_what_had_left(joined: World) -> None:
    lesson = next(row for row in joined.rows(batch) if row.kind == "lesson")
    joined.clock.forward(seconds=300)
    joined.sign_up(ALICE)
    joined.work()
    signup.confirm(joined.tools, joined.token(joined.mails(ALICE)[-1], "newest choice"), joined.clock())
    with writing(joined.tools.engine) as connection:
        late = Event(lesson.uid, 1, 0, "bounce", Why.BOUNCED, joined.clock())
        event_store.add(connection, [(lesson.id, late)], joined.clock())
    events.apply(joined.tools, joined.clock())
    assert [row.state for row in joined.rows(subscriber)] == [Standing.SUPPRESSED]


TOLD = [("bounce", Why.BOUNCED, Suppressed.BOUNCED), ("spamreport", Why.COMPLAINT, Suppressed.COMPLAINT)]


@pytest.mark.parametrize("newer", [False, True], ids=["the last wish", "an older wish"])
@pytest.mark.parametrize(("kind", "why", "reason"), TOLD)
def test_what_tells_against_a_mistyped_new_address_tells_nothing_against_the_readers_own(
    joined: World, kind: str, why: Why, reason: Suppressed, newer: bool
) -> None:
    correcting.ask_for_address(joined.tools, token := mailed(joined), NEW, joined.clock())
    joined.work()
    if newer:
        correcting.ask_for_address(joined.tools, token, CHARLIE, joined.clock())
    tell_of_the_newest_mail(joined, kind, why)
    assert [row.state for row in joined.rows(subscriber)] == [Standing.ACTIVE]
    kept = [(row.address_hash, row.reason) for row in joined.rows(suppression)]
    assert kept == [(joined.tools.keyring.address_hashes(NEW)[0], reason)]
    had = len(joined.lessons(ALICE))
    joined.days(2)
    assert len(joined.lessons(ALICE)) > had


def test_what_tells_against_a_new_address_once_it_is_used_stops_its_reader(joined: World) -> None:
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    assert correcting.swap(joined.tools, link, joined.clock()).state == Swap.DONE
    tell_of_the_newest_mail(joined, "spamreport", Why.COMPLAINT)
    assert [row.state for row in joined.rows(subscriber)] == [Standing.SUPPRESSED]


def test_what_tells_against_a_new_address_that_is_somebodys_stops_that_reader_alone(joined: World) -> None:
    joined.join(BOB)
    correcting.ask_for_address(joined.tools, mailed(joined), BOB, joined.clock())
    joined.work()
    tell_of_the_newest_mail(joined, "spamreport", Why.COMPLAINT)
    assert [row.state for row in joined.rows(subscriber)] == [Standing.ACTIVE, Standing.SUPPRESSED]


@pytest.mark.parametrize("known", ["nobody", "active", "complained"])
def test_asking_for_another_address_tells_nothing_of_it(joined: World, known: str) -> None:
    if known == "active":
        joined.join(NEW)
    if known == "complained":
        with writing(joined.tools.engine) as connection:
            hash_ = joined.tools.keyring.address_hashes(NEW)[0]
            subscribers.suppress(connection, hash_, Suppressed.COMPLAINT, joined.clock())
    token = mailed(joined)
    for _ in range(3):
        correcting.ask_for_address(joined.tools, token, NEW, joined.clock())
        joined.work()
    told = data(joined, token)["service_mails"][-1]
    assert {key: told[key] for key in ("kind", "state", "why", "link_works_until", "to_another_address")} == {
        **{"kind": "address", "state": "asked", "why": None, "link_works_until": None, "to_another_address": NEW}
    }
    for _ in range(2):  # how many mails are left does not tell either
        correcting.ask_for_address(joined.tools, token, CHARLIE, joined.clock())
        joined.work()
    assert len(joined.mails(CHARLIE)) == 1


def test_an_address_that_somebody_signs_up_with_this_very_moment_is_taken(
    joined: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    look = subscribers.suppression_of

    def meanwhile(connection: Connection, hashes: Collection[bytes]) -> Suppression | None:
        if connection.dialect.name == "postgresql":  # on SQLite nobody else writes meanwhile
            monkeypatch.setattr(subscribers, "suppression_of", look)
            joined.join(NEW)
        return look(connection, hashes)

    monkeypatch.setattr(subscribers, "suppression_of", meanwhile)
    swapped = correcting.swap(joined.tools, link, joined.clock()).state
    assert swapped == (Swap.TAKEN if joined.tools.engine.dialect.name == "postgresql" else Swap.DONE)
    assert data(joined, mailed(joined, ALICE if swapped == Swap.TAKEN else NEW))["person"]["standing"] == "active"


def test_a_button_pressed_twice_at_once_moves_once_and_both_are_told_so(
    joined: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.work()
    link = joined.token(joined.mails(NEW)[-1], "this address")
    look = subscribers.by_id
    first: list[bool] = []

    def meanwhile(connection: Connection, subscriber_id: int, *, lock: bool = False) -> Record | None:
        if lock and not first and connection.dialect.name == "postgresql":
            first.append(True)
            first.append(correcting.swap(joined.tools, link, joined.clock()).state == Swap.DONE)
        return look(connection, subscriber_id, lock=lock)

    monkeypatch.setattr(subscribers, "by_id", meanwhile)
    assert correcting.swap(joined.tools, link, joined.clock()).state == (Swap.EXPIRED if first else Swap.DONE)
    assert all(first)
    assert len(joined.rows(erasure)) == 1


def test_only_who_presses_the_button_in_the_new_mail_leaves_an_address(joined: World) -> None:
    correcting.ask_for_address(joined.tools, mailed(joined), NEW, joined.clock())
    joined.work()
    assert joined.rows(erasure) == []
