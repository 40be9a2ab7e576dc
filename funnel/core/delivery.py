"""The whole life of a delivery as one table, and what a provider may answer.

Decisions are ours and are fenced by whoever makes them. Evidence is what the provider says; it counts from any attempt,
in any order and any number of times: each kind of it only ever moves a delivery up one ladder.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """States of a delivery, a notice and a batch. One of a batch's own is kept only where its fate differs."""

    PLANNED = "planned"
    STARTED = "started"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    FAILED = "failed"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    DROPPED = "dropped"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    COMPLAINED = "complained"


class Cause(StrEnum):
    """Why a delivery moves: our decisions, then the provider's evidence."""

    START = "start"
    AGAIN = "again"  # nothing was sent: the provider said "later", or there was no connection
    REFUSE = "refuse"  # nothing was sent, and nothing ever will be
    SKIP = "skip"  # it may not be sent
    DOUBT = "doubt"  # nobody can tell whether it was sent
    RESEND = "resend"  # it was not, as far as evidence or a person can tell
    ASSUME = "assume"  # it counts as sent
    RENEW = "renew"  # the lesson is due once more, and was never received
    ACCEPT = "accept"
    DEFER = "defer"
    DROP = "drop"
    DELIVER = "deliver"
    BOUNCE = "bounce"
    COMPLAIN = "complain"


@dataclass(frozen=True)
class Move:
    """From any of `befores` to `after`; whatever else the state is, it stays."""

    befores: frozenset[State]
    after: State


_UNSENT = frozenset({State.PLANNED, State.STARTED, State.UNKNOWN, State.SKIPPED, State.FAILED})

MOVES: dict[Cause, Move] = {
    Cause.START: Move(frozenset({State.PLANNED}), State.STARTED),
    Cause.AGAIN: Move(frozenset({State.STARTED}), State.PLANNED),
    Cause.REFUSE: Move(frozenset({State.STARTED}), State.FAILED),
    Cause.SKIP: Move(frozenset({State.PLANNED, State.STARTED}), State.SKIPPED),
    Cause.DOUBT: Move(frozenset({State.STARTED}), State.UNKNOWN),
    Cause.RESEND: Move(frozenset({State.UNKNOWN}), State.PLANNED),
    Cause.ASSUME: Move(frozenset({State.UNKNOWN}), State.ACCEPTED),
    Cause.RENEW: Move(frozenset({State.SKIPPED, State.FAILED}), State.PLANNED),
    Cause.ACCEPT: Move(_UNSENT, State.ACCEPTED),
    Cause.DEFER: Move(_UNSENT | {State.ACCEPTED}, State.DEFERRED),
    Cause.DROP: Move(_UNSENT | {State.ACCEPTED, State.DEFERRED}, State.DROPPED),
    Cause.DELIVER: Move(_UNSENT | {State.ACCEPTED, State.DEFERRED, State.DROPPED}, State.DELIVERED),
    Cause.BOUNCE: Move(frozenset(State) - {State.BOUNCED, State.COMPLAINED}, State.BOUNCED),
    Cause.COMPLAIN: Move(frozenset(State) - {State.COMPLAINED}, State.COMPLAINED),
}

EVIDENCE = (Cause.ACCEPT, Cause.DEFER, Cause.DROP, Cause.DELIVER, Cause.BOUNCE, Cause.COMPLAIN)
HANDED_OVER = frozenset(MOVES[cause].after for cause in EVIDENCE)
NEVER_SENT = MOVES[Cause.RENEW].befores
SETTLED = HANDED_OVER | NEVER_SENT


def after(state: State, cause: Cause) -> State:
    """The state that follows; the same one where this cause changes nothing."""
    move = MOVES[cause]
    return move.after if state in move.befores else state


def bit(attempt: int) -> int:
    """The bit that stands for an attempt, counted from 1; late attempts share the last one that fits 64 bits."""
    return 1 << min(attempt, 60)


class Kind(StrEnum):
    LESSON = "lesson"
    NOTICE = "notice"


class Unknowns(StrEnum):
    """How a provider's unknown batches settle."""

    REPEAT = "repeat"  # handing over again changes nothing
    EVIDENCE = "evidence"  # the provider tells later
    POLICY = "policy"  # nobody can tell: as the funnel declares


@dataclass(frozen=True)
class Fate:
    """What became of one recipient, or of a whole batch: planned again, unknown, accepted or failed.

    `retry_ms` is how long to wait, at least, before a planned one starts.
    """

    state: State
    reason: str = ""
    reference: str = ""
    retry_ms: int = 0


class Health(StrEnum):
    """What an answer tells about the provider as a whole; the breaker listens to it."""

    FINE = "fine"
    UNASKED = "unasked"  # it was asked nothing
    BUSY = "busy"  # it asks everybody to wait: for the fate's `retry_ms`, not longer
    FAILING = "failing"  # it broke, or cannot be reached
    REFUSING = "refusing"  # it wants none of our mail until a person has looked


@dataclass(frozen=True)
class Report:
    """A provider's answer to one batch: the fate of all, and of the places where it differs.

    `split`: the batch was too large, and nothing of it was sent; its halves may fit.
    """

    fate: Fate
    exceptions: dict[int, Fate] = field(default_factory=dict)
    health: Health = Health.FINE
    split: bool = False


ACCEPTED = Fate(State.ACCEPTED)

CAUSE_OF: dict[State, Cause] = {
    State.ACCEPTED: Cause.ACCEPT,
    State.PLANNED: Cause.AGAIN,
    State.FAILED: Cause.REFUSE,
    State.UNKNOWN: Cause.DOUBT,
}
