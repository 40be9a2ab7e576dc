"""What a person has agreed to, and whether that allows a mail."""

import hashlib
from collections.abc import Mapping
from enum import StrEnum

NOTICE_LIMITS = {3_600_000: 4, 24 * 3_600_000: 8}  # within so many milliseconds, at most so many to one person


NOT_MAILED = "not mailed: see the delivery"  # why a course is paused whose lesson must not be sent


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
        return "rescheduled"
    return None


def notice_refusal(subscriber: str, suppressed_for: str | None, sent: Mapping[int, int]) -> str | None:
    """Why a confirm mail must not be sent now, or None when it may.

    Somebody who unsubscribed or was erased may ask anew; complaints and hard bounces are not mailed. `sent` tells for
    each window of NOTICE_LIMITS how many have been sent in it.
    """
    if subscriber == Standing.SUPPRESSED or suppressed_for not in (None, Standing.UNSUBSCRIBED, Standing.ERASED):
        return "suppressed"
    if any(sent.get(window_ms, 0) >= most for window_ms, most in NOTICE_LIMITS.items()):
        return "too many"
    return None
