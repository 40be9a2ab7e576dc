"""Plan, start, hand over, settle, sweep: nothing is lost and nothing doubled."""

import dataclasses
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from funnel.core.delivery import ACCEPTED, Fate, Report, State, Unknowns
from funnel.core.pace import Unpaced
from funnel.flow import course, leaving, plan, settle, start, sweep
from funnel.keyring import Keyring
from funnel.store import enrollments
from funnel.store.db import open_engine, writing
from funnel.store.tables import batch, delivery, due, enrollment
from tests.conftest import Clock, make_tools, with_content
from tests.databases import Databases
from tests.flow.test_course import delivery_of, subjects
from tests.world import ALICE, BOB, CHARLIE, World

EVERYBODY = (ALICE, BOB, CHARLIE)


def test_a_worker_that_dies_before_handing_over_costs_a_lease_and_nothing_else(world: World) -> None:
    world.join(ALICE)
    assert len(world.start_all()) == 1  # … and then the worker is gone
    world.work()
    assert world.lessons(ALICE) == []
    world.clock.forward(seconds=16)
    world.work()
    assert len(world.lessons(ALICE)) == 1


def test_a_worker_that_dies_after_handing_over_doubles_nothing(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    world.provider.hand_over(started.mailing)
    world.clock.forward(seconds=16)
    world.work()
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_a_worker_that_lost_its_lease_decides_nothing(world: World) -> None:
    world.join(ALICE)
    slow = world.start_all("slow")[0]
    world.clock.forward(seconds=16)
    assert len(world.start_all("quick")) == 1
    for state in (State.PLANNED, State.FAILED, State.UNKNOWN):
        assert not world.settle(slow, Report(Fate(state)))
    assert settle.renew(world.tools, [slow], world.clock()) == set()
    assert [row.state for row in world.rows(batch) if row.kind == "lesson"] == [State.STARTED]


def test_a_renewed_lease_is_not_swept(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    world.clock.forward(seconds=10)
    assert settle.renew(world.tools, [started], world.clock()) == {started.batch.id}
    world.clock.forward(seconds=10)
    sweep.sweep(world.tools, world.clock())
    assert world.settle(started, Report(ACCEPTED))


def test_two_workers_never_start_the_same_batch(world: World) -> None:
    world.join(ALICE)
    plan.plan(world.tools, world.clock())
    started = [start.start(world.tools, [2], owner, world.clock()) for owner in ("one", "two")]
    assert [len(each) for each in started] == [1, 0]


def test_planners_side_by_side_never_take_the_same_row(world: World) -> None:
    with writing(world.tools.engine) as connection:
        ids = [enrollments.add(connection, number, "any", "freeze", None, 0) for number in range(900)]
        entered = (enrollments.by_id(connection, id_) for id_ in ids)
        enrollments.add_due(connection, [(one, one.id % 7, 1) for one in entered if one])

    def take(_: int) -> list[int]:
        found: list[int] = []
        with writing(world.tools.engine) as connection:
            enrollments.take_due(connection, 10, 100, (), lambda rows: found.extend(row.enrollment_id for row in rows))
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = [id_ for part in pool.map(take, range(12)) for id_ in part]
    assert sorted(taken) == ids


def test_a_provider_that_asks_to_wait_is_asked_again_then_and_not_before(world: World) -> None:
    world.join(ALICE)
    started = world.start_all()[0]
    world.settle(started, Report(Fate(State.PLANNED, "rate limit", retry_ms=60_000)))
    world.clock.forward(seconds=59)
    assert world.work() == []
    world.clock.forward(seconds=2)
    assert len(world.work()) == 1
    assert len(world.lessons(ALICE)) == 1


def test_one_refused_address_pauses_that_reader_and_the_others_get_theirs(world: World) -> None:
    world.join_all(*EVERYBODY)
    started = world.start_all()[0]
    report = Report(ACCEPTED, {1: Fate(State.FAILED, "refused (550)")})
    world.settle(started, report)
    assert [(row.state, row.reason) for row in world.rows(enrollment)] == [
        ("active", None),
        ("paused", "refused (550)"),
        ("active", None),
    ]
    assert len(world.rows(due)) == 2


def test_those_asked_to_wait_are_tried_again_without_the_others(world: World) -> None:
    world.join_all(*EVERYBODY)
    started = world.start_all()[0]
    wait = Fate(State.PLANNED, "refused for now (451)", retry_ms=900_000)
    world.settle(started, Report(ACCEPTED, {0: wait}))
    world.clock.forward(hours=0.3)
    again = world.start_all()
    assert [len(each.rows) for each in again] == [1]
    assert again[0].mailing.recipients[0].address == ALICE


def test_an_address_that_never_stops_asking_to_wait_is_given_up(world: World) -> None:
    world.join(ALICE)
    wait = Fate(State.PLANNED, "refused for now (451)", retry_ms=1000)
    for _ in range(settle.REFUSALS_AT_MOST + 1):
        for started in world.start_all():
            world.settle(started, Report(ACCEPTED, {0: wait}))
        world.clock.forward(hours=2)
    assert [row.state for row in world.rows(enrollment)] == ["paused"]


def test_one_unknown_recipient_is_in_doubt_alone(world: World) -> None:
    world.join_all(*EVERYBODY)
    started = world.start_all()[0]
    world.settle(started, Report(ACCEPTED, {2: Fate(State.UNKNOWN, "connection")}))
    states = [(row.state, sum(d.batch_id == row.id for d in world.rows(delivery))) for row in world.rows(batch)]
    assert (State.ACCEPTED, 2) in states
    assert (State.UNKNOWN, 1) in states


def test_without_evidence_an_unknown_is_never_sent_again_and_counts_as_sent_after_72_hours(world: World) -> None:
    world.tools = dataclasses.replace(world.tools, unknowns=Unknowns.EVIDENCE)
    world.join(ALICE)
    started = world.start_all()[0]
    world.settle(started, Report(Fate(State.UNKNOWN, "no answer")))
    for _ in range(71):
        world.clock.forward(hours=1)
        assert world.work() == []
    world.clock.forward(hours=2)
    world.work()
    assert [row.state for row in world.rows(batch) if row.kind == "lesson"] == [State.ACCEPTED]
    assert len(world.rows(due)) == 1
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")[1:]


def test_a_plan_that_nobody_starts_is_undone_and_made_anew(world: World) -> None:
    world.join(ALICE)
    plan.plan(world.tools, world.clock())
    before = world.clock()
    world.clock.forward(seconds=601)
    sweep.sweep(world.tools, world.clock())
    assert world.rows(delivery) == []
    assert [row.due_ms for row in world.rows(due)] == [before]
    world.work()
    assert len(world.lessons(ALICE)) == 1


def test_a_batch_is_no_larger_than_the_provider_allows(world: World) -> None:
    world.tools = dataclasses.replace(world.tools, batch_size=2)
    world.join_all(*EVERYBODY)
    assert sorted(len(each.rows) for each in world.start_all()) == [1, 2]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
@example(seed=530)  # left while a lesson was in doubt, and came back
def test_in_any_history_of_crashes_and_changes_of_mind_nothing_doubles_and_nobody_is_stranded(
    seed: int, databases: Databases, keyring: Keyring, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine = open_engine(databases.fresh("sqlite", with_content))
    world = World(make_tools(engine, keyring), Clock(), tmp_path_factory.mktemp("outbox"))
    draws = random.Random(seed)
    for address in (ALICE, BOB):
        world.join(address, draws.choice(["fight", "freeze"]))
    world.work()
    for _ in range(25):
        _happen(world, draws)
        _check(world)
    for _ in range(6):
        world.clock.forward(seconds=700)
        world.work()
    world.days(45)
    assert {row.state for row in world.rows(enrollment)} <= {"finished", "ended"}
    engine.dispose()


def _happen(world: World, draws: random.Random) -> None:
    here = delivery_of(world, draws.choice([mail for mail in world.mails() if mail.path.name.startswith("lesson")]))
    happening = draws.choice(["day", "day", "work", "crash before", "crash after", "leave", "back", "choose", "plan"])
    if happening == "day":
        world.clock.forward(hours=draws.randrange(1, 40))
    elif happening == "work":
        world.work()
    elif happening == "crash before":
        world.start_all("doomed")
    elif happening == "crash after":
        for started in world.start_all("doomed"):
            world.provider.hand_over(started.mailing)
    elif happening == "plan":
        plan.plan(world.tools, world.clock())
    elif happening == "leave":
        leaving.unsubscribe(world.tools, here, world.clock())
    elif happening == "back":
        leaving.undo_unsubscribe(world.tools, here, world.clock())
    else:
        course.choose(world.tools, here, draws.choice(["fight", "flight", "freeze", "fawn"]), world.clock())


def _check(world: World) -> None:
    """No lesson twice; and every active enrollment in exactly one place."""
    for address in (ALICE, BOB):
        lessons = world.lessons(address)
        assert len(lessons) == len(set(lessons))
    states = {row.id: row.state for row in world.rows(batch)}
    waiting = [(row.enrollment_id, row.turn) for row in world.rows(due)]
    unsettled = [
        (row.enrollment_id, row.turn)
        for row in world.rows(delivery)
        if row.state is None and states[row.batch_id] in (State.PLANNED, State.STARTED, State.UNKNOWN)
    ]
    for row in world.rows(enrollment):
        places = waiting.count((row.id, row.turn)) + unsettled.count((row.id, row.turn))
        assert places == (row.state == "active"), (row, waiting, unsettled)


def test_what_is_on_its_way_bounds_planning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.join(BOB)
    world.start_all()
    world.join(ALICE)
    monkeypatch.setattr(plan, "OPEN_AT_MOST", 1)
    plan.plan(world.tools, world.clock())
    assert len(world.rows(due)) == 1


def test_a_planning_that_fails_gives_its_share_of_the_pace_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Day(Unpaced):
        left = 50

        def take(self, wanted: int) -> int:
            granted = min(wanted, self.left)
            self.left -= granted
            return granted

        def give_back(self, unused: int) -> None:
            self.left += unused

    def away(*_: object) -> None:
        raise OperationalError("INSERT", {}, Exception("the database is away for a moment"))

    day = Day()
    world.join_all(ALICE)
    world.tools = dataclasses.replace(world.tools, pace=day)
    with monkeypatch.context() as broken:
        broken.setattr("funnel.flow.plan.watch.forecast", away)
        with pytest.raises(OperationalError):
            plan.plan(world.tools, world.clock())
    assert day.left == 50
    assert plan.plan(world.tools, world.clock()).lessons == 1
    assert day.left == 49
