"""What may have been handed over is settled by evidence, then by a declared policy, and never sent again blindly."""

import dataclasses
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.event import listen, remove

from funnel.core.delivery import ACCEPTED, Cause, Fate, Report, State, Unknowns, bit
from funnel.core.event import Event, Why
from funnel.core.sequence import Funnel
from funnel.flow import plan, settle, sweep
from funnel.flow.holding import Breaker
from funnel.flow.start import Started
from funnel.flow.tools import Tools
from funnel.store import batches, events
from funnel.store.db import reading, writing
from funnel.store.tables import Record, batch, delivery, due, enrollment
from tests.flow.test_course import subjects
from tests.world import ALICE, BOB, CHARLIE, World

LOST = Report(Fate(State.UNKNOWN, "no answer"))


@pytest.fixture
def world(world: World) -> World:
    """With a provider that tells later what it has accepted."""
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.EVIDENCE, breaker=Breaker("sendgrid"))
    return world


def lessons(world: World) -> list[Record]:
    return [row for row in world.rows(batch) if row.kind == "lesson"]


def lose(world: World, address: str) -> Started:
    """A reader joins; their first lesson is handed over, and nobody hears the answer."""
    world.join(address)
    started = world.start_all()[0]
    world.settle(started, LOST)
    return started


def hear_of(world: World, row: Record, attempt: int = 1) -> None:
    """The webhook tells that an attempt of this batch was accepted."""
    with writing(world.tools.engine) as connection:
        settle.prove(connection, world.tools, {row.id: bit(attempt)}, world.clock())
        connection.execute(update(batch).where(batch.c.id == row.id).values(seen_ms=world.clock()))


def surround(world: World) -> Started:
    """Alice's batch is lost; the webhook tells of all that was sent before it and after it, to Bob and to Charlie."""
    world.join(BOB)
    world.work()
    world.clock.forward(seconds=5)
    lost = lose(world, ALICE)
    world.clock.forward(seconds=5)
    world.join(CHARLIE)
    world.work()
    for row in neighbors(world, lost):
        hear_of(world, row)
    return lost


def neighbors(world: World, lost: Started) -> list[Record]:
    """Every other batch that was handed over, notices too, in the order of their start."""
    rows = [row for row in world.rows(batch) if row.id != lost.batch.id and row.started_ms]
    return sorted(rows, key=lambda row: (row.started_ms, row.id))


def nearest(world: World, lost: Started) -> tuple[Record, Record]:
    """The last batch before the lost one, and the first after it."""
    rows = neighbors(world, lost)
    own = (lost.batch.started_ms, lost.batch.id)
    earlier = [row for row in rows if (row.started_ms, row.id) < own]
    return earlier[-1], rows[len(earlier)]


def change(world: World, row: Record, **values: object) -> None:
    with writing(world.tools.engine) as connection:
        connection.execute(update(batch).where(batch.c.id == row.id).values(values))


def state_of(world: World, started: Started) -> str:
    return next(str(row.state) for row in world.rows(batch) if row.id == started.batch.id)


def test_silence_of_a_healthy_webhook_sends_the_same_messages_once_more(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=5.9)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.UNKNOWN
    world.clock.forward(hours=0.2)
    again = next(each for each in world.start_all() if each.batch.id == lost.batch.id)
    assert again.mailing.uid == lost.mailing.uid
    assert again.mailing.attempt == 2
    assert [to.message_id for to in again.mailing.recipients] == [to.message_id for to in lost.mailing.recipients]


def test_what_was_told_and_is_not_applied_yet_is_no_silence(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=6.1)
    with writing(world.tools.engine) as connection:
        told = Event(lost.batch.uid, 1, 0, "processed", Why.NONE, world.clock())
        assert events.add(connection, [(lost.batch.id, told)], world.clock()) == 1
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.UNKNOWN


@pytest.mark.parametrize("silent", [(0,), (1,), (0, 1)], ids=["before", "after", "both"])
def test_silence_says_nothing_unless_the_webhook_told_of_the_batches_next_to_it(
    world: World, silent: tuple[int, ...]
) -> None:
    lost = surround(world)
    for side in silent:
        change(world, nearest(world, lost)[side], seen_ms=None)
    world.clock.forward(hours=24)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.UNKNOWN


@pytest.mark.parametrize("side", [0, 1], ids=["before", "after"])
def test_what_was_not_accepted_itself_tells_nothing_of_the_webhook(world: World, side: int) -> None:
    lost = surround(world)
    change(world, nearest(world, lost)[side], seen_ms=None, proven=0, state="unknown", resent=1)
    world.clock.forward(hours=6.1)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.PLANNED


def test_the_first_batch_after_quiet_days_settles_by_evidence_too(world: World) -> None:
    world.join(BOB)
    world.work()
    world.clock.forward(days=30)
    world.sign_up(ALICE)  # … whose confirm mail is the batch that is lost
    lost = world.start_all()[-1]
    world.settle(lost, LOST)
    world.clock.forward(hours=70)
    world.sign_up(CHARLIE)
    world.work()
    assert state_of(world, lost) == State.UNKNOWN
    for row in neighbors(world, lost):
        hear_of(world, row)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.PLANNED


