"""The ledger: one delivery per lesson and subscriber, entered by the start that hands it over."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, event, select, text

from funnel.core.delivery import ACCEPTED, Fate, Report, State
from funnel.flow import course, leaving, plan
from funnel.store import enrollments, subscribers
from funnel.store.db import reading, writing
from funnel.store.tables import Record, batch, delivery, due, enrollment, ledger
from tests.conftest import Clock
from tests.flow.test_course import subjects
from tests.world import ALICE, BOB, World

GROWING = "due|batch|delivery|enrollment|ledger|subscriber|subscriber_key|event|notice|signup"


def enrolled(world: World) -> Record:
    return world.rows(enrollment)[-1]


def give_back(world: World) -> None:
    """The provider asks to wait: what was started is planned again."""
    for started in world.start_all():
        world.settle(started, Report(Fate(State.PLANNED, "rate limit", retry_ms=1000)))
    world.clock.forward(seconds=2)


def test_a_lesson_that_was_sent_is_never_sent_again_whatever_is_due(world: World) -> None:
    world.join(ALICE)
    world.work()
    with writing(world.tools.engine) as connection:
        lesson_id = world.rows(delivery)[0].lesson_id
        enrollments.add_due(connection, [(enrolled(world), world.clock(), lesson_id)])
    world.work()
    assert world.lessons(ALICE) == subjects(world, "freeze")[:1]
    assert [(row.state, row.reason) for row in world.rows(delivery)] == [(None, None), ("skipped", "received before")]


def test_planning_enters_nothing_and_starting_everything(world: World) -> None:
    world.join(ALICE)
    plan.plan(world.tools, world.clock())
    assert world.rows(ledger) == []
    world.work()
    assert [row.delivery_id for row in world.rows(ledger)] == [row.id for row in world.rows(delivery)]


def test_what_was_given_back_is_sent_once_to_a_reader_who_left_and_came_back(world: World) -> None:
    world.join(ALICE)
    give_back(world)
    here = world.rows(delivery)[0].id
    leaving.unsubscribe(world.tools, here, world.clock())
    leaving.undo_unsubscribe(world.tools, here, world.clock())
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_a_lesson_that_failed_can_be_received_under_another_delivery(world: World) -> None:
    world.join(ALICE)
    world.settle(world.start_all()[0], Report(Fate(State.FAILED, "refused")))
    for pattern in ("fight", "freeze"):
        course.choose(world.tools, world.rows(delivery)[0].id, pattern, world.clock())
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_a_course_goes_on_to_a_lesson_that_was_skipped_long_ago(world: World) -> None:
    world.join(ALICE)
    with writing(world.tools.engine) as connection:
        second = sorted(
            {row.id for row in connection.execute(text("SELECT id FROM lesson WHERE key LIKE 'freeze-%'"))}
        )[1]
        old = {"subscriber_id": 1, "lesson_id": second, "enrollment_id": 99, "turn": 1, "due_ms": 0}
        skipped = connection.execute(
            delivery.insert().values(**old, state="skipped").returning(delivery.c.id)
        ).scalar_one()
        connection.execute(ledger.insert().values(lesson_id=second, subscriber_id=1, delivery_id=skipped))
    world.days(20)
    assert world.lessons(ALICE) == subjects(world, "freeze")


def test_whoever_belongs_to_another_segment_by_now_gets_that_one(world: World, clock: Clock) -> None:
    world.join(ALICE, "freeze", "fawn")
    world.join(BOB, "freeze", "fawn")
    world.work()
    clock.now_ms = max(row.due_ms for row in world.rows(due))
    plan.plan(world.tools, clock())
    with writing(world.tools.engine) as connection:
        alice = subscribers.by_id(connection, 1)
        assert alice
        course.enroll(connection, world.tools, alice, world.funnel(), "freeze", "fight", clock())
    world.work()
    world.work()
    hers, his = (world.mails(to)[-1] for to in (ALICE, BOB))
    assert (hers.subject, "Doorkeeper" in hers.text, "Good Host" in hers.text) == (his.subject, True, False)
    assert "Good Host" in his.text
    assert {row.size for row in world.rows(batch) if row.kind == "lesson"} == {1}


def test_withdrawing_blanks_what_is_planned_skipped_and_sent(world: World) -> None:
    world.join(ALICE)
    world.work()
    here = world.rows(delivery)[0].id
    leaving.unsubscribe(world.tools, here, world.clock())
    leaving.undo_unsubscribe(world.tools, here, world.clock())
    world.clock.now_ms = max(row.due_ms for row in world.rows(due))
    world.start_all()
    plan.plan(world.tools, world.clock())
    assert leaving.withdraw(world.tools, here, world.clock())
    assert {(row.lesson_id, row.batch_id) for row in world.rows(delivery)} == {(None, None)}
    assert (world.rows(ledger), world.rows(due)) == ([], [])


def test_a_start_of_first_lessons_asks_the_ledger_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.join_all(ALICE, BOB)
    monkeypatch.delattr("funnel.store.deliveries.refused_by_ledger")
    assert [len(each.rows) for each in world.start_all()] == [2]


@pytest.fixture
def statements(world: World) -> Iterator[list[tuple[str, object]]]:
    """What the databases are asked from now on."""
    heard: list[tuple[str, object]] = []

    def hear(_connection: object, _cursor: object, statement: str, given: object, _context: object, many: bool) -> None:
        heard.append((statement, given[0] if many else given))  # type: ignore[index]

    event.listen(world.tools.engine, "before_cursor_execute", hear)
    yield heard
    event.remove(world.tools.engine, "before_cursor_execute", hear)


def test_no_step_of_a_course_reads_a_table_that_grows_from_end_to_end(
    world: World, statements: list[tuple[str, object]]
) -> None:
    """Asked of SQLite, which plans the same way however small its tables are."""
    if world.tools.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads small tables whole, and rightly so")
    world.join(ALICE, "freeze", "fawn")
    world.settle(world.start_all()[0], Report(ACCEPTED))
    world.days(8)
    give_back(world)
    by_the_test = {
        str(select(table).order_by(*table.primary_key).compile(world.tools.engine)) for table in (due, batch)
    }
    asked = {statement: given for statement, given in statements if statement not in by_the_test}
    assert len(asked) > 40
    scanned = {line for statement, given in asked.items() for line in scans(world.tools.engine, statement, given)}
    assert scanned == set()


def scans(engine: Engine, statement: str, given: object) -> list[str]:
    """The lines of a statement's plan that read a growing table, by an index or not, without a bound."""
    if statement.split()[0] not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return []
    with reading(engine) as connection:
        told = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]  # type: ignore[arg-type]
    bounded = "LIMIT" in statement and not any("TEMP B-TREE" in line for line in told)
    found = [line for line in told if any(line.startswith(f"SCAN {name}") for name in GROWING.split("|"))]
    return [] if bounded else [f"{line}: {statement}" for line in found if "ix_" not in line or "(" in line]
