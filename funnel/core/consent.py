"""What a person has agreed to, and whether that allows a mail."""

import hashlib
from enum import StrEnum

WINDOW_MS = 3_600_000
NOTICES_PER_WINDOW = 4


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


def notice_refusal(subscriber: str, suppressed_for: str | None, sent_in_window: int) -> str | None:
    """Why a confirm mail must not be sent now, or None when it may.

    Somebody who unsubscribed or was erased may ask anew; complaints and hard bounces are not mailed.
    """
    if subscriber == Standing.SUPPRESSED or suppressed_for not in (None, Standing.UNSUBSCRIBED, Standing.ERASED):
        return "suppressed"
    if sent_in_window >= NOTICES_PER_WINDOW:
        return "too many"
    return None
