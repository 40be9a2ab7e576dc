"""Erasure: nothing of a person is left anywhere, at whatever moment it comes, and others follow."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import LargeBinary, inspect, text

from funnel.core.consent import Suppressed
from funnel.core.delivery import ACCEPTED, Fate, Report, State
from funnel.core.event import Event, Why
from funnel.flow import erasing, events, leaving, plan, signup
from funnel.flow.erasing import By
from funnel.mail.erasing import EraseFault, OutboxFiles
from funnel.store import erasing as store
from funnel.store import events as event_store
from funnel.store import signups, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import (
    batch,
    delivery,
    due,
    erasure,
    event,
    lesson,
    metadata,
    subscriber,
    suppression,
    tombstone,
)
from tests.world import ALICE, BOB, World

NAME = "Alicia"


class Provider:
    """Who is told to forget somebody, and answers as the test wants."""

    def __init__(self, *faults: EraseFault) -> None:
        self.faults = list(faults)
        self.told: list[str] = []

    def forget(self, address: str, messages: object) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.told.append(address)


def subscriber_of(world: World, address: str) -> int:
    with reading(world.tools.engine) as connection:
        found = subscribers.by_hash(connection, world.tools.keyring.address_hashes(address))
        assert found is not None
        return int(found.id)


def every_cell(world: World) -> list[tuple[str, str, Any]]:
    """(table, column, value) of the whole database, Alembic's and SQLite's own tables too."""
    found = []
    with reading(world.tools.engine) as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')).mappings():
                found += [(table, name, value) for name, value in row.items()]
    return found


def follow(world: World, provider: Any = None) -> None:
    """The worker does what is left, for some minutes."""
    for _ in range(12):
        world.work()
        erasing.go_on(world.tools, provider or OutboxFiles(world.folder), world.clock())
        world.clock.forward(seconds=30)


def traces_of(world: World, address: str, subscriber_id: int, hidden: bytes) -> list[str]:
    """What is left of a person: their address or name in any encoding, their hash or key, a row with their id."""
    needles = [each.encode() for each in (address, NAME)] + [hidden, hidden.hex().encode()]
    left = []
    for table, column, value in every_cell(world):
        raw = value if isinstance(value, bytes | memoryview) else str(value).encode()
        if any(needle in bytes(raw) for needle in needles):
            left.append(f"{table}.{column}")
        if column == "subscriber_id" and value == subscriber_id:
            left.append(f"{table}.{column} is theirs")
        if column == "id" and table == subscriber.name and value == subscriber_id:
            left.append("subscriber")
    return sorted(set(left))


def whole_life(world: World) -> None:
    """Alice leaves something in every table: lessons, events, a press, a pending sign-up, a pause and its end."""
    world.join(ALICE, "freeze", "fawn", NAME)
    world.days(3)
    with writing(world.tools.engine) as connection:
        told = [(row.batch_id, Event("", 1, row.position, "delivered", Why.NONE, world.clock())) for row in sent(world)]
        event_store.add(connection, [(id_, each) for id_, each in told if id_], world.clock())
    events.apply(world.tools, world.clock())
    world.sign_up(ALICE, "flight", None, NAME)
    world.work()


def sent(world: World) -> list[Any]:
    return [row for row in world.rows(delivery) if row.batch_id is not None]


def fill_the_rest(world: World, subscriber_id: int) -> None:
    """A row with this id in every table that has a column for it and none with it yet, so that none is forgotten."""
    with writing(world.tools.engine) as connection:
        for table in metadata.sorted_tables:
            if "subscriber_id" not in table.c:
                continue
            if connection.execute(table.select().where(table.c.subscriber_id == subscriber_id)).first():
                continue
            row = {
                column.name: _some(column, subscriber_id)
                for column in table.c
                if not column.nullable and not (column.name == "id" and column.primary_key)
            }
            if "enrollment_id" in row:
                row["enrollment_id"] = _enrollment(connection, subscriber_id)
            connection.execute(table.insert().values(row))


def _enrollment(connection: Any, subscriber_id: int) -> int:
    found = connection.execute(text("SELECT id FROM enrollment WHERE subscriber_id = :id"), {"id": subscriber_id})
    return int(found.scalar())


def _some(column: Any, subscriber_id: int) -> object:
    if column.name == "subscriber_id":
        return subscriber_id
    if isinstance(column.type, LargeBinary):
        return b"x" * 32
    return 1 if "INT" in str(column.type).upper() else "x"


def test_nothing_of_an_erased_person_is_left_in_any_table(world: World) -> None:
    whole_life(world)
    world.join(BOB, "freeze")
    id_ = subscriber_of(world, ALICE)
    fill_the_rest(world, id_)
    hidden = world.tools.keyring.address_hashes(ALICE)[0]
    holding = {table for table, column, value in every_cell(world) if column == "subscriber_id" and value == id_}
    assert holding == {table.name for table in metadata.sorted_tables if "subscriber_id" in table.c}
    before = {row.id for row in world.rows(event)}
    assert erasing.erase(world.tools, ALICE, world.clock())
    assert traces_of(world, ALICE, id_, hidden) == ["suppression.address_hash"]
    assert before
    assert not before & {row.id for row in world.rows(event)}
    assert [(row.reason, row.at_ms) for row in world.rows(suppression)] == [(Suppressed.ERASED, world.clock())]
    assert [(str(row.day), row.kind) for row in world.rows(tombstone)] == [("2026-11-25", By.OPERATOR)]
    follow(world)
    assert world.rows(erasure) == []
    assert traces_of(world, ALICE, id_, hidden) == ["suppression.address_hash"]
    assert world.mails(ALICE) == []
    assert world.lessons(BOB)


def test_an_erasure_waits_for_others_without_the_address_in_clear(world: World) -> None:
    world.join(ALICE, name=NAME)
    id_, hidden = subscriber_of(world, ALICE), world.tools.keyring.address_hashes(ALICE)[0]
    erasing.erase(world.tools, ALICE, world.clock())
    assert len(world.rows(erasure)) == 1
    assert traces_of(world, ALICE, id_, hidden) == ["suppression.address_hash"]


def planned(world: World) -> Callable[[], object]:
    plan.plan(world.tools, world.clock())
    return world.work


def started(world: World) -> Callable[[], object]:
    flights = world.start_all()

    def land() -> None:
        for each in flights:
            world.settle(each, world.provider.hand_over(each.mailing))

    return land


def unknown(world: World) -> Callable[[], object]:
    for each in world.start_all():
        world.settle(each, Report(Fate(State.UNKNOWN, "no answer")))
    return world.work


def failed_for_good(world: World) -> Callable[[], object]:
    flights = world.start_all()

    def land() -> None:
        for each in flights:
            world.settle(each, Report(ACCEPTED, {0: Fate(State.FAILED, "550"), 1: Fate(State.UNKNOWN, "cut off")}))

    return land


def given_back(world: World) -> Callable[[], object]:
    flights = world.start_all()

    def land() -> None:
        for each in flights:
            world.settle(each, Report(Fate(State.PLANNED, "busy", retry_ms=1000), split=True))

    return land


def accepted(world: World) -> Callable[[], object]:
    world.work()
    return world.work


STATES = (planned, started, unknown, failed_for_good, given_back, accepted)


@pytest.mark.parametrize("reach", STATES, ids=lambda each: each.__name__)
def test_an_erasure_in_any_state_of_a_delivery_strands_and_doubles_nobody(
    world: World, reach: Callable[[World], Callable[[], object]]
) -> None:
    world.join_all(ALICE, BOB)
    id_, hidden = subscriber_of(world, ALICE), world.tools.keyring.address_hashes(ALICE)[0]
    land = reach(world)
    assert erasing.erase(world.tools, ALICE, world.clock())
    land()
    follow(world)
    world.days(3)
    follow(world)
    assert traces_of(world, ALICE, id_, hidden) == ["suppression.address_hash"]
    assert world.mails(ALICE) == []
    lessons = world.lessons(BOB)
    assert len(lessons) == len(set(lessons))
    if reach is not failed_for_good:
        assert len(lessons) > 1
    assert [row.subscriber_id for row in world.rows(due)] == [subscriber_of(world, BOB)] * len(world.rows(due))
    assert {row.state for row in world.rows(batch)} <= {"accepted", "skipped", "unknown", "failed"}
    assert world.rows(erasure) == [] or any(row.state == "unknown" for row in world.rows(batch))


def test_what_begins_after_an_erasure_is_never_sent(world: World) -> None:
    world.join_all(ALICE, BOB)
    plan.plan(world.tools, world.clock())
    erasing.erase(world.tools, ALICE, world.clock())
    world.days(30)
    assert world.lessons(ALICE) == []


def test_the_provider_is_told_only_once_nothing_is_in_flight_any_more(world: World) -> None:
    world.join_all(ALICE, BOB)
    [flight] = world.start_all()
    erasing.erase(world.tools, ALICE, world.clock())
    provider = Provider()
    erasing.go_on(world.tools, provider, world.clock())
    assert provider.told == []
    world.settle(flight, Report(ACCEPTED))
    erasing.go_on(world.tools, provider, world.clock.forward(seconds=11))
    assert provider.told == [ALICE]


def test_a_provider_that_does_not_follow_is_asked_again_and_once_it_has_never_more(world: World) -> None:
    world.join(ALICE)
    erasing.erase(world.tools, ALICE, world.clock())
    provider = Provider(EraseFault("no answer", temporary=True), EraseFault("answer 403", temporary=False))
    erasing.go_on(world.tools, provider, world.clock())
    assert [(row.reason, row.tries) for row in world.rows(erasure)] == [("no answer", 1)]
    erasing.go_on(world.tools, provider, world.clock())
    assert provider.faults, "it is not asked again at once"
    erasing.go_on(world.tools, provider, world.clock.forward(hours=1))
    assert [(row.reason, row.tries) for row in world.rows(erasure)] == [("answer 403", 2)]
    assert "answer 403" in erasing.finding(world.tools)[0].says
    erasing.go_on(world.tools, provider, world.clock.forward(hours=25))
    assert (provider.told, world.rows(erasure)) == ([ALICE], [])
    assert "nobody waits" in erasing.finding(world.tools)[0].says


class Marks:
    """A memory of what was handed over that answers only sometimes."""

    def __init__(self) -> None:
        self.away = True
        self.taken: list[str] = []

    def others(self, lesson: str, tags: Mapping[bytes, int], now_ms: int) -> dict[int, int]:
        return {}

    def forget(self, tags: Mapping[str, bytes], now_ms: int) -> bool:
        self.taken += [] if self.away else tags
        return not self.away


def test_the_memory_in_redis_forgets_too_and_is_asked_again_while_it_is_away(world: World) -> None:
    world.join(ALICE)
    world.work()
    marks = Marks()
    tools = dataclasses.replace(world.tools, marks=marks)
    erasing.erase(tools, ALICE, world.clock())
    erasing.go_on(tools, Provider(), world.clock())
    assert [row.reason for row in world.rows(erasure)] == [erasing.NO_REDIS]
    marks.away = False
    erasing.go_on(tools, Provider(), world.clock.forward(hours=1))
    assert marks.taken == [str(row.id) for row in world.rows(lesson) if row.key == "freeze-meet"]
    assert world.rows(erasure) == []


def test_two_workers_tell_the_provider_once(world: World) -> None:
    world.join(ALICE)
    erasing.erase(world.tools, ALICE, world.clock())
    with reading(world.tools.engine) as connection:
        [row] = store.due_erasures(connection, world.clock(), 10)
    provider = Provider()
    erasing.go_on(world.tools, provider, world.clock())
    with writing(world.tools.engine) as connection:
        assert not store.claim(connection, row, world.clock() + 1)
    assert provider.told == [ALICE]


def test_what_a_slower_transaction_wrote_is_found_a_minute_later(world: World) -> None:
    signup_id = world.sign_up(ALICE)
    id_, hidden = subscriber_of(world, ALICE), world.tools.keyring.address_hashes(ALICE)[0]
    erasing.erase(world.tools, ALICE, world.clock())
    with writing(world.tools.engine) as connection:
        signups.request_notice(connection, id_, signup_id, world.funnel().name, "confirm", world.clock())
    follow(world)
    assert traces_of(world, ALICE, id_, hidden) == ["suppression.address_hash"]
    assert world.mails(ALICE) == []


def test_a_place_in_a_course_that_was_written_too_late_is_found_a_minute_later(world: World) -> None:
    world.join(ALICE)
    [place] = world.rows(due)
    erasing.erase(world.tools, ALICE, world.clock())
    with writing(world.tools.engine) as connection:
        connection.execute(due.insert().values({**place._mapping, "due_ms": place.due_ms + 10**10}))
    follow(world)
    assert world.rows(due) == []


def test_an_erased_person_may_begin_anew_as_if_nothing_had_been(world: World) -> None:
    world.join(ALICE, "freeze")
    world.days(2)
    had = len(world.lessons(ALICE))
    old = subscriber_of(world, ALICE)
    erasing.erase(world.tools, ALICE, world.clock())
    follow(world)
    world.join(ALICE, "freeze")
    assert subscriber_of(world, ALICE) != old
    assert world.rows(suppression) == []
    world.days(2)
    assert len(world.lessons(ALICE)) == had


def test_a_complaint_outlives_an_erasure(world: World) -> None:
    world.join(ALICE)
    with writing(world.tools.engine) as connection:
        row = subscribers.by_id(connection, subscriber_of(world, ALICE), lock=True)
        assert row is not None
        leaving.suppress(connection, row, Suppressed.COMPLAINT, world.clock(), world.clock())
    erasing.erase(world.tools, ALICE, world.clock())
    assert [row.reason for row in world.rows(suppression)] == [Suppressed.COMPLAINT]
    world.sign_up(ALICE)
    world.work()
    assert world.mails(ALICE)[1:] == []


def test_nobody_is_erased_for_an_address_that_nobody_has(world: World) -> None:
    world.join(BOB)
    assert not erasing.erase(world.tools, ALICE, world.clock())
    assert world.rows(tombstone) == []


def test_old_links_open_nothing_and_say_so_kindly(world: World) -> None:
    world.join(ALICE)
    world.work()
    [row] = sent(world)
    erasing.erase(world.tools, ALICE, world.clock())
    assert not leaving.unsubscribe(world.tools, row.id, world.clock())
    assert not leaving.undo_unsubscribe(world.tools, row.id, world.clock())
    assert signup.look_at(world.tools, "x" * 22, world.clock()).state == signup.Link.UNKNOWN