def test_the_very_first_batch_waits_for_a_person_for_its_webhook_may_be_younger(world: World) -> None:
    world.sign_up(ALICE)
    lost = world.start_all()[0]
    world.settle(lost, LOST)
    for address in (BOB, CHARLIE):
        world.clock.forward(seconds=5)
        world.sign_up(address)
        world.work()
    for row in neighbors(world, lost):
        hear_of(world, row)
    world.clock.forward(hours=71)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.UNKNOWN


def test_a_batch_of_another_provider_is_nobodys_neighbor(world: World) -> None:
    lost = surround(world)
    change(world, nearest(world, lost)[0], provider="smtp", seen_ms=None)
    world.clock.forward(hours=6.1)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.PLANNED


def test_the_neighbors_are_found_by_key_however_much_has_been_sent(world: World) -> None:
    engine, lost = world.tools.engine, surround(world)
    old = {
        "planned_ms": 1,
        "started_ms": 1,
        "settled_ms": 1,
        "proven": 2,
        "provider": "smtp",
        "state": "accepted",
        "revision_id": "r",
    }
    same = {"kind": "lesson", "funnel": "f", "segment": "", "attempt": 1, "retries": 0}
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    with writing(engine) as connection:
        connection.execute(batch.insert(), [{"uid": f"old-{number}", **old, **same} for number in range(5_000)])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    listen(engine, "before_cursor_execute", note)
    with reading(engine) as connection:
        assert batches.heard_around(connection, lost.batch)
    remove(engine, "before_cursor_execute", note)
    how = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with reading(engine) as connection:
        plans = [str(connection.exec_driver_sql(how + each, given).all()) for each, given in asked]
    assert len(plans) == 2
    for found in plans:
        assert "ix_batch_proven" in found
        assert "sort" not in found.lower()
        assert "TEMP B-TREE" not in found


def test_a_second_silence_waits_for_a_person_and_then_counts_as_sent(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=6.1)
    again = next(each for each in world.start_all() if each.batch.id == lost.batch.id)
    world.settle(again, LOST)
    for _ in range(71):
        world.clock.forward(hours=1)
        sweep.sweep(world.tools, world.clock())
        assert state_of(world, lost) == State.UNKNOWN
    world.clock.forward(hours=2)
    assert [row.id for row in sweep.sweep(world.tools, world.clock())] == [lost.batch.id]
    assert state_of(world, lost) == State.ACCEPTED
    assert list(sweep.sweep(world.tools, world.clock())) == []


LEASE_MS = 15_000


@pytest.mark.parametrize(
    ("ticks_s", "may"),
    [
        ([0], False),
        ([0, 5, 14], False),
        ([0, 5, 15], True),
        ([0, 5, 15, 25], True),
        ([0, 5, 15, 26], False),
        ([0, 5, 15, 26, 27, 35, 40], False),
        ([0, 5, 15, 26, 27, 35, 41], True),
        ([0, 5, 15, 26, 35, 46, 50], False),
    ],
)
def test_whoever_has_just_begun_or_could_not_reach_the_database_gives_the_others_time_before_judging_their_leases(
    ticks_s: list[int], may: bool
) -> None:
    attention = sweep.Attention(LEASE_MS)
    assert [attention.may_judge(at_s * 1000) for at_s in ticks_s][-1] == may


def test_a_short_lease_is_judged_all_the_same() -> None:
    attention = sweep.Attention(1_000)
    assert [attention.may_judge(at_ms) for at_ms in range(0, 30_000, 1_500)] == [False] + [True] * 19


def test_one_event_proves_the_whole_batch_and_its_readers_go_on(world: World) -> None:
    lost = lose(world, ALICE)
    world.clock.forward(hours=3)
    hear_of(world, lost.batch)
    assert state_of(world, lost) == State.ACCEPTED
    assert len(world.rows(due)) == 1
    hear_of(world, lost.batch)
    assert len(world.rows(due)) == 1


def test_evidence_of_the_first_attempt_stops_the_second(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=6.1)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == State.PLANNED
    hear_of(world, lost.batch)
    assert all(each.batch.id != lost.batch.id for each in world.start_all())
    assert state_of(world, lost) == State.ACCEPTED


def test_evidence_of_two_attempts_is_kept_as_a_duplicate_and_moves_nobody_twice(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=6.1)
    again = next(each for each in world.start_all() if each.batch.id == lost.batch.id)
    assert world.settle(again, Report(ACCEPTED))
    there = len(world.rows(due))
    hear_of(world, lost.batch, attempt=1)
    assert next(row.proven for row in world.rows(batch) if row.id == lost.batch.id) == bit(1) | bit(2)
    assert len(world.rows(due)) == there


