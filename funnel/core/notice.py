"""Service mails: what the link of each is for, and how long it opens that; and what else is written as they are."""

from typing import NamedTuple

from funnel.core.links import Use

CONFIRM, RIGHTS, ADDRESS = "confirm", "rights", "address"
READY = "ready"  # what stands in place of a lesson for whoever gets a link only: a lesson's mail, so no errand
HOUR_MS = 3_600_000


class Errand(NamedTuple):
    """A kind of service mail: the use of its link, for how many milliseconds, and the mail's field for it."""

    use: Use
    lasts_ms: int
    field: str


ERRANDS = {
    CONFIRM: Errand(Use.CONFIRM, 72 * HOUR_MS, "confirm_url"),
    RIGHTS: Errand(Use.DATA, HOUR_MS, "data_url"),
    ADDRESS: Errand(Use.ADDRESS, 24 * HOUR_MS, "confirm_url"),
}


def is_moot(kind: str, signup: str | None) -> bool:
    """Whether a service mail has nothing to ask any more: its sign-up, in this state, is not open."""
    return kind == CONFIRM and signup != "pending"


def is_late(kind: str, created_ms: int, now_ms: int) -> bool:
    """Whether a service mail would come when nobody expects it: had it come at once, its link would be dead by now."""
    return now_ms - created_ms > ERRANDS[kind].lasts_ms
