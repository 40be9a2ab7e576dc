"""The calendar foretells what the real code then does."""

import pytest

from funnel.core.calendar import calendar
from funnel.core.progress import Reader
from funnel.store.tables import batch
from tests.world import ALICE, World

ON_SATURDAY_MS = 1_806_181_800_000  # 27 March 2027, 22:10 in Berlin: the clocks change in that night


@pytest.mark.parametrize("pattern", ["freeze", "flight"])
def test_what_the_calendar_says_is_what_arrives(world: World, pattern: str) -> None:
    world.clock.now_ms = ON_SATURDAY_MS
    world.join(ALICE, pattern, "fawn")
    told = calendar(world.funnel(), Reader(pattern, "fawn", "as-written", "Europe/Berlin"), world.clock())
    world.days(20)
    happened = [row.settled_ms for row in world.rows(batch) if row.kind == "lesson"]
    assert happened == [each.due_ms for each in told.entries]
    assert world.lessons(ALICE) == [each.lesson.source.subject for each in told.entries]
