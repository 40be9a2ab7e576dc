"""The census in one big question tells of everybody what is asked of a few by name."""

from itertools import count
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from funnel.core.consent import Enrolled, Standing
from funnel.core.delivery import NEVER_SENT, State
from funnel.store import census, positions, reached
from funnel.store.db import reading, writing
from funnel.store.tables import batch, delivery, due, enrollment, ledger, subscriber
from tests.conftest import NAME, NOON_MS

LESSONS = (2, 3, 64, 65, 200)
EVENTS = ("answered", "met")
BATCHES = (State.PLANNED, State.STARTED, State.UNKNOWN, State.ACCEPTED, State.FAILED)
OTHERS = 999  # a lesson of another funnel
PEOPLE = 60


@pytest.fixture
def crowd(engine: Engine) -> Engine:
    """Random people with pasts of every kind: courses begun again, and lessons that were planned, sent, or not sent."""
    chance, ids = Random(7), count(1)
    with writing(engine) as connection:
        for id_, state in enumerate(BATCHES, 1):
            _batch(connection, id_, state)
        for who in range(1, PEOPLE + 1):
            zone = chance.choice(["Europe/Berlin", "Asia/Tokyo"])
            _add(connection, subscriber, id=who, address_hash=bytes([who]), sealed=b"", zone=zone, locale="en")
            for left in reversed(range(chance.choice([1, 1, 2]))):
                _course(connection, chance, ids, who, is_last=not left)
    return engine


def _batch(connection: Connection, id_: int, state: State) -> None:
    given = {"uid": str(id_), "kind": "lesson", "funnel": NAME, "revision_id": "", "lesson_id": 2, "segment": ""}
    started = None if state == State.PLANNED else NOON_MS + id_ * 1000
    settled = NOON_MS + id_ * 1000 + 300 if state == State.ACCEPTED else None
    times = {"planned_ms": NOON_MS, "started_ms": started, "settled_ms": settled}
    _add(connection, batch, id=id_, **given, state=state, attempt=1, retries=0, **times)


def _course(connection: Connection, chance: Random, ids: "count[int]", who: int, *, is_last: bool) -> None:
    own = next(ids)
    state, turn = Enrolled.ACTIVE if is_last else Enrolled.FINISHED, chance.choice([1, 2])
    traits = {"pattern": chance.choice(["a", "b"]), "secondary": chance.choice([None, "b"]), "pace": "daily"}
    reason = chance.choice([None, "after all"])
    said = {
        "funnel": NAME,
        **traits,
        "state": state,
        "reason": reason,
        "turn": turn,
        "locale": chance.choice(["", "de"]),
    }
    _add(connection, enrollment, id=own, subscriber_id=who, **said)
    for lesson_id in chance.sample((*LESSONS, OTHERS), chance.randrange(len(LESSONS))):
        taken = connection.execute(
            ledger.select().where(ledger.c.lesson_id == lesson_id, ledger.c.subscriber_id == who)
        )
        if taken.first() is None:
            _sent(connection, chance, own, who, lesson_id)
    for event in chance.sample(EVENTS, chance.randrange(3)):
        reached.add(connection, own, who, event, NOON_MS + own)
    if is_last:
        old = chance.random() < 0.1  # a due row of an earlier turn is nobody's
        row = {"due_ms": NOON_MS + who, "enrollment_id": own, "turn": turn - old, "lesson_id": chance.choice(LESSONS)}
        _add(connection, due, **row, subscriber_id=who, **traits)


def _sent(connection: Connection, chance: Random, enrollment_id: int, who: int, lesson_id: int) -> None:
    in_batch = chance.randrange(len(BATCHES)) + 1
    fate = chance.choice([None, State.DELIVERED, *sorted(NEVER_SENT)])
    row = {"subscriber_id": who, "lesson_id": lesson_id, "enrollment_id": enrollment_id, "turn": 1, "state": fate}
    added = delivery.insert().values(**row, batch_id=in_batch, position=0, due_ms=0).returning(delivery.c.id)
    id_ = connection.scalars(added).one()
    if BATCHES[in_batch - 1] != State.PLANNED:
        _add(connection, ledger, lesson_id=lesson_id, subscriber_id=who, delivery_id=id_)


def _add(connection: Connection, table: Any, **values: object) -> None:
    whole = {"state": Standing.ACTIVE, "created_ms": NOON_MS, "changed_ms": NOON_MS, **values}
    connection.execute(table.insert().values({name: whole[name] for name in whole if name in table.c}))


@pytest.mark.parametrize("reads", [(), ("secondary", "locale", "event")])
def test_everybody_is_told_of_as_they_would_be_one_by_one(crowd: Engine, reads: tuple[str, ...]) -> None:
    with reading(crowd) as connection:
        told = sorted(
            (
                *(due_ms, each.lesson_id, each.pattern, each.secondary, each.pace, each.reason, each.begun),
                *(each.zone, each.locale, sorted(each.events), sorted(each.had), from_ms),
            )
            for each in census.everybody(connection, LESSONS, reads, {"met"})
            for due_ms, from_ms in zip(each.dues, each.starts, strict=True)
        )
        assert told == sorted(_one_by_one(connection, reads))
        assert len(told) > PEOPLE / 2


def _one_by_one(connection: Connection, reads: tuple[str, ...]) -> list[tuple[Any, ...]]:
    found = []
    zones = {row.id: row.zone for row in connection.execute(subscriber.select())}
    people = {row.id: row for row in connection.execute(enrollment.select())}
    for row in connection.execute(due.select()):
        person = people[row.enrollment_id]
        if person.turn != row.turn:
            continue
        past = positions.had(connection, LESSONS, [row.subscriber_id])
        own = [each.at_ms for each in past if each.enrollment_id == person.id]
        from_ms = max(own, default=person.created_ms)
        events = reached.of(connection, [person.id]).get(person.id, {}) if "event" in reads else {}
        since = {event: at_ms if event == "met" and at_ms >= from_ms else 0 for event, at_ms in events.items()}
        found.append(
            (
                *(row.due_ms, row.lesson_id, person.pattern, person.secondary if reads else None, person.pace),
                *(person.reason, bool(own), zones[row.subscriber_id], person.locale if reads else ""),
                *(sorted(since.items()), sorted({each.lesson_id for each in past}), from_ms),
            )
        )
    return found


def test_settings_for_one_big_question_end_with_it(crowd: Engine) -> None:
    with reading(crowd) as connection:
        list(census.everybody(connection, LESSONS, (), ()))
        if crowd.dialect.name == "postgresql":
            assert connection.exec_driver_sql("SHOW enable_nestloop").scalar() == "on"
            assert connection.exec_driver_sql("SHOW max_parallel_workers_per_gather").scalar() == "0"


@pytest.mark.parametrize("lessons", [[1, 2, 5], [3, 70, 200, 4_000], []])
def test_masks_hold_any_lessons(lessons: list[int]) -> None:
    starts = census._starts(lessons)
    masks = [sum(1 << (each - start) for each in lessons if start <= each < start + 62) for start in starts]
    assert census.had(masks, lessons) == tuple(lessons)
