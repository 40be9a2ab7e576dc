"""Where people stand: what they have had and when, and due rows that are looked for by their moment."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, tuple_

from funnel.core.consent import Enrolled
from funnel.core.delivery import NEVER_SENT
from funnel.store.bulk import among
from funnel.store.db import exclude_starts
from funnel.store.tables import Record, batch, delivery, due, enrollment, ledger, subscriber

Place = tuple[int, int, int]  # due_ms, enrollment, turn: the key of a due row


class Had(NamedTuple):
    """A lesson that was handed over to somebody, or may have been: when, and whether nobody knows yet."""

    subscriber_id: int
    lesson_id: int
    enrollment_id: int
    at_ms: int
    open: bool


def had(connection: Connection, lesson_ids: Collection[int], subscriber_ids: Collection[int]) -> list[Had]:
    """What these people have had of these lessons. Not what was skipped, has failed or was given back."""
    joined = ledger.join(delivery, delivery.c.id == ledger.c.delivery_id).join(batch, batch.c.id == delivery.c.batch_id)
    arrived = delivery.c.state.is_(None) | delivery.c.state.not_in(NEVER_SENT)
    found = select(
        ledger.c.subscriber_id,
        ledger.c.lesson_id,
        delivery.c.enrollment_id,
        func.coalesce(batch.c.settled_ms, batch.c.started_ms).label("at_ms"),
        batch.c.state.in_(("started", "unknown")).label("open"),
    ).select_from(joined)
    theirs = (
        among(connection, ledger.c.lesson_id, lesson_ids),
        among(connection, ledger.c.subscriber_id, subscriber_ids),
    )
    begun = (batch.c.state != "planned") | (batch.c.resent > 0)  # once in doubt, it may have been handed over
    rows = connection.execute(found.where(*theirs, arrived, begun))
    return [Had(row.subscriber_id, row.lesson_id, row.enrollment_id, row.at_ms or 0, bool(row.open)) for row in rows]


def begin_turns(connection: Connection, enrollment_ids: Collection[int], now_ms: int) -> list[Record]:
    """A new turn for those of these courses that are active: every due row of theirs is an old one. Returns them.

    No batch starts between this and the end of the transaction: whoever starts later sees it.
    """
    exclude_starts(connection)
    theirs = among(connection, enrollment.c.id, enrollment_ids)
    changed = enrollment.update().where(theirs, enrollment.c.state == Enrolled.ACTIVE)
    values = {"turn": enrollment.c.turn + 1, "changed_ms": now_ms}
    return list(connection.execute(changed.values(values).returning(enrollment)))


def late(
    connection: Connection, lesson_ids: Collection[int], before_ms: int, after: Place, limit: int
) -> Sequence[Record]:
    """Up to `limit` due rows of these lessons from before `before_ms` and behind `after`, with the readers' zones.

    Whoever plans meanwhile leaves them alone until the transaction ends, and what is being planned is not among them.
    """
    key = (due.c.due_ms, due.c.enrollment_id, due.c.turn)
    joined = due.join(subscriber, subscriber.c.id == due.c.subscriber_id)
    found = select(due, subscriber.c.zone).select_from(joined)
    theirs = among(connection, due.c.lesson_id, lesson_ids), due.c.due_ms < before_ms, tuple_(*key) > tuple_(*after)
    found = found.where(*theirs).order_by(*key).limit(limit)
    return connection.execute(found.with_for_update(of=due, skip_locked=True)).all()


def put_off(connection: Connection, moved: Sequence[tuple[Record, int]]) -> None:
    """Due rows that come later: (the row as it is, its new due_ms)."""
    if not moved:
        return
    names = [column.name for column in due.c]
    key = ("due_ms", "enrollment_id", "turn")
    same = [due.c[name] == bindparam(f"own_{name}") for name in key]
    rows = [{name: getattr(row, name) for name in names} for row, _ in moved]
    connection.execute(due.delete().where(*same), [{f"own_{name}": row[name] for name in key} for row in rows])
    connection.execute(due.insert(), [{**row, "due_ms": due_ms} for row, (_, due_ms) in zip(rows, moved, strict=True)])


def set_zone(connection: Connection, subscriber_id: int, zone: str) -> None:
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(zone=zone))


def set_link_only(connection: Connection, subscriber_id: int, link_only: bool) -> None:
    """Whether a reader's mails hold a link in place of the lesson. Due rows may lag behind: start compares."""
    for table, key in ((subscriber, subscriber.c.id), (enrollment, enrollment.c.subscriber_id)):
        connection.execute(table.update().where(key == subscriber_id).values(link_only=int(link_only)))


def set_pace(connection: Connection, enrollment_id: int, pace: str) -> None:
    connection.execute(enrollment.update().where(enrollment.c.id == enrollment_id).values(pace=pace))
