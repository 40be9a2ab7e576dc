"""The dated plan of one reader: what would come when, and why, if nothing were late and nothing changed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from funnel.core.progress import Reader, Step, next_step
from funnel.core.reasons import Reason
from funnel.core.schedule import DAY_MS, Timing, paced_ms, zone_of
from funnel.core.sequence import Funnel, Lesson

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTICED = timedelta(hours=2)  # a change of the clocks alone is told of otherwise
_REMEMBERED = 50  # mails; more than any day's cap


@dataclass(frozen=True)
class Entry:
    """One lesson of the plan: `local` is the instant on the reader's clock; `notes` tell what the calendar does."""

    number: int
    lesson: Lesson
    due_ms: int
    local: datetime
    reasons: tuple[Reason, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Calendar:
    """`left_out` are the lessons of the sequence that do not come, with the reason where there is one."""

    entries: tuple[Entry, ...]
    left_out: tuple[tuple[Lesson, str], ...]


def calendar(funnel: Funnel, reader: Reader, start_ms: int, day_ms: int = DAY_MS) -> Calendar:
    """What a reader gets who confirms at `start_ms` (epoch milliseconds), each lesson accepted when it is due."""
    zone = zone_for(funnel, reader.zone)
    entries: list[Entry] = []
    passed: dict[str, str] = {}
    before_ms = start_ms
    for step in steps(funnel, reader, (), start_ms, day_ms):
        passed |= {reason.lesson: str(reason) for reason in step.reasons if reason.lesson}
        local = wall(step.due_ms, zone)
        moment = tuple(reason for reason in step.reasons if not reason.lesson)
        before = wall(before_ms, zone)
        notes = (
            *_too_soon(step.lesson.timing, reader.pace, before, local),
            *_clocks(step.lesson.timing, before, local),
        )
        entries.append(Entry(len(entries) + 1, step.lesson, step.due_ms, local, moment, notes))
        before_ms = step.due_ms
    come = {each.lesson.key for each in entries}
    lessons = funnel.patterns[reader.pattern].lessons
    left_out = tuple((each, passed.get(each.key, "")) for each in lessons if each.key not in come)
    return Calendar(tuple(entries), left_out)


def steps(funnel: Funnel, reader: Reader, had: Collection[str], from_ms: int, day_ms: int = DAY_MS) -> Iterator[Step]:
    """What comes after the lessons `had`, one after the other, each accepted when it is due."""
    given = set(had)
    while step := next_step(funnel, reader, given, from_ms, day_ms):
        yield step
        given.add(step.lesson.key)
        from_ms = step.due_ms
        reader = replace(reader, mailed=(*reader.mailed, from_ms)[-_REMEMBERED:])


def zone_for(funnel: Funnel, name: str) -> tzinfo:
    """The zone that a reader's name for it means: the funnel's where there is none of that name."""
    return zone_of(name) or zone_of(funnel.timezone) or UTC


def wall(at_ms: int, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


def instant(local: datetime, zone: tzinfo) -> int:
    """Epoch milliseconds of a local time: one that the clocks skip is the instant that it would have been, one that
    comes twice its first."""
    return (local.replace(tzinfo=zone, fold=0).astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def offset(local: datetime) -> str:
    """The offset from UTC, as +01:00."""
    written = f"{local:%z}"
    return f"{written[:3]}:{written[3:5]}"


def _too_soon(timing: Timing, pace: str, before: datetime, local: datetime) -> Iterator[str]:
    """Why a lesson comes clearly later than its wait: the same hour of the day before would have been too early."""
    if timing.at is None or not timing.wait_ms:
        return
    wait = timedelta(milliseconds=paced_ms(timing.wait_ms, pace))
    earlier = datetime.combine(local.date() - timedelta(days=1), timing.at, local.tzinfo)
    after = earlier.astimezone(UTC) - before.astimezone(UTC)
    late = local.astimezone(UTC) - before.astimezone(UTC) - wait
    if late >= _NOTICED and timedelta() < after < wait and earlier.weekday() in timing.days:
        least = wait - timedelta(days=1) / 2 if wait >= timedelta(days=1) else wait
        if after < least:
            yield f"{earlier:%a %H:%M} would be less than {_hours(least)} after the one before"


def _hours(length: timedelta) -> str:
    return f"{length / timedelta(hours=1):g} h"


def _clocks(timing: Timing, before: datetime, local: datetime) -> Iterator[str]:
    """What a change of the clocks has to do with a lesson, in the words of an explanation."""
    if before.utcoffset() != local.utcoffset():
        ahead = (local.utcoffset() or timedelta()) > (before.utcoffset() or timedelta())
        way = "forward" if ahead else "back"
        yield f"the clocks went {way} since the one before: {offset(before)} became {offset(local)}"
    if timing.at is not None and _is_skipped(local.date(), timing.at, local.tzinfo):
        yield f"the clocks skip {timing.at:%H:%M} on this day: it is the instant that it would have been"
    if _comes_twice(local):
        yield f"{local:%H:%M} comes twice on this day: this is the {'second' if local.fold else 'first'} time"


def _is_skipped(day: date, clock: time, zone: tzinfo | None) -> bool:
    written = datetime.combine(day, clock, zone)
    return written.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != written.replace(tzinfo=None)


def _comes_twice(local: datetime) -> bool:
    differs = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    return differs and not _is_skipped(local.date(), local.time(), local.tzinfo)
