"""What comes next for somebody in a sequence, when, and why. Everything that schedules asks here."""

from collections.abc import Collection
from dataclasses import dataclass

from funnel.core.schedule import DAY_MS, due_ms, is_zone
from funnel.core.sequence import Funnel, Lesson


@dataclass(frozen=True)
class Reader:
    """What a schedule reads of one enrollment. `zone` is an IANA name, or anything: then the funnel's counts."""

    pattern: str
    secondary: str | None
    pace: str
    zone: str


@dataclass(frozen=True)
class Step:
    """The lesson that comes next, and the instant at which it is due (epoch milliseconds)."""

    lesson: Lesson
    due_ms: int


def next_step(funnel: Funnel, reader: Reader, had: Collection[str], from_ms: int, day_ms: int = DAY_MS) -> Step | None:
    """The next lesson of the reader's sequence whose key is not in `had`, counted from `from_ms`, when the one before
    it was accepted. None when there is no more to send."""
    pattern = funnel.patterns.get(reader.pattern)
    lesson = next((each for each in pattern.lessons if each.key not in had), None) if pattern else None
    if lesson is None:
        return None
    zone = reader.zone if is_zone(reader.zone) else funnel.timezone
    return Step(lesson, due_ms(from_ms, lesson.timing, zone, reader.pace, day_ms))
