"""What a provider tells later, boiled down: what moves a delivery, what suppresses an address. All of it as tables."""

import re
from enum import StrEnum
from typing import NamedTuple

from funnel.core.consent import Suppressed
from funnel.core.delivery import Cause

POSITIONS = 1000  # the most recipients that a batch ever has


class Why(StrEnum):
    """Why the provider says so, as a closed set: its own words may hold an address."""

    NONE = ""
    BOUNCED = "bounced"  # nobody is there
    BLOCKED = "blocked"  # not this time
    INVALID = "invalid"
    COMPLAINT = "complaint"
    UNSUBSCRIBED = "unsubscribed"
    CONTENT = "content"
    QUOTA = "quota"
    OTHER = "other"


class Event(NamedTuple):
    """One event: a batch's attempt, a place in it, what happened, why, and when (epoch milliseconds)."""

    uid: str
    attempt: int
    position: int
    kind: str
    why: Why
    at_ms: int


CAUSES: dict[str, Cause] = {
    "processed": Cause.ACCEPT,
    "deferred": Cause.DEFER,
    "dropped": Cause.DROP,
    "delivered": Cause.DELIVER,
    "bounce": Cause.BOUNCE,
    "spamreport": Cause.COMPLAIN,
}
# What can only happen to a mail that was accepted. Any other kind is kept, and means nothing.
KNOWN = frozenset(CAUSES) | {"open", "click", "unsubscribe", "group_unsubscribe", "group_resubscribe"}

SUPPRESSES: dict[Why, Suppressed] = {
    Why.BOUNCED: Suppressed.BOUNCED,
    Why.INVALID: Suppressed.BOUNCED,
    Why.COMPLAINT: Suppressed.COMPLAINT,
    Why.UNSUBSCRIBED: Suppressed.UNSUBSCRIBED,
}

_BY_KIND = {
    "spamreport": Why.COMPLAINT,
    "unsubscribe": Why.UNSUBSCRIBED,
    "group_unsubscribe": Why.UNSUBSCRIBED,
}
_BOUNCES = {"bounce": Why.BOUNCED, "blocked": Why.BLOCKED, "expired": Why.BLOCKED}
_DROPS = {
    "bounced address": Why.BOUNCED,
    "invalid": Why.INVALID,
    "spam reporting address": Why.COMPLAINT,
    "unsubscribed address": Why.UNSUBSCRIBED,
    "group unsubscribe": Why.UNSUBSCRIBED,
    "spam content": Why.CONTENT,
    "recipient list over package quota": Why.QUOTA,
}
_KIND = re.compile(r"[a-z_]{1,24}")


def kind_of(word: str) -> str:
    """An event's kind as we keep it: unknown ones too, as far as they are words."""
    return word if _KIND.fullmatch(word) else "other"


def why(kind: str, type_: str, reason: str, status: str) -> Why:
    """The reason class of an event, from what the provider says in `type`, `reason` and `status`."""
    if kind == "bounce":
        return _BOUNCES.get(type_) or (Why.BOUNCED if status.startswith("5") else Why.BLOCKED)
    if kind == "dropped":
        return _DROPS.get(reason.strip().lower(), Why.OTHER)
    return _BY_KIND.get(kind, Why.NONE)
