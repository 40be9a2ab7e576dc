"""What will be sent: what the due table promises, counted, and what would follow, projected."""

from collections import Counter

from funnel.core.schedule import DAY_MS, HOUR_MS
from funnel.flow import course, holding
from funnel.flow.forecast import forecast
from funnel.store.tables import batch, delivery, due
from tests.conftest import NAME
from tests.world import ALICE, BOB, CHARLIE, World


def hour(at_ms: int) -> int:
    return at_ms - at_ms % HOUR_MS


def sent_by_hour(world: World) -> Counter[int]:
    """An hour's beginning → lessons accepted in it."""
    sent: Counter[int] = Counter()
    for row in world.rows(batch):
        if row.kind == "lesson":
            sent[hour(row.settled_ms)] += row.size
    return sent


def test_what_is_due_is_counted_by_the_hour_and_what_is_late_apart(world: World) -> None:
    world.join_all(ALICE, BOB)
    world.work()
    [first, second] = world.rows(due)
    assert first.due_ms == second.due_ms
    told = forecast(world.tools, world.clock(), world.clock() + 2 * DAY_MS).funnels[NAME]
    assert (told.due, told.overdue, told.oldest_ms) == ({hour(first.due_ms): 2}, 0, None)
    late = forecast(world.tools, first.due_ms, first.due_ms + DAY_MS).funnels[NAME]
    assert (late.due, late.overdue, late.oldest_ms) == ({}, 2, first.due_ms)


def test_the_window_is_kept_and_a_lesson_under_way_is_counted_once(world: World) -> None:
    world.join(ALICE)
    [started] = world.start_all()
    assert len(started.rows) == 1
    told = forecast(world.tools, world.clock(), world.clock() + DAY_MS).funnels[NAME]
    assert (told.due, told.overdue, told.under_way) == ({}, 0, 1)
    world.settle(started, world.provider.hand_over(started.mailing))
    [waiting] = world.rows(due)
    assert forecast(world.tools, world.clock(), waiting.due_ms - 1).funnels[NAME].due == {}
    assert forecast(world.tools, world.clock(), waiting.due_ms).funnels[NAME].due == {hour(waiting.due_ms): 1}


def test_a_due_row_of_an_old_turn_will_not_be_sent_and_is_not_counted(world: World) -> None:
    world.join(ALICE)
    world.work()
    [had] = world.rows(delivery)
    assert course.choose(world.tools, had.id, "fight", world.clock())
    assert len(world.rows(due)) == 2
    told = forecast(world.tools, world.clock(), world.clock() + 2 * DAY_MS).funnels[NAME]
    assert (sum(told.due.values()), told.overdue) == (0, 1)


def test_what_is_projected_is_what_then_happens(world: World) -> None:
    """One reader who has had a lesson, one who waits for the first, one who is through."""
    world.join(CHARLIE)
    world.days(40)
    world.join(ALICE)
    world.work()
    world.join(BOB, "fight", "freeze")
    begun_ms, until_ms = world.clock(), world.clock() + 30 * DAY_MS
    told = forecast(world.tools, begun_ms, until_ms, project=True).funnels[NAME]
    assert told.projected is not None
    coming = dict(told.projected)
    for hour_ms, count in [*told.due.items(), (hour(begun_ms), told.overdue)]:
        coming[hour_ms] = coming.get(hour_ms, 0) + count
    before = sent_by_hour(world)
    world.days(30)
    assert coming == dict(sent_by_hour(world) - before)
    assert sum(coming.values()) == 6 + 7


def test_a_hold_is_told_beside_the_figures(world: World) -> None:
    world.join(ALICE)
    assert holding.pause(world.tools.engine, f"funnel:{NAME}", "lunch", world.clock()) is None
    told = forecast(world.tools, world.clock(), world.clock() + DAY_MS)
    assert (told.held, told.funnels[NAME].overdue) == ({f"funnel:{NAME}": "lunch"}, 1)
