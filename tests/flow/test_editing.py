"""Whatever marketers do to a sequence, whenever they do it: a property of the real code."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from funnel.core.consent import Enrolled
from funnel.core.moving import Policy
from funnel.core.schedule import HOUR_MS
from funnel.flow import publish, rebooking
from funnel.flow.publish import Note
from funnel.keyring import Keyring
from funnel.store import publications
from funnel.store.db import open_engine, reading
from funnel.store.tables import batch, delivery, due, enrollment
from tests.conftest import Clock, make_tools
from tests.databases import Databases
from tests.desk import KITCHEN, Desk
from tests.world import ALICE, BOB

RULES = ('1 day; at = "08:30"', "3 hours", '2 days; at = "17:00"', "30 hours", '1 day; days = ["sat", "sun"]', "6 days")
written = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5, unique=True).flatmap(
    lambda keys: st.tuples(*(st.tuples(st.just(key), st.sampled_from(RULES)) for key in keys))
)
edits = st.tuples(st.just("publish"), written, st.sampled_from(Policy))
steps = st.one_of(
    edits,
    edits,
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("undo")),
    st.tuples(st.just("rollback")),
    st.tuples(st.just("begin")),  # lessons are handed over, and not settled yet
    st.tuples(st.just("half")),  # some people are moved, and the process dies
    st.tuples(st.just("join")),
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate]
)
@given(first=written, history=st.lists(steps, min_size=2, max_size=9))
def test_nobody_gets_a_lesson_twice_nobody_is_stranded_and_order_is_kept(
    databases: Databases, keyring: Keyring, first: tuple[tuple[str, str], ...], history: list[tuple[object, ...]]
) -> None:
    engine = open_engine(databases.fresh("sqlite"))
    with TemporaryDirectory() as folder:
        desk = Desk(make_tools(engine, keyring), Clock(), Path(folder))
        desk.publish(*_said(first))
        desk.join(ALICE)
        desk.join(BOB)
        desk.days(1)
        for step in history:
            _do(desk, step)
            _everybody_is_in_exactly_one_place(desk)
        _bring_home(desk)
        for address in {mail.message["To"] for mail in desk.mails()}:
            lessons = desk.lessons(address)
            assert len(lessons) == len(set(lessons))
        assert all(row.state == Enrolled.FINISHED for row in desk.rows(enrollment))
    engine.dispose()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], phases=[Phase.generate]
)
@given(first=written, second=written, policy=st.sampled_from(Policy), hours=st.integers(0, 100))
def test_after_an_edit_what_is_left_comes_in_the_new_order(
    databases: Databases,
    keyring: Keyring,
    first: tuple[tuple[str, str], ...],
    second: tuple[tuple[str, str], ...],
    policy: Policy,
    hours: int,
) -> None:
    engine = open_engine(databases.fresh("sqlite"))
    with TemporaryDirectory() as folder:
        desk = Desk(make_tools(engine, keyring), Clock(), Path(folder))
        desk.publish(*_said(first))
        desk.join(ALICE)
        _pass(desk, hours)
        before, waits = desk.lessons(ALICE), list(desk.next_lessons())
        desk.publish(*_said(second), policy=policy)
        _bring_home(desk)
        rest = desk.lessons(ALICE)[len(before) :]
        if policy == Policy.NEW_ONLY and rest[:1] == waits:
            rest = rest[1:]  # kept, wherever it stands now
        order = [key for key, _ in second]
        assert [order.index(key) for key in rest] == sorted(order.index(key) for key in rest)
        if policy == Policy.CATCH_UP and waits:
            assert set(order) == set(order) & {*before, *rest}
    engine.dispose()


def _said(lessons: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{key}: {rule}" for key, rule in lessons]


def _do(desk: Desk, step: tuple[object, ...]) -> None:
    name = step[0]
    if name == "publish":
        _, lessons, policy = step
        desk.write(*_said(lessons))  # type: ignore[arg-type]
        publish.publish(desk.tools, desk.root, desk.clock(), Note(policy=policy))  # type: ignore[arg-type]
    elif name == "undo":
        publish.undo(desk.tools, KITCHEN, desk.clock())
    elif name == "rollback":
        publish.rollback(desk.tools, KITCHEN, None, desk.clock())
    elif name == "begin":
        desk.start_all()  # who started them dies; the sweep finds out
    elif name == "half":
        rebooking.go_on(desk.tools, desk.clock(), limit=1)
    elif name == "join":
        desk.join(f"reader-{len(desk.rows(enrollment))}@example.org")
    else:
        _pass(desk, int(step[1]))  # type: ignore[call-overload]


def _pass(desk: Desk, hours: int) -> None:
    end = desk.clock() + hours * HOUR_MS
    while desk.clock() < end:
        desk.work()
        desk.clock.now_ms = min(end, desk.clock() + 5 * HOUR_MS)
    desk.work()


def _bring_home(desk: Desk) -> None:
    """What is under way was accepted, everybody is moved, and time goes by until nothing is due."""
    desk.move()
    with reading(desk.tools.engine) as connection:
        assert publications.unfinished(connection) == []
    for _ in range(60):
        desk.days(2)
        if not desk.rows(due) and all(row.state == "accepted" for row in desk.rows(batch)):
            return
    raise AssertionError("somebody is stranded")


def _everybody_is_in_exactly_one_place(desk: Desk) -> None:
    turns = {row.id: row.turn for row in desk.rows(enrollment) if row.state == Enrolled.ACTIVE}
    open_ = {row.id for row in desk.rows(batch) if row.state in ("planned", "started", "unknown")}
    places = [row.enrollment_id for row in desk.rows(due) if turns.get(row.enrollment_id) == row.turn]
    places += [
        row.enrollment_id
        for row in desk.rows(delivery)
        if row.batch_id in open_ and row.state is None and turns.get(row.enrollment_id) == row.turn
    ]
    assert sorted(places) == sorted(turns)
