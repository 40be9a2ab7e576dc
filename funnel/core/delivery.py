"""The life of a batch and what a provider may answer."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """States of a batch; a delivery or notice has its own only where its fate differs from its batch's."""

    PLANNED = "planned"
    STARTED = "started"
    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    FAILED = "failed"
    SKIPPED = "skipped"


class Kind(StrEnum):
    LESSON = "lesson"
    NOTICE = "notice"


MOVES: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.STARTED, State.SKIPPED}),
    State.STARTED: frozenset({State.ACCEPTED, State.UNKNOWN, State.FAILED, State.SKIPPED, State.PLANNED}),
    State.UNKNOWN: frozenset({State.ACCEPTED, State.PLANNED}),
    State.ACCEPTED: frozenset(),
    State.FAILED: frozenset(),
    State.SKIPPED: frozenset(),
}

SETTLED = frozenset(state for state, onward in MOVES.items() if not onward)


def may_move(before: State, after: State) -> bool:
    return after in MOVES[before]


class Unknowns(StrEnum):
    """How a provider's unknown batches settle."""

    REPEAT = "repeat"  # handing over again changes nothing
    EVIDENCE = "evidence"  # the provider tells later
    HOLD = "hold"  # nobody can tell; after the longest wait it counts as sent


@dataclass(frozen=True)
class Fate:
    """What became of one recipient, or of a whole batch. `retry_ms` is how long to wait before a planned one starts."""

    state: State
    reason: str = ""
    reference: str = ""
    retry_ms: int = 0


@dataclass(frozen=True)
class Report:
    """A provider's answer to one batch: the fate of all, and of the positions where it differs."""

    fate: Fate
    exceptions: dict[int, Fate] = field(default_factory=dict)


ACCEPTED = Fate(State.ACCEPTED)
