"""Enrollments and the due table: who is where in which course."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, text

from funnel.core.consent import Enrolled
from funnel.store.tables import Record, batch, delivery, due, enrollment, subscriber

LIVE = (Enrolled.ACTIVE, Enrolled.PAUSED)

_TAKE_POSTGRESQL = text("""
    WITH taken AS MATERIALIZED (
        SELECT due_ms, enrollment_id, turn FROM due WHERE due_ms <= :now_ms
        ORDER BY due_ms, enrollment_id LIMIT :limit FOR UPDATE SKIP LOCKED
    )
    DELETE FROM due USING taken
    WHERE due.due_ms = taken.due_ms AND due.enrollment_id = taken.enrollment_id AND due.turn = taken.turn
    RETURNING due.due_ms, due.enrollment_id, due.lesson_id, due.turn
""")


def add(
    connection: Connection, subscriber_id: int, funnel: str, pattern: str, secondary: str | None, now_ms: int
) -> int:
    """A new active enrollment. A second live one in the same funnel is refused by the database."""
    row = {
        "subscriber_id": subscriber_id,
        "funnel": funnel,
        "pattern": pattern,
        "secondary": secondary,
        "pace": "as-written",
        "state": Enrolled.ACTIVE,
        "turn": 1,
        "created_ms": now_ms,
        "changed_ms": now_ms,
    }
    return int(connection.scalars(enrollment.insert().values(row).returning(enrollment.c.id)).one())


def live(connection: Connection, subscriber_id: int, funnel: str) -> Record | None:
    """The subscriber's live enrollment in this funnel."""
    found = select(enrollment).where(
        enrollment.c.subscriber_id == subscriber_id, enrollment.c.funnel == funnel, enrollment.c.state.in_(LIVE)
    )
    return connection.execute(found).one_or_none()


def by_id(connection: Connection, enrollment_id: int) -> Record | None:
    return connection.execute(select(enrollment).where(enrollment.c.id == enrollment_id)).one_or_none()


def all_live(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    found = select(enrollment).where(enrollment.c.subscriber_id == subscriber_id, enrollment.c.state.in_(LIVE))
    return connection.execute(found).all()


def ended_for(connection: Connection, subscriber_id: int, reason: str, since_ms: int) -> Sequence[Record]:
    """Enrollments that ended for this reason at or after `since_ms`."""
    found = select(enrollment).where(
        enrollment.c.subscriber_id == subscriber_id,
        enrollment.c.state == Enrolled.ENDED,
        enrollment.c.reason == reason,
        enrollment.c.changed_ms >= since_ms,
    )
    return connection.execute(found.order_by(enrollment.c.id)).all()


def move(connection: Connection, enrollment_id: int, state: Enrolled, reason: str | None, now_ms: int) -> int:
    """Sets the state and begins a new turn, which strands every due row of an old one. Returns the turn."""
    changed = enrollment.update().where(enrollment.c.id == enrollment_id)
    values = {"state": state, "reason": reason, "turn": enrollment.c.turn + 1, "changed_ms": now_ms}
    return int(connection.scalars(changed.values(values).returning(enrollment.c.turn)).one())


def set_states(connection: Connection, ids: Collection[int], state: Enrolled, reason: str | None, now_ms: int) -> None:
    """Moves active enrollments that have nothing due; no new turn."""
    if ids:
        changed = enrollment.update().where(enrollment.c.id.in_(ids), enrollment.c.state == Enrolled.ACTIVE)
        connection.execute(changed.values(state=state, reason=reason, changed_ms=now_ms))


def set_secondary(connection: Connection, enrollment_id: int, secondary: str | None) -> None:
    connection.execute(enrollment.update().where(enrollment.c.id == enrollment_id).values(secondary=secondary))


def with_subscribers(connection: Connection, ids: Collection[int], *, lock: bool = False) -> dict[int, Record]:
    """enrollment id → its columns with subscriber_state and zone.

    With `lock`, whoever wants to change these people's affairs waits for us, and we have waited for them.
    """
    joined = enrollment.join(subscriber, subscriber.c.id == enrollment.c.subscriber_id)
    found = select(enrollment, subscriber.c.state.label("subscriber_state"), subscriber.c.zone).select_from(joined)
    if lock:
        found = found.order_by(subscriber.c.id).with_for_update(read=True, of=[subscriber, enrollment])
    return {row.id: row for row in connection.execute(found.where(enrollment.c.id.in_(ids)))}


def add_due(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows of due_ms, enrollment_id, lesson_id, turn."""
    listed = list(rows)
    if listed:
        connection.execute(due.insert(), listed)


def any_due(connection: Connection, now_ms: int) -> bool:
    return connection.scalar(select(due.c.due_ms).where(due.c.due_ms <= now_ms).limit(1)) is not None


def take_due(connection: Connection, now_ms: int, limit: int) -> list[Record]:
    """Removes and returns up to `limit` rows that are due. Two planners never take the same row."""
    if connection.dialect.name == "postgresql":
        taken = connection.execute(_TAKE_POSTGRESQL, {"now_ms": now_ms, "limit": limit}).all()
        return sorted(taken, key=lambda row: (row.due_ms, row.enrollment_id))
    found = select(due).where(due.c.due_ms <= now_ms).order_by(due.c.due_ms, due.c.enrollment_id).limit(limit)
    rows = list(connection.execute(found))
    if rows:
        gone = due.delete().where(
            due.c.due_ms == bindparam("d"), due.c.enrollment_id == bindparam("e"), due.c.turn == bindparam("t")
        )
        connection.execute(gone, [{"d": row.due_ms, "e": row.enrollment_id, "t": row.turn} for row in rows])
    return rows


def received(connection: Connection, subscriber_ids: Collection[int]) -> set[tuple[int, int]]:
    """(subscriber, lesson) pairs that were handed over or may have been; not what was skipped or failed."""
    arrived = delivery.c.state.is_(None) | delivery.c.state.not_in(("skipped", "failed"))
    found = select(delivery.c.subscriber_id, delivery.c.lesson_id)
    found = found.where(delivery.c.subscriber_id.in_(subscriber_ids), arrived)
    return {(row.subscriber_id, row.lesson_id) for row in connection.execute(found)}


def forget_patterns(connection: Connection, subscriber_id: int) -> None:
    """Blanks what a subscriber's enrollments and due rows say about them; none of them may be live."""
    own = select(enrollment.c.id).where(enrollment.c.subscriber_id == subscriber_id)
    connection.execute(due.delete().where(due.c.enrollment_id.in_(own)))
    theirs = (enrollment.c.subscriber_id == subscriber_id) & enrollment.c.state.not_in(LIVE)
    connection.execute(enrollment.update().where(theirs).values(pattern="", secondary=None, reason="withdrawn"))


def skip_planned(connection: Connection, enrollment_id: int, reason: str) -> None:
    """Skips the deliveries of an enrollment that are planned and not started: no batch will take them along."""
    planned = select(batch.c.id).where(batch.c.state == "planned")
    waiting = (
        (delivery.c.enrollment_id == enrollment_id) & delivery.c.state.is_(None) & delivery.c.batch_id.in_(planned)
    )
    subscribers = select(enrollment.c.subscriber_id).where(enrollment.c.id == enrollment_id)
    theirs = delivery.c.subscriber_id.in_(subscribers)
    connection.execute(delivery.update().where(theirs & waiting).values(state="skipped", reason=reason))
