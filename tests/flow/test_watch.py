"""Our own mistakes: too much mail, or the same lesson twice, holds the funnel until a person has looked."""

from collections.abc import Iterator

import pytest
import redis
from sqlalchemy import Engine

from funnel.bucket import Marks, connect
from funnel.core.delivery import State
from funnel.core.schedule import HOUR_MS
from funnel.flow import holding, leaving, watch
from funnel.flow.watch import ALLOWANCE, NoMarks
from funnel.store import holds, revisions, volumes
from funnel.store.db import reading, writing
from funnel.store.tables import batch, delivery, due
from tests.conftest import NAME, NOON_MS, Clock
from tests.test_bucket import valkey_server
from tests.world import ALICE, BOB, World

KEY = bytes(range(32))


def add_due(engine: Engine, count: int, due_ms: int, funnel: str = NAME, first: int = 1) -> None:
    """`count` lessons that are due at that moment."""
    with writing(engine) as connection:
        lesson_id = min(revisions.lesson_ids(connection, funnel).values())
        row = {"due_ms": due_ms, "lesson_id": lesson_id, "turn": 1, "pattern": "any", "pace": "as-written"}
        people = ({"enrollment_id": number, "subscriber_id": number} for number in range(first, first + count))
        connection.execute(due.insert(), [{**row, **person} for person in people])


def forecast(engine: Engine, now_ms: int) -> None:
    with writing(engine) as connection:
        watch.forecast(connection, now_ms)


def plan(engine: Engine, count: int, now_ms: int, funnel: str = NAME, *, real_time: bool = True) -> list[str]:
    with writing(engine) as connection:
        return watch.volume(connection, {funnel: count}, now_ms, real_time=real_time)


def hours(engine: Engine) -> list[tuple[int, str, int, int]]:
    with reading(engine) as connection:
        return [(row.hour_ms, row.funnel, row.forecast, row.planned) for row in volumes.hours(connection, 0)]


def reason(engine: Engine, funnel: str = NAME) -> str | None:
    with reading(engine) as connection:
        held = {row.scope: row.reason for row in holds.listed(connection)}
    return held.get(f"funnel:{funnel}")


def test_an_hours_forecast_is_what_is_due_in_it_and_what_is_late(published: Engine) -> None:
    for count, due_ms, first in (
        (3, NOON_MS - 90 * HOUR_MS, 1),
        (4, NOON_MS + HOUR_MS - 1, 10),
        (5, NOON_MS + HOUR_MS, 20),
    ):
        add_due(published, count, due_ms, first=first)
    forecast(published, NOON_MS + 60_000)
    assert hours(published) == [(NOON_MS, NAME, 7, 0)]


def test_a_forecast_is_made_once_an_hour(published: Engine) -> None:
    forecast(published, NOON_MS)
    add_due(published, 3, NOON_MS)
    forecast(published, NOON_MS + HOUR_MS - 1)
    assert hours(published) == [(NOON_MS, NAME, 0, 0)]
    forecast(published, NOON_MS + HOUR_MS)
    assert hours(published)[1:] == [(NOON_MS + HOUR_MS, NAME, 3, 0)]


def test_hours_of_long_ago_are_forgotten(published: Engine) -> None:
    forecast(published, NOON_MS)
    forecast(published, NOON_MS + volumes.KEPT_MS + HOUR_MS)
    assert [hour_ms for hour_ms, *_ in hours(published)] == [NOON_MS + volumes.KEPT_MS + HOUR_MS]


def test_a_crowd_that_signs_up_in_a_quiet_hour_is_no_mistake(published: Engine) -> None:
    forecast(published, NOON_MS)
    assert plan(published, ALLOWANCE, NOON_MS) == []
    assert reason(published) is None


