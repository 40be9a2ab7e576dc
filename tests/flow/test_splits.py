"""Who gets a batch of their own keeps what was known, and what was in doubt, about the attempts that they were in."""

import dataclasses
from collections.abc import Mapping

import pytest

from funnel.core.delivery import ACCEPTED, Fate, Report, State, Unknowns
from funnel.core.event import Event, Why
from funnel.core.pace import Unpaced
from funnel.flow import events as told
from funnel.flow import leaving, sweep
from funnel.flow.holding import Breaker
from funnel.flow.start import Started
from funnel.flow.tools import Tools
from funnel.store import events
from funnel.store.db import writing
from funnel.store.tables import Record, batch, delivery, due
from tests.flow.test_ledger import scans, statements
from tests.world import ALICE, BOB, World

__all__ = ["statements"]  # the fixture

LOST = Report(Fate(State.UNKNOWN, "no answer"))
LATER = Fate(State.PLANNED, "refused for now (450)", retry_ms=1000)


class Domain(Unpaced):
    """A mail server that takes so many recipients at a time."""

    room = 2

    def take_domains(self, wanted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        return dict.fromkeys(wanted, (self.room, 60_000))


def smtp(world: World, monkeypatch: pytest.MonkeyPatch, policy: str) -> None:
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.POLICY, breaker=Breaker("smtp"))
    declared = dataclasses.replace(world.funnel(), unknown=policy)
    monkeypatch.setattr(Tools, "funnel", lambda *_: declared)


def sendgrid(world: World) -> Domain:
    domain = Domain()
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.EVIDENCE, breaker=Breaker("sendgrid"), pace=domain)
    return domain


def lessons(world: World) -> list[Record]:
    return [row for row in world.rows(batch) if row.kind == "lesson"]


def place(started: Started, address: str) -> int:
    return addresses(started).index(address)


def addresses(started: Started) -> list[str]:
    return [to.address for to in started.mailing.recipients]


def doubt_then_split(world: World) -> Started:
    """Alice and Bob: no answer to the first attempt; to the second, Bob's server says "later". Returns Bob's third."""
    world.join_all(ALICE, BOB)
    world.settle(world.start_all()[0], LOST)
    second = world.start_all()[0]
    assert world.settle(second, Report(ACCEPTED, {place(second, BOB): LATER}))
    world.clock.forward(hours=1)
    third = world.start_all()[0]
    assert addresses(third) == [BOB]
    return third


def test_after_a_second_doubt_whoever_was_split_off_in_between_gets_nothing_a_third_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp(world, monkeypatch, "resend")
    third = doubt_then_split(world)
    world.settle(third, LOST)
    sweep.sweep(world.tools, world.clock())
    assert [row.state for row in lessons(world)] == [State.ACCEPTED, State.UNKNOWN]


def test_who_leaves_after_a_doubt_and_a_split_and_comes_back_does_not_get_the_lesson_under_another_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp(world, monkeypatch, "resend")
    third = doubt_then_split(world)
    world.settle(third, Report(LATER))
    world.clock.forward(hours=1)
    bob = next(row for row in world.rows(delivery) if row.batch_id == third.batch.id)
    leaving.unsubscribe(world.tools, bob.id, world.clock())
    assert world.start_all() == []
    leaving.undo_unsubscribe(world.tools, bob.id, world.clock())
    for _ in range(30):
        world.clock.forward(hours=1)
        for started in world.start_all():
            assert BOB not in addresses(started) or started.batch.lesson_id != bob.lesson_id
            world.settle(started, Report(ACCEPTED))


def split_by_pace(world: World, domain: Domain) -> tuple[Started, str]:
    """No answer to the first attempt, a person resends, and one of the two has to wait. Returns the first attempt,
    and who waits.
    """
    world.join_all(ALICE, BOB)
    first = world.start_all()[0]
    world.settle(first, LOST)
    assert sweep.resend(world.tools, first.batch.uid, world.clock())
    domain.room = 1
    second = world.start_all()[0]
    world.settle(second, Report(ACCEPTED))
    (waits,) = set(addresses(first)) - set(addresses(second))
    return first, waits


def hear(world: World, first: Started, address: str, kind: str, why: Why = Why.NONE, attempt: int = 1) -> None:
    """The webhook tells something of a recipient of this batch, as it was then."""
    told_of = Event(first.batch.uid, attempt, place(first, address), kind, why, world.clock())
    with writing(world.tools.engine) as connection:
        events.add(connection, [(first.batch.id, told_of)], world.clock())
    told.apply(world.tools, world.clock())


