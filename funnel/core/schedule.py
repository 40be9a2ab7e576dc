"""When a lesson is due. The only place that knows local wall-clock time.

All instants are epoch milliseconds (int).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)  # whole numbers throughout: a float loses one now and then, and with it a day
PACES = {"as-written": 1, "slower": 2}


@dataclass(frozen=True)
class Timing:
    """`wait_ms` since the lesson before it was accepted; then the next local hour `at` on one of `days` (0: Monday)."""

    wait_ms: int
    at: time | None = None
    days: frozenset[int] = frozenset(range(7))


def due_ms(previous_ms: int, timing: Timing, zone: str, pace: str = "as-written", day_ms: int = DAY_MS) -> int:
    """The instant at which a lesson is due, counted from the acceptance of the one before it.

    "1 day at 09:00" means the next 09:00 that is at least half a day away: after a lesson read at 20:00 it is the
    coming morning, after one read at 22:00 the morning after that. A `day_ms` other than a real day is a
    demonstration: it scales the wait and knows no local hours.
    """
    wait_ms = timing.wait_ms * PACES[pace]
    if day_ms != DAY_MS:
        return previous_ms + wait_ms * day_ms // DAY_MS
    if timing.at is None and len(timing.days) == 7:
        return previous_ms + wait_ms
    slack_ms = DAY_MS // 2 if timing.at is not None and wait_ms >= DAY_MS else 0
    return _next_local(previous_ms + wait_ms - slack_ms, timing, zone_of(zone) or ZoneInfo(zone))


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


def _next_local(earliest_ms: int, timing: Timing, zone: ZoneInfo) -> int:
    earliest = (_EPOCH + earliest_ms * _MS).astimezone(zone)
    for ahead in range(9):
        day = earliest.date() + timedelta(days=ahead)
        if day.weekday() not in timing.days:
            continue
        if timing.at is not None:
            moment = datetime.combine(day, timing.at, zone)
        else:
            moment = earliest if not ahead else datetime.combine(day, time.min, zone)
        # An hour that the clocks skip is read as the instant it would have been; one that comes twice as its first.
        instant_ms = (moment.astimezone(UTC) - _EPOCH) // _MS
        if instant_ms >= earliest_ms:
            return instant_ms
    raise ValueError("a schedule needs at least one weekday")
