"""The courses as readers of every kind really receive them, asked of the same code that schedules."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import product
from typing import Any

from funnel.core.progress import Reader, next_step
from funnel.core.schedule import DAY_MS, HOUR_MS, PACES, zone_of
from funnel.core.sequence import Funnel, Lesson, Pattern

START_MS = 1_795_392_000_000  # Monday 23 November 2026, 00:00 UTC
_STARTS_MS = tuple(START_MS + day * DAY_MS + hour * HOUR_MS for day in (0, 3, 5) for hour in (1, 9, 20, 23))
LONGEST = 1_000


@dataclass(frozen=True)
class Received:
    """One lesson as one reader got it: the local time, and the whole days since the lesson before (None: the first)."""

    lesson: Lesson
    local: datetime
    days_since: int | None
    pace: str


def readers(funnel: Funnel, pattern: str) -> Iterator[Reader]:
    """One of every kind: each second pattern or none, each pace, and each locale and every event where one is read."""
    others: list[str | None] = [None, *(key for key in funnel.patterns if key != pattern)]
    known: dict[str, list[Any]] = {
        "pattern": [pattern],
        "secondary": others,
        "pace": list(PACES),
        "zone": [funnel.timezone],
        "locale": list(funnel.locales),
        "events": [{}, dict.fromkeys(_events(funnel.patterns[pattern]), START_MS)],
    }
    names = [field.name for field in fields(Reader) if field.name in known]
    for values in product(*(known[name] for name in names)):
        yield Reader(**dict(zip(names, values, strict=True)))


def _events(pattern: Pattern) -> set[str]:
    """The events that a sequence waits for or asks about."""
    found = set()
    for lesson in pattern.lessons:
        if lesson.until:
            found.add(lesson.until.event)
        for condition in (*lesson.only_if, *lesson.unless):
            found |= set(condition.values) if condition.trait == "event" else set()
    return found


def course(funnel: Funnel, reader: Reader, start_ms: int) -> Iterator[Received]:
    """What one reader receives who starts then and is sent everything in time."""
    zone = zone_of(reader.zone)
    had: list[str] = []
    at_ms, before = start_ms, None
    while len(had) < LONGEST and (step := next_step(funnel, reader, had, at_ms)):
        at_ms = max(step.due_ms, at_ms)
        local = datetime.fromtimestamp(at_ms / 1000, zone)
        days = (local.date() - before.date()).days if before else None
        yield Received(step.lesson, local, days, reader.pace)
        had.append(step.lesson.key)
        before = local


def received(funnel: Funnel, pattern: Pattern) -> Iterator[list[Received]]:
    """Every course of a pattern: each kind of reader, from several hours and weekdays on."""
    if pattern.key not in funnel.patterns:
        return
    for reader in readers(funnel, pattern.key):
        for start_ms in _STARTS_MS:
            yield list(course(funnel, reader, start_ms))
