"""The breaker for our own mistakes: far more mail than was due, or the same lesson twice to one address.

Either holds the funnel until a person has looked.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Protocol

from sqlalchemy import Connection, Engine

from funnel.core.schedule import HOUR_MS
from funnel.store import holds, volumes
from funnel.store.db import reading, writing

# An hour brings what was due at its start, and what its sign-ups begin: a lesson at once for each, and courses of which
# several lessons are hours apart. Thrice the forecast is no such hour any more; the allowance lets a quiet funnel be
# discovered by a crowd, and is few enough to apologize to.
TIMES_FORECAST = 3
ALLOWANCE = 1_000
TAG_BYTES = 8


class Marks(Protocol):
    """Remembers, apart from the database, what was handed over; for a day at least, two at most."""

    def others(self, lesson: str, tags: Mapping[bytes, int], now_ms: int) -> dict[int, int]:
        """Marks deliveries by their tags. Returns delivery → the other one that has left its mark on that tag."""
        ...

    def forget(self, tags: Mapping[str, bytes], now_ms: int) -> bool:
        """Takes the marks of these tags off, lesson → tag. False when that cannot be done just now."""
        ...


class NoMarks:
    """For a service without Redis: sees nothing."""

    def others(self, lesson: str, tags: Mapping[bytes, int], now_ms: int) -> dict[int, int]:  # noqa: ARG002 -- remembers nothing
        return {}

    def forget(self, tags: Mapping[str, bytes], now_ms: int) -> bool:  # noqa: ARG002 -- remembers nothing
        return True


def forecast(connection: Connection, now_ms: int) -> None:
    """Once an hour: what the due table promises for it, funnel by funnel. To be called before due rows are taken."""
    hour_ms = _hour(now_ms)
    if not volumes.begun(connection, hour_ms):
        volumes.begin(connection, hour_ms, volumes.due_before(connection, hour_ms + HOUR_MS))


def volume(connection: Connection, planned: Mapping[str, int], now_ms: int, *, real_time: bool = True) -> list[str]:
    """Counts the lessons planned per funnel, and holds the funnels of which there are too many: their names.

    What was planned goes out; the next planning does not. To be called last in the planning transaction: the counters
    stay locked until it ends. With a day that is not real (`real_time` False) no hour means anything.
    """
    if not real_time:
        return []
    tripped = []
    for row in volumes.add(connection, _hour(now_ms), {name: count for name, count in planned.items() if count}):
        if row.planned > TIMES_FORECAST * row.forecast + ALLOWANCE:
            reason = f"volume: planned {row.planned}, forecast {row.forecast} in this hour"
            if holds.put_missing(connection, holds.funnel_scope(row.funnel), reason, now_ms):
                tripped.append(row.funnel)
    return tripped


def begin_anew(connection: Connection, funnel: str, now_ms: int) -> None:
    """A person has looked and resumed the funnel: what is due by the end of the hour is what was meant."""
    hour_ms = _hour(now_ms)
    due = volumes.due_before(connection, hour_ms + HOUR_MS)
    volumes.begin(connection, hour_ms, due)
    volumes.begin_anew(connection, hour_ms, funnel, due.get(funnel, 0))


def seen_twice(
    engine: Engine, marks: Marks, key: bytes, funnel: str, lesson: str, addresses: Mapping[int, str], now_ms: int
) -> int:
    """How many of these deliveries (id → address) would bring a lesson to an address that has just had it.

    To be called before the hand-over of a batch's first attempt; more than none holds the funnel, and the batch is not
    to be handed over. Later attempts repeat what was marked, and what a person resumed. `key` makes the tags opaque.
    """
    tags: dict[bytes, int] = {}
    doubled = 0
    for delivery_id, address in addresses.items():
        doubled += tags.setdefault(_tag(key, lesson, address), delivery_id) != delivery_id
    others = marks.others(lesson, tags, now_ms)
    if others:
        with reading(engine) as connection:
            excused = volumes.reached_nobody(connection, set(others.values()))
        doubled += sum(other not in excused for other in others.values())
    if doubled:
        reason = f"double: {doubled} of {len(addresses)} readers in a batch have had this lesson"
        with writing(engine) as connection:
            holds.put_missing(connection, holds.funnel_scope(funnel), reason, now_ms)
    return doubled


def forget(marks: Marks, key: bytes, lessons: Collection[int], address: str, now_ms: int) -> bool:
    """Nobody has had these lessons at this address, for all we know: who was erased may begin anew. False when the
    marks cannot be taken off just now."""
    return marks.forget({str(lesson): _tag(key, str(lesson), address) for lesson in lessons}, now_ms)


def _tag(key: bytes, lesson: str, address: str) -> bytes:
    plain = f"{lesson}\n{address.strip().lower()}".encode()
    return hashlib.blake2b(plain, key=key, digest_size=TAG_BYTES).digest()


def _hour(now_ms: int) -> int:
    return now_ms - now_ms % HOUR_MS
