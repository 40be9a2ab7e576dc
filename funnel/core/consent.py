"""What a person has agreed to, and whether that allows a mail."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

# Within so many milliseconds, at most so many service mails of a kind to one person.
NOTICE_LIMITS = {3_600_000: 4, 24 * 3_600_000: 8}
BOUNCE_MS = 30 * 24 * 3_600_000  # how long an address rests after a hard bounce
SKEW_MS = 60_000  # how far a provider's clock may be from ours


SUPPRESSED = "suppressed"  # why a service mail is not sent to an address that is not mailed
NOT_MAILED = "not mailed: see the delivery"  # why a course is paused whose lesson must not be sent
RESCHEDULED = "rescheduled"  # why a lesson is not sent whose reader has another due row


class Purpose(StrEnum):
    SENSITIVE = "sensitive"
    COURSE = "course"


class Action(StrEnum):
    GIVEN = "given"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class Standing(StrEnum):
    """Where a subscriber stands. Suppressing sets it in the same transaction, so a start reads only this."""

    PENDING = "pending"
    ACTIVE = "active"
    UNSUBSCRIBED = "unsubscribed"
    SUPPRESSED = "suppressed"
    ERASED = "erased"


class Suppressed(StrEnum):
    """Why an address is not mailed, the weakest reason first: a stronger one replaces a weaker one."""

    UNSUBSCRIBED = "unsubscribed"
    ERASED = "erased"
    BOUNCED = "bounced"
    COMPLAINT = "complaint"
    NOT_ME = "not me"

    @property
    def weaker(self) -> tuple["Suppressed", ...]:
        ranks = tuple(Suppressed)
        return ranks[: ranks.index(self)]


class Suppression(NamedTuple):
    """That an address is not mailed: for which reason, and since when."""

    reason: str
    at_ms: int


class Enrolled(StrEnum):
    """The state of an enrollment."""

    ACTIVE = "active"
    PAUSED = "paused"
    FINISHED = "finished"
    ENDED = "ended"


def wording_hash(text: str) -> str:
    """The name under which an exact wording is kept: hex SHA-256 of its UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def lesson_refusal(subscriber: str, enrollment: str, turn: int, current_turn: int) -> str | None:
    """Why a lesson must not be sent now, or None when it may.

    An active subscriber has confirmed both consents; withdrawing either ends the enrollment.
    """
    if subscriber != Standing.ACTIVE:
        return subscriber
    if enrollment != Enrolled.ACTIVE:
        return f"enrollment {enrollment}"
    if turn != current_turn:
        return RESCHEDULED
    return None


def confirming_lifts(standing: str, suppression: Suppression | None, now_ms: int) -> bool:
    """Whether a fresh sign-up may be confirmed: nothing stands against it, or only what confirming lifts.

    Somebody who unsubscribed or was erased may ask anew, and after a while whose mail bounced; a complaint stands until
    an operator lifts it, and so does a reason that nobody knows.
    """
    if suppression and suppression.reason == Suppressed.BOUNCED:
        return suppression.at_ms <= now_ms - BOUNCE_MS
    harmless = suppression is None or suppression.reason in (Suppressed.UNSUBSCRIBED, Suppressed.ERASED)
    return harmless and standing != Standing.SUPPRESSED


def notice_refusal(standing: str, suppression: Suppression | None, sent: Mapping[int, int], now_ms: int) -> str | None:
    """Why a service mail must not be sent now, or None when it may.

    `sent` tells for each window of NOTICE_LIMITS how many of its kind have been sent in it.
    """
    if not confirming_lifts(standing, suppression, now_ms):
        return SUPPRESSED
    if any(sent.get(window_ms, 0) >= most for window_ms, most in NOTICE_LIMITS.items()):
        return "too many"
    return None


def standing_after(standing: str, reason: Suppressed) -> Standing:
    """Where a subscriber stands once their address is suppressed for this reason."""
    if standing == Standing.ERASED:
        return Standing.ERASED
    if reason == Suppressed.UNSUBSCRIBED and standing != Standing.SUPPRESSED:
        return Standing.UNSUBSCRIBED
    return Standing.SUPPRESSED


def is_overtaken(reason: Suppressed, at_ms: int, standing: str, since_ms: int) -> bool:
    """Whether a reader confirmed (active since then) after what tells against them: confirming has lifted that."""
    if standing != Standing.ACTIVE or reason not in Suppressed.COMPLAINT.weaker:
        return False
    return at_ms < since_ms - SKEW_MS
