"""What the bare SQL of both databases shares."""

from collections.abc import Sequence
from typing import Any, Protocol

from funnel.core.schedule import DAY_MS, HOUR_MS

BATCH_SIZE = 1000
DUE = "due_ms, enrollment_id, lesson_id, turn, subscriber_id, pattern, secondary, pace"
# Behind the uid and before the size; what it says does not matter here.
BATCH_VALUES = "'lesson', 'funnel', 'revision', 1, '', 'planned', 0, 0, 0"


class Bare(Protocol):
    """Plans, starts and settles, each a transaction, with nothing around the statements."""

    def plan(self, now_ms: int, limit: int) -> list[tuple[int, list[Any]]]:
        """Takes up to `limit` due rows; (batch, rows of (due_ms, enrollment, lesson, turn, subscriber, …))."""

    def start(self, batch_id: int, now_ms: int) -> Sequence[Any]:
        """Marks a batch and reads its people with what they are sealed in."""

    def settle(self, batch_id: int, rows: Sequence[Any], now_ms: int) -> None:
        """Marks a batch and writes the next due row of each of `rows`."""


def next_due(rows: Sequence[Any], now_ms: int) -> list[tuple[Any, ...]]:
    """One to three days on, at an hour that depends on the reader as it does on a time zone."""
    return [
        (now_ms + (1 + lesson % 3) * DAY_MS + enrollment % 12 * HOUR_MS, enrollment, lesson, *copied)
        for _, enrollment, lesson, *copied in rows
    ]