def test_late_evidence_of_the_first_attempt_reaches_who_was_split_off_since(world: World) -> None:
    first, waits = split_by_pace(world, sendgrid(world))
    hear(world, first, waits, "delivered")
    world.clock.forward(hours=0.1)
    assert world.start_all() == []
    assert {row.state for row in lessons(world)} == {State.ACCEPTED}
    assert [row.state for row in world.rows(delivery)].count(State.DELIVERED) == 1
    assert len(world.rows(due)) == 2  # both courses go on


def test_late_evidence_of_somebody_elses_first_attempt_is_about_who_was_in_it_too(world: World) -> None:
    first, waits = split_by_pace(world, sendgrid(world))
    hear(world, first, next(address for address in addresses(first) if address != waits), "delivered")
    world.clock.forward(hours=0.1)
    assert world.start_all() == []
    assert {row.state for row in lessons(world)} == {State.ACCEPTED}


def test_who_withdraws_meanwhile_is_in_no_batch_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    smtp(world, monkeypatch, "hold")
    world.join_all(ALICE, BOB)
    begun = world.start_all()[0]
    number = place(begun, BOB)
    assert leaving.withdraw(world.tools, begun.rows[number].id, world.clock())
    assert world.settle(begun, Report(ACCEPTED, {number: LATER}))
    assert [row.batch_id for row in world.rows(delivery) if row.id == begun.rows[number].id] == [None]


def test_who_was_split_off_is_found_by_key_however_much_has_been_told(
    world: World, statements: list[tuple[str, object]]
) -> None:
    first, waits = split_by_pace(world, sendgrid(world))
    hear(world, first, waits, "delivered")
    if world.tools.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole, and rightly so")
    asked = {
        statement: given
        for statement, given in statements
        if "split_from" in statement and statement.startswith(("SELECT", "WITH"))
    }
    assert any(statement.startswith("WITH RECURSIVE") for statement in asked)
    assert [line for statement, given in asked.items() for line in scans(world.tools.engine, statement, given)] == []


def test_a_bounce_of_the_first_attempt_stops_who_was_split_off_twice_since(world: World) -> None:
    domain = sendgrid(world)
    first, waits = split_by_pace(world, domain)
    domain.room = 0
    world.clock.forward(hours=0.1)
    assert world.start_all() == []
    assert len(lessons(world)) == 3
    hear(world, first, waits, "bounce", Why.BOUNCED)
    domain.room = 2
    world.clock.forward(hours=0.1)
    assert world.start_all() == []
    assert [row.state for row in world.rows(delivery)].count(State.BOUNCED) == 1


def test_what_is_told_of_the_attempt_that_left_them_out_proves_nothing_about_them(world: World) -> None:
    first, waits = split_by_pace(world, sendgrid(world))
    hear(world, first, waits, "processed", attempt=2)
    world.clock.forward(hours=0.1)
    (again,) = world.start_all()
    assert addresses(again) == [waits]


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_an_acceptance_that_comes_after_its_lease_counts_for_those_it_names(
    world: World, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    smtp(world, monkeypatch, policy)
    world.join_all(ALICE, BOB)
    begun = world.start_all()[0]
    world.clock.forward(seconds=20)
    sweep.sweep(world.tools, world.clock())
    assert world.settle(begun, Report(ACCEPTED, {place(begun, BOB): LATER}))
    assert len(world.rows(due)) == 1  # Alice's course goes on
    again = world.start_all()
    assert [addresses(each) for each in again] == ([[BOB]] if policy == "resend" else [])
    assert [row.state for row in lessons(world)] == [State.ACCEPTED, State.STARTED if again else State.UNKNOWN]


def test_a_partial_acceptance_that_comes_after_the_next_attempt_began_leaves_it_to_that(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    smtp(world, monkeypatch, "resend")
    world.join_all(ALICE, BOB)
    slow = world.start_all("slow")[0]
    world.clock.forward(seconds=20)
    (quick,) = world.start_all("quick")
    assert not world.settle(slow, Report(ACCEPTED, {place(slow, BOB): LATER}))
    assert world.settle(quick, Report(ACCEPTED))
    assert [row.state for row in lessons(world)] == [State.ACCEPTED]
