"""Who is where in which course, drawn at random before any row is written."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import mul

from benchmarks.mix import KINDS, STEPS, Mix
from funnel.core.schedule import DAY_MS, HOUR_MS

_OF_STEPS, _OF_KINDS = (bytes(byte % count for byte in range(256)) for count in (STEPS, KINDS))


@dataclass(frozen=True)
class Shape:
    """How much of everything.

    Of `readers` who are in a course, `due` have a lesson due within the `spread_ms` before now, as many more within the
    next `spread_ms`, and so on for as many `rounds`; the others within a month, an hour later at the earliest. Earlier
    readers who have finished are added until there are `past` deliveries. `moved_on` is the share of those not due in
    any round who may have had a lesson at all.
    """

    readers: int
    due: int
    rounds: int = 1
    spread_ms: int = 10 * 60_000
    past: int = 0
    moved_on: float = 1.0
    # PostgreSQL's due rows in no order at all; else as the service writes them: whoever is due together was sent the
    # lesson before together, in the morning of a time zone.
    scattered: bool = True
    sealed: bool = True  # everybody under a key of their own and with consents; else one sealed person for all


@dataclass(frozen=True)
class Crowd:
    """Readers by id from 1, the first `finished` of whom have had every lesson.

    `kinds` and `steps` (lessons received) stand at id - 1; `rounds` has the round in which who is due soon is due.
    """

    kinds: bytes
    steps: bytes
    finished: int
    rounds: Mapping[int, int]


def draw(shape: Shape, chance: random.Random) -> Crowd:
    soon = chance.sample(range(shape.readers), shape.due * shape.rounds)
    steps = bytearray(chance.randbytes(shape.readers).translate(_OF_STEPS))
    if shape.moved_on < 1:
        kept = [steps[place] for place in soon]
        moved = bytes(byte < 256 * shape.moved_on for byte in range(256))
        steps = bytearray(map(mul, steps, chance.randbytes(shape.readers).translate(moved)))
        for place, step in zip(soon, kept, strict=True):
            steps[place] = step
    finished = max(0, -(-(shape.past - sum(steps)) // STEPS))
    kinds = chance.randbytes(finished + shape.readers).translate(_OF_KINDS)
    rounds = {finished + 1 + place: number // shape.due for number, place in enumerate(soon)}
    return Crowd(kinds, bytes([STEPS]) * finished + bytes(steps), finished, rounds)


def due_moments(shape: Shape, crowd: Crowd, chance: random.Random, now_ms: int) -> Iterator[tuple[int, int]]:
    """(due_ms, reader) of everybody who is in a course, by reader."""
    later_ms = now_ms + (shape.rounds - 1) * shape.spread_ms + HOUR_MS
    soon = crowd.rounds.get
    for reader in range(crowd.finished + 1, len(crowd.kinds) + 1):
        place = soon(reader)
        if place is None:
            yield later_ms + int(chance.random() * 30 * DAY_MS), reader
        else:
            yield now_ms + place * shape.spread_ms - int(chance.random() * shape.spread_ms), reader


def received(crowd: Crowd) -> list[list[list[int]]]:
    """The readers who have had a lesson, by kind, then by the number of lessons they have had."""
    found: list[list[list[int]]] = [[[] for _ in range(STEPS + 1)] for _ in range(KINDS)]
    for reader, (kind, steps) in enumerate(zip(crowd.kinds, crowd.steps, strict=True), 1):
        if steps:
            found[kind][steps].append(reader)
    return found


def groups(step: int, mix: Mix, readers: list[list[list[int]]]) -> dict[tuple[int, str], list[int]]:
    """(lesson, segment) → the readers who have had the lesson of this step; `readers` as of `received`."""
    found: dict[tuple[int, str], list[int]] = defaultdict(list)
    for kind, by_steps in enumerate(readers):
        alike = found[mix.lessons[kind][step], mix.segments[kind][step]]
        for members in by_steps[step + 1 :]:
            alike += members
    return found