def test_evidence_before_our_own_answer_counts_and_the_answer_fills_the_blanks(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    hear_of(world, started.batch)
    assert state_of(world, started) == State.ACCEPTED
    world.settle(started, Report(Fate(State.ACCEPTED, reference="x-message-id")))
    row = lessons(world)[-1]
    assert (row.reference, row.proven) == ("x-message-id", bit(1))
    assert len(world.rows(due)) == 1


def test_a_refusal_after_evidence_changes_nothing(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    hear_of(world, started.batch)
    for state in (State.PLANNED, State.FAILED, State.UNKNOWN):
        assert not world.settle(started, Report(Fate(state, "later")))
    assert state_of(world, started) == State.ACCEPTED


def test_evidence_of_an_attempt_that_was_never_made_is_no_evidence(world: World) -> None:
    lost = lose(world, ALICE)
    hear_of(world, lost.batch, attempt=7)
    assert state_of(world, lost) == State.UNKNOWN


@pytest.mark.parametrize("sent", [True, False])
def test_a_person_decides_what_evidence_cannot(world: World, sent: bool) -> None:
    lost = lose(world, ALICE)
    decide = sweep.assume_sent if sent else sweep.resend
    assert decide(world.tools, lost.batch.uid, world.clock())
    assert not decide(world.tools, lost.batch.uid, world.clock())
    assert not decide(world.tools, "0" * 32, world.clock())
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.REPEAT)
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")[1 if sent else 0 :]


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_where_nobody_tells_the_funnel_declares_what_happens(
    world: World, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.POLICY, breaker=Breaker("smtp"))
    funnel = world.funnel()
    declared: Funnel = dataclasses.replace(funnel, unknown=policy)
    monkeypatch.setattr(Tools, "funnel", lambda *_: declared)
    lost = lose(world, ALICE)
    sweep.sweep(world.tools, world.clock())
    assert state_of(world, lost) == {"hold": State.UNKNOWN, "resend": State.PLANNED}[policy]
    if policy == "resend":
        again = world.start_all()[0]
        assert [to.message_id for to in again.mailing.recipients] == [to.message_id for to in lost.mailing.recipients]
        world.settle(again, LOST)
        sweep.sweep(world.tools, world.clock())
        assert state_of(world, lost) == State.UNKNOWN


def test_waiting_for_a_busy_provider_uses_up_no_second_chance(world: World) -> None:
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.POLICY, breaker=Breaker("smtp"))
    world.join(ALICE)
    for _ in range(3):
        world.settle(world.start_all()[0], Report(Fate(State.PLANNED, "later", retry_ms=1000)))
        world.clock.forward(hours=2)
    world.settle(world.start_all()[0], LOST)
    assert sweep.resend(world.tools, lessons(world)[-1].uid, world.clock())


def test_a_batch_that_was_too_large_goes_in_halves(world: World) -> None:
    world.join_all(ALICE, BOB, CHARLIE)
    started = world.start_all()[0]
    world.settle(started, Report(Fate(State.PLANNED, "too large"), split=True))
    halves = world.start_all()
    assert sorted(len(each.rows) for each in halves) == [1, 2]
    assert sorted(row.size for row in lessons(world)) == [1, 2]
    assert len({(each.mailing.uid, to.place) for each in halves for to in each.mailing.recipients}) == 3
    for each in halves:
        world.settle(each, Report(ACCEPTED))
    assert len(world.rows(due)) == 3


def test_an_address_that_is_ejected_is_settled_before_the_rest_goes(world: World) -> None:
    world.join_all(ALICE, BOB, CHARLIE)
    started = world.start_all()[0]
    refused = Fate(State.FAILED, "address refused")
    world.settle(started, Report(Fate(State.PLANNED, "another address was refused"), {1: refused}))
    assert [row.state for row in world.rows(delivery)] == [None, State.FAILED, None]
    assert [row.state for row in world.rows(enrollment)] == ["active", "paused", "active"]
    rest = world.start_all()[0]
    assert [to.place for to in rest.mailing.recipients] == [0, 2]
    assert [to.address for to in rest.mailing.recipients] == [ALICE, CHARLIE]


def test_a_whole_batch_that_failed_pauses_everybody_and_is_not_taken_for_received(world: World) -> None:
    world.join_all(ALICE, BOB)
    world.settle(world.start_all()[0], Report(Fate(State.FAILED, "too large")))
    assert [row.state for row in world.rows(delivery)] == [State.FAILED] * 2
    assert [row.state for row in world.rows(enrollment)] == ["paused"] * 2


def test_what_was_decided_about_one_attempt_says_nothing_about_the_next(world: World) -> None:
    lost = surround(world)
    world.clock.forward(hours=6.1)
    with reading(world.tools.engine) as connection:
        seen = next(row for row in sweep.unknown_batches(connection) if row.id == lost.batch.id)
    again = next(each for each in world.start_all() if each.batch.id == lost.batch.id)
    world.settle(again, LOST)
    assert not sweep._decide(world.tools, seen, Cause.RESEND, sweep._again(world.clock()), world.clock())
    assert state_of(world, lost) == State.UNKNOWN


def test_a_batch_that_was_started_meanwhile_is_not_unplanned(world: World) -> None:
    world.join(ALICE)
    plan.plan(world.tools, world.clock())
    seen = lessons(world)[-1]
    started = world.start_all()[0]
    world.settle(started, Report(Fate(State.PLANNED, "later")))
    sweep._unplan(world.tools, seen)
    assert len(world.rows(delivery)) == 1
