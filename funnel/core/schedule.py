"""When a lesson is due. The only place that knows local wall-clock time.

All instants are epoch milliseconds (int).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from funnel.core.reasons import Code, Reason

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
GRACE_MS = 15 * 60_000  # what a busy service may take without anybody calling it late
LATE_MS = 3 * HOUR_MS  # from then on a lesson is better at its own hour the next day
PACES = ("as-written", "slower", "daily")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)  # whole numbers throughout: a float loses one now and then, and with it a day
_EVERY_DAY = frozenset(range(7))


@dataclass(frozen=True)
class Timing:
    """`wait_ms` since the lesson before it was accepted; then the next local hour `at` on one of `days` (0: Monday).

    Nothing is due earlier in a day than `not_before`, nor in the `quiet` hours, which begin with the first, end with
    the second, and may span midnight.
    """

    wait_ms: int
    at: time | None = None
    days: frozenset[int] = _EVERY_DAY
    not_before: time | None = None
    quiet: tuple[time, time] | None = None

    @property
    def at_once(self) -> bool:
        """Whether it answers the reader's own act: no day, no hour and no cap holds it back."""
        return self.wait_ms == 0 and self.at is None


@dataclass(frozen=True)
class Awaited:
    """An event that a lesson waits for, `most_ms` at most; `reached_ms` is when it came, None until then."""

    event: str
    most_ms: int
    reached_ms: int | None = None


@dataclass(frozen=True)
class Due:
    """The instant, and what made it."""

    ms: int
    reasons: tuple[Reason, ...]


def due_ms(previous_ms: int, timing: Timing, zone: str, pace: str = "as-written", day_ms: int = DAY_MS) -> int:
    """The instant at which a lesson is due that waits for no event; see `due`."""
    return due(previous_ms, timing, zone, pace, day_ms).ms


def due(
    previous_ms: int,
    timing: Timing,
    zone: str,
    pace: str = "as-written",
    day_ms: int = DAY_MS,
    awaited: Awaited | None = None,
    full: Collection[date] = (),
) -> Due:
    """When a lesson is due, counted from the acceptance of the one before it, and why.

    "1 day at 09:00" means the next 09:00 that is at least half a day away: after a lesson read at 20:00 it is the
    coming morning, after one read at 22:00 the morning after that. `full` are the reader's local days on which nothing
    more may be due. A `day_ms` other than a real day is a demonstration: it scales the wait and knows no local hours.
    Raises ValueError for a timing that no moment ever fits, and for an unknown zone.
    """
    earliest_ms, reasons = _earliest(previous_ms, timing, pace, day_ms, awaited)
    if timing.at_once and (awaited is None or awaited.reached_ms is not None):
        return Due(earliest_ms, (*reasons, Reason(Code.OWN_ACT)))
    if day_ms != DAY_MS:
        return Due(earliest_ms, (*reasons, Reason(Code.SHORT_DAY)))
    came = awaited is not None and awaited.reached_ms == earliest_ms
    if timing.at is not None and earliest_ms - previous_ms >= DAY_MS and not came:
        earliest_ms -= DAY_MS // 2
    found_ms, moved = _next_local(earliest_ms, timing, zone_of(zone) or ZoneInfo(zone), full)
    return Due(found_ms, (*reasons, *moved))


def put_off_ms(due_at_ms: int, now_ms: int, timing: Timing, zone: str, full: Collection[date] = ()) -> int:
    """When something comes that was due at `due_at_ms` and is still here: then, unless it is late.

    Late, it comes at the next moment that the timing allows, whatever it waited for; late by less than LATE_MS, at
    once where the reader's clock allows that.
    """
    if now_ms - due_at_ms <= GRACE_MS:
        return due_at_ms
    found = zone_of(zone) or ZoneInfo(zone)
    if now_ms - due_at_ms <= LATE_MS and is_open(now_ms, timing, zone) and _wall(now_ms, found).date() not in full:
        return due_at_ms
    return _next_local(now_ms, timing, found, full)[0]


def paced_ms(wait_ms: int, pace: str) -> int:
    """A wait as somebody with this pace has it: twice as long when slower, and daily no longer than a day."""
    if pace == "slower":
        return wait_ms * 2
    return min(wait_ms, DAY_MS) if pace == "daily" else wait_ms


def is_open(instant_ms: int, timing: Timing, zone: str) -> bool:
    """Whether something that is late already may be due at this instant, by the local day and hour alone."""
    wall = _wall(instant_ms, zone_of(zone) or ZoneInfo(zone))
    return wall.weekday() in timing.days and _shut(wall.time(), timing) is None


def local_day(instant_ms: int, zone: str) -> date:
    """The date that the reader's calendar shows."""
    return _wall(instant_ms, zone_of(zone) or ZoneInfo(zone)).date()


def span_text(length_ms: int) -> str:
    """A wait as marketers write it: "2 days", "6 hours"."""
    unit_ms, unit = (DAY_MS, "day") if length_ms % DAY_MS == 0 else (HOUR_MS, "hour")
    count = length_ms // unit_ms
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


