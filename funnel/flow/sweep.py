"""Sweep: what a crash left behind is settled, never sent again blindly."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from funnel.core.delivery import Cause, Unknowns
from funnel.flow.settle import resume
from funnel.flow.tools import Tools
from funnel.store import batches, deliveries, enrollments, events
from funnel.store.db import reading, writing
from funnel.store.tables import Record, batch

STALE_MS = 10 * 60_000
SHORT_MS = 3_000  # a busy worker may come that much later than it meant to
ASSUMED = "assumed: no evidence in time"
RESEND = "resend"


class Attention:
    """Whether a worker may judge the leases of others.

    After a time in which it could not reach the database, perhaps nobody could: whoever holds a lease gets as long as
    one lasts to renew it, and to record what a provider has answered meanwhile. A worker that has just begun knows of
    no such time, and waits as long.
    """

    def __init__(self, lease_ms: int) -> None:
        self._lease_ms = lease_ms
        self._last_ms: int | None = None
        self._since_ms = 0

    def may_judge(self, now_ms: int) -> bool:
        """To be asked at every tick that reaches the database."""
        last_ms, self._last_ms = self._last_ms, now_ms
        # A lease is renewed when a third of it has passed: the rest is what each of them had when the gap began.
        if last_ms is None or now_ms - last_ms > max(self._lease_ms * 2 // 3, SHORT_MS):
            self._since_ms = now_ms
        return now_ms - self._since_ms >= self._lease_ms


def sweep(tools: Tools, now_ms: int) -> Sequence[Record]:
    """Lost leases become unknown; unknowns settle by evidence or policy; plans that nobody started are undone.

    Returns the batches that from now on count as sent though nobody can tell: somebody should hear of them.
    """
    with reading(tools.engine) as connection:
        expired = batches.any_expired(connection, now_ms)
    if expired:
        with writing(tools.engine) as connection:
            batches.lose_expired(connection, now_ms)
    with reading(tools.engine) as connection:
        unknown = batches.unknown(connection)
        lost = [row for row in unknown if _was_not_sent(connection, tools, row, now_ms)]
        stale = batches.stale(connection, now_ms - STALE_MS)
    for row in lost:
        _decide(tools, row, Cause.RESEND, _again(now_ms), now_ms)
    old = [row for row in unknown if row not in lost and row.started_ms <= now_ms - tools.patience.doubt_ms]
    assumed = [row for row in old if _decide(tools, row, Cause.ASSUME, _sent(ASSUMED, now_ms), now_ms)]
    for row in stale:
        _unplan(tools, row)
    return assumed


def unknown_batches(connection: Connection) -> Sequence[Record]:
    """What waits for evidence, or for a person; the oldest first."""
    return batches.unknown(connection)


def resend(tools: Tools, uid: str, now_ms: int) -> bool:
    """Plans an unknown batch once more: the same messages under the same names. False when it is not unknown."""
    row = _named(tools, uid)
    return row is not None and _decide(tools, row, Cause.RESEND, _again(now_ms), now_ms)


def assume_sent(tools: Tools, uid: str, now_ms: int) -> bool:
    """Counts an unknown batch as sent; its courses go on. False when it is not unknown."""
    row = _named(tools, uid)
    return row is not None and _decide(tools, row, Cause.ASSUME, _sent("a person said so", now_ms), now_ms)


def _named(tools: Tools, uid: str) -> Record | None:
    with reading(tools.engine) as connection:
        return batches.by_uid(connection, uid)


def _again(now_ms: int) -> dict[str, Any]:
    return {"planned_ms": now_ms, "owner": None, "reason": None, "resent": batch.c.resent + 1}


def _sent(reason: str, now_ms: int) -> dict[str, Any]:
    return {"settled_ms": now_ms, "reason": reason}


def _decide(tools: Tools, row: Record, cause: Cause, values: dict[str, Any], now_ms: int) -> bool:
    """Decides about the attempt that `row` was read in; somebody else may have been quicker."""
    with writing(tools.engine) as connection:
        if not batches.move(connection, row, cause, values):
            return False
        if cause == Cause.ASSUME:
            resume(connection, tools, row, now_ms)
        return True


def _was_not_sent(connection: Connection, tools: Tools, row: Record, now_ms: int) -> bool:
    """Whether an unknown batch may be handed over once more, by what its provider declares."""
    unknowns = tools.unknowns if row.provider == tools.provider else Unknowns.POLICY
    if unknowns == Unknowns.REPEAT:
        return True
    if row.resent:
        return False  # once more, and never a third time
    if unknowns == Unknowns.POLICY:
        return tools.funnel(connection, row.revision_id).unknown == RESEND
    # The webhook told of the batches next to this one, and all this time said nothing of it. Only the next ones will
    # do: one in between that it said nothing of either shows that it was the webhook that was silent. And there must
    # be one before: a webhook that was set up after this batch tells nothing of it, however healthy it is.
    silent = row.seen_ms is None and row.started_ms <= now_ms - tools.patience.silence_ms
    return silent and not events.told_of(connection, row.id) and batches.heard_around(connection, row)


def _unplan(tools: Tools, row: Record) -> None:
    with writing(tools.engine) as connection:
        if not batches.move(connection, row, Cause.SKIP, {"reason": "unplanned"}):
            return
        enrollments.restore_due(connection, [each.id for each in deliveries.of_batch(connection, row.id)])
        batches.remove(connection, row.id)
