"""Sweep: what a crash left behind is settled, never sent again blindly."""

from funnel.core.delivery import State
from funnel.flow.send import follow_up
from funnel.flow.tools import Tools
from funnel.store import batches, enrollments
from funnel.store.db import reading, writing
from funnel.store.tables import Record

STALE_MS = 10 * 60_000
LONGEST_DOUBT_MS = 72 * 3_600_000


def sweep(tools: Tools, now_ms: int) -> None:
    """Lost leases become unknown; unknowns settle as the provider declares; plans that nobody started are undone."""
    with reading(tools.engine) as connection:
        expired = batches.any_expired(connection, now_ms)
    if expired:
        with writing(tools.engine) as connection:
            batches.lose_expired(connection, now_ms)
    with reading(tools.engine) as connection:
        unknown = batches.unknown_since(connection, now_ms if tools.repeat_unknowns else now_ms - LONGEST_DOUBT_MS)
        stale = batches.stale(connection, now_ms - STALE_MS)
    for row in unknown:
        _settle_unknown(tools, row, now_ms)
    for row in stale:
        _unplan(tools, row)


def _settle_unknown(tools: Tools, row: Record, now_ms: int) -> None:
    if tools.repeat_unknowns:
        again = {"state": State.PLANNED, "planned_ms": now_ms}
        with writing(tools.engine) as connection:
            batches.move(connection, row.id, State.UNKNOWN, again)
        return
    with writing(tools.engine) as connection:
        assumed = {"state": State.ACCEPTED, "settled_ms": now_ms, "reason": "assumed: no evidence in time"}
        if batches.move(connection, row.id, State.UNKNOWN, assumed):
            ids = [delivery.id for delivery in batches.deliveries(connection, row.id)]
            follow_up(connection, tools, row, ids, now_ms)


def _unplan(tools: Tools, row: Record) -> None:
    with writing(tools.engine) as connection:
        if not batches.move(connection, row.id, State.PLANNED, {"state": State.SKIPPED, "reason": "unplanned"}):
            return
        restored = [
            {"due_ms": d.due_ms, "enrollment_id": d.enrollment_id, "lesson_id": d.lesson_id, "turn": d.turn}
            for d in batches.deliveries(connection, row.id)
        ]
        batches.remove(connection, row.id)
        enrollments.add_due(connection, restored)