def test_far_more_than_was_due_holds_the_funnel_and_says_so(published: Engine) -> None:
    add_due(published, 10, NOON_MS)
    forecast(published, NOON_MS)
    assert plan(published, 530, NOON_MS) == []
    assert plan(published, 500, NOON_MS + HOUR_MS // 2) == []
    assert plan(published, 1, NOON_MS + HOUR_MS - 1) == [NAME]
    assert reason(published) == "volume: planned 1031, forecast 10 in this hour"
    with reading(published) as connection:
        assert holding.current(connection, NOON_MS).funnels == {NAME}
    assert plan(published, 1, NOON_MS + HOUR_MS - 1) == []  # said once


def test_one_funnels_mistake_holds_no_other(published: Engine) -> None:
    with writing(published) as connection:
        revisions.intern_lessons(connection, "kitchen", ["planner-meet"])
    add_due(published, 2, NOON_MS, "kitchen")
    forecast(published, NOON_MS)
    with writing(published) as connection:
        assert watch.volume(connection, {NAME: 5_000, "kitchen": 2}, NOON_MS) == [NAME]
    assert reason(published, "kitchen") is None
    assert hours(published) == [(NOON_MS, NAME, 0, 5_000), (NOON_MS, "kitchen", 2, 2)]


def test_a_new_hour_counts_anew(published: Engine) -> None:
    assert plan(published, ALLOWANCE, NOON_MS) == []
    assert plan(published, ALLOWANCE, NOON_MS + HOUR_MS) == []


def test_planning_nothing_writes_nothing(published: Engine) -> None:
    assert plan(published, 0, NOON_MS) == []
    assert hours(published) == []


def test_in_a_demonstration_no_hour_means_anything(published: Engine) -> None:
    assert plan(published, 10**6, NOON_MS, real_time=False) == []
    assert (hours(published), reason(published)) == ([], None)


def test_a_persons_resume_sticks(published: Engine) -> None:
    forecast(published, NOON_MS)
    assert plan(published, 20_000, NOON_MS) == [NAME]
    add_due(published, 7_000, NOON_MS)
    assert holding.resume(published, f"funnel:{NAME}", NOON_MS)
    assert hours(published) == [(NOON_MS, NAME, 7_000, 0)]
    assert plan(published, 7_000, NOON_MS) == []
    assert plan(published, 20_000, NOON_MS) == [NAME]


def test_resuming_in_an_hour_that_nobody_has_forecast_spoils_no_other_forecast(published: Engine) -> None:
    with writing(published) as connection:
        revisions.intern_lessons(connection, "kitchen", ["planner-meet"])
    add_due(published, 4, NOON_MS, "kitchen")
    holding.pause(published, f"funnel:{NAME}", "", NOON_MS)
    holding.resume(published, f"funnel:{NAME}", NOON_MS)
    assert hours(published) == [(NOON_MS, NAME, 0, 0), (NOON_MS, "kitchen", 4, 0)]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with valkey_server() as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[redis.Redis]:
    with connect(server) as client:
        client.flushall()
        yield client


def seen(
    engine: Engine, client: redis.Redis, addresses: dict[int, str], lesson: str = "7", now_ms: int = NOON_MS
) -> int:
    return watch.seen_twice(engine, Marks(client), KEY, NAME, lesson, addresses, now_ms)


def test_the_same_lesson_twice_to_one_address_holds_the_funnel(published: Engine, client: redis.Redis) -> None:
    assert seen(published, client, {1: ALICE, 2: BOB}) == 0
    assert seen(published, client, {3: "Alice@Example.org ", 4: "dora@example.org"}) == 1
    assert reason(published) == "double: 1 of 2 readers in a batch have had this lesson"


def test_twice_in_one_batch_is_twice(published: Engine, client: redis.Redis) -> None:
    assert seen(published, client, {1: ALICE, 2: BOB, 3: ALICE}) == 1
    assert reason(published) is not None


def test_another_lesson_is_another_lesson(published: Engine, client: redis.Redis) -> None:
    assert seen(published, client, {1: ALICE}) == 0
    assert seen(published, client, {2: ALICE}, lesson="8") == 0
    assert reason(published) is None


def test_the_same_delivery_again_is_no_double(published: Engine, client: redis.Redis) -> None:
    """Put back after a 429, split in halves, settled as not sent: it is still that delivery."""
    assert seen(published, client, {1: ALICE, 2: BOB}) == 0
    assert seen(published, client, {1: ALICE, 2: BOB}) == 0
    assert seen(published, client, {2: BOB}) == 0
    assert reason(published) is None


def test_a_double_that_a_person_let_go_on_is_still_one_for_the_next(published: Engine, client: redis.Redis) -> None:
    assert [seen(published, client, {number: ALICE}) for number in (1, 2, 3)] == [0, 1, 1]


def test_whoever_was_erased_may_begin_anew_and_have_everything_again(published: Engine, client: redis.Redis) -> None:
    assert seen(published, client, {1: ALICE, 2: BOB}) == 0
    assert watch.forget(Marks(client), KEY, [7, 8], ALICE, NOON_MS)
    assert seen(published, client, {3: ALICE}) == 0
    assert reason(published) is None
    assert seen(published, client, {4: BOB}) == 1


def test_two_days_later_the_database_alone_stands_guard(published: Engine, client: redis.Redis) -> None:
    assert seen(published, client, {1: ALICE}) == 0
    assert seen(published, client, {2: ALICE}, now_ms=NOON_MS + 48 * HOUR_MS) == 0


def test_without_redis_the_database_alone_stands_guard(published: Engine) -> None:
    for number in (1, 2):
        assert watch.seen_twice(published, NoMarks(), KEY, NAME, "7", {number: ALICE}, NOON_MS) == 0


def test_redis_holds_no_address(published: Engine, client: redis.Redis) -> None:
    seen(published, client, {1: ALICE})
    (key,) = client.scan_iter()
    (tag,) = client.hkeys(key)  # type: ignore[misc]
    assert len(tag) == watch.TAG_BYTES
    assert b"alice" not in key + tag


def test_whoever_withdrew_may_have_the_lesson_again(world: World, client: redis.Redis) -> None:
    engine = world.tools.engine
    world.join(ALICE)
    world.work()
    (first,) = (row.id for row in world.rows(delivery))
    assert seen(engine, client, {first: ALICE}) == 0
    assert leaving.withdraw(world.tools, first, world.clock())
    assert seen(engine, client, {first + 1: ALICE}) == 0
    assert seen(engine, client, {first + 2: ALICE}) == 1


@pytest.mark.parametrize(
    ("own", "shared", "doubled"),
    [
        (None, State.ACCEPTED, 1),
        (None, State.UNKNOWN, 1),
        (None, State.PLANNED, 1),
        (State.BOUNCED, State.ACCEPTED, 1),
        (State.FAILED, State.ACCEPTED, 0),
        (State.SKIPPED, State.ACCEPTED, 0),
        (None, State.FAILED, 0),
        (None, State.SKIPPED, 0),
    ],
)
def test_what_was_never_sent_is_not_held_against_what_comes_next(
    published: Engine, client: redis.Redis, clock: Clock, own: State | None, shared: State, doubled: int
) -> None:
    with writing(published) as connection:
        row = {
            **{"uid": "a" * 32, "kind": "lesson", "funnel": NAME, "revision_id": "r", "lesson_id": 7, "segment": ""},
            **{"state": shared, "planned_ms": clock(), "attempt": 1, "retries": 0},
        }
        batch_id = connection.scalars(batch.insert().values(row).returning(batch.c.id)).one()
        person = {"subscriber_id": 1, "lesson_id": 7, "enrollment_id": 1, "turn": 1, "due_ms": clock()}
        mine = {**person, "batch_id": batch_id, "state": own}
        first = connection.scalars(delivery.insert().values(mine).returning(delivery.c.id)).one()
    assert seen(published, client, {first: ALICE}) == 0
    assert seen(published, client, {first + 1: ALICE}) == doubled