@lru_cache(1024)  # zoneinfo itself remembers eight
def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of that name in the IANA database; None when there is none."""
    if "/" not in name and name != "UTC":
        return None  # "localtime" and its like depend on the machine
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def is_zone(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database."""
    return zone_of(name) is not None


def _earliest(
    previous_ms: int, timing: Timing, pace: str, day_ms: int, awaited: Awaited | None
) -> tuple[int, list[Reason]]:
    """The wait alone, without any local hour."""
    wait_ms = paced_ms(timing.wait_ms, pace)
    reasons = [Reason(Code.WAIT, span_text(timing.wait_ms))]
    if wait_ms != timing.wait_ms:
        reasons.append(Reason(Code.PACE, pace))
    earliest_ms = previous_ms + wait_ms * day_ms // DAY_MS
    if awaited is None:
        return earliest_ms, reasons
    latest_ms = max(earliest_ms, previous_ms + paced_ms(awaited.most_ms, pace) * day_ms // DAY_MS)
    if awaited.reached_ms is None or awaited.reached_ms > latest_ms:
        return latest_ms, [*reasons, Reason(Code.NO_EVENT, awaited.event)]
    return max(earliest_ms, awaited.reached_ms), [*reasons, Reason(Code.EVENT, awaited.event)]


def _next_local(
    earliest_ms: int, timing: Timing, zone: ZoneInfo, full: Collection[date]
) -> tuple[int, tuple[Reason, ...]]:
    """The first instant from `earliest_ms` on that the timing allows, and the rules that moved it."""
    if timing == Timing(timing.wait_ms) and not full:
        return earliest_ms, ()
    moved = [Reason(Code.AT, f"{timing.at:%H:%M}")] if timing.at is not None else []
    first = _wall(earliest_ms, zone)
    if timing.at is None and (shut := _shut(first.time(), timing)):
        moved.append(shut)
    for ahead in range(16 + 7 * len(full)):
        day = first.date() + timedelta(days=ahead)
        if day.weekday() not in timing.days:
            moved.append(Reason(Code.DAYS, ", ".join(WEEKDAYS[each] for each in sorted(timing.days))))
            continue
        if day in full:
            moved.append(Reason(Code.CAP))
            continue
        found_ms = _on_day(day, earliest_ms, timing, zone)
        if found_ms is None or _wall(found_ms, zone).date() in full:
            continue
        if timing.at is not None and (shut := _shut(_wall(found_ms, zone).time(), timing)):
            later_ms, why = _next_local(found_ms, replace(timing, at=None), zone, full)
            return later_ms, tuple(dict.fromkeys((*moved, shut, *why)))
        return found_ms, tuple(dict.fromkeys(moved))
    raise ValueError("a schedule needs at least one weekday and one open hour")


def _on_day(day: date, earliest_ms: int, timing: Timing, zone: ZoneInfo) -> int | None:
    """The first instant of a local day that fits, from `earliest_ms` on.

    An hour that the clocks skip is read as the instant it would have been; one that comes twice as its first.
    """
    if timing.at is not None:
        instant_ms = _instant(day, timing.at, zone)
        return instant_ms if instant_ms >= earliest_ms else None
    for instant_ms in sorted({earliest_ms, *_openings(day, timing, zone)}):
        wall = _wall(instant_ms, zone)
        if instant_ms >= earliest_ms and wall.date() == day and _shut(wall.time(), timing) is None:
            return instant_ms
    return None


def _openings(day: date, timing: Timing, zone: ZoneInfo) -> Iterator[int]:
    """The instants of a local day at which closed hours may end: by their rule, or because the clocks are changed."""
    for start in (time.min, timing.not_before, timing.quiet[1] if timing.quiet else None):
        if start is not None:
            yield _instant(day, start, zone)
    low_ms, high_ms = _instant(day, time.min, zone) - HOUR_MS, _instant(day + timedelta(days=1), time.min, zone)
    before = _wall(low_ms, zone).utcoffset()
    if before == _wall(high_ms, zone).utcoffset():
        return
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        low_ms, high_ms = (middle_ms, high_ms) if _wall(middle_ms, zone).utcoffset() == before else (low_ms, middle_ms)
    yield high_ms


def _shut(clock: time, timing: Timing) -> Reason | None:
    """The rule that closes this local time, if one does."""
    if timing.not_before is not None and clock < timing.not_before:
        return Reason(Code.NOT_BEFORE, f"{timing.not_before:%H:%M}")
    if timing.quiet is None:
        return None
    begin, end = timing.quiet
    inside = begin <= clock < end if begin <= end else clock >= begin or clock < end
    return Reason(Code.QUIET, f"{begin:%H:%M}-{end:%H:%M}") if inside else None


def _instant(day: date, clock: time, zone: ZoneInfo) -> int:
    return (datetime.combine(day, clock, zone).astimezone(UTC) - _EPOCH) // _MS


def _wall(instant_ms: int, zone: ZoneInfo) -> datetime:
    return (_EPOCH + instant_ms * _MS).astimezone(zone)
