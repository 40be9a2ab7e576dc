"""Deleting a person from every table, and what is remembered so that others follow."""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, select, union

from funnel.core.delivery import Kind
from funnel.store.bulk import among
from funnel.store.deliveries import whose
from funnel.store.rights_tables import erasure, tombstone
from funnel.store.tables import (
    Record,
    batch,
    consent,
    delivery,
    due,
    enrollment,
    event,
    ledger,
    lesson,
    moved,
    notice,
    publication,
    reached,
    signup,
    slot,
    subscriber,
    subscriber_key,
)

OPEN = ("started", "unknown")


class Traces(NamedTuple):
    """What leads to a person: the ids of their deliveries, notices and enrollments, (batch, position) of mails, and the
    numbers of the lessons they have had."""

    deliveries: list[int]
    notices: list[int]
    enrollments: list[int]
    places: list[tuple[int, int]]
    lessons: list[int]


def traces(connection: Connection, subscriber_id: int) -> Traces:
    found: Any = connection.execute(union(*whose(subscriber_id)))
    deliveries: list[int] = sorted(row[0] for row in found)
    notices = _ids(connection, notice, subscriber_id)
    places = []
    for table, ids in ((delivery, deliveries), (notice, notices)):
        place = select(table.c.batch_id, table.c.position)
        place = place.where(among(connection, table.c.id, ids), table.c.batch_id.is_not(None))
        places += [(row.batch_id, row.position) for row in connection.execute(place)]
    had = select(delivery.c.lesson_id).where(
        among(connection, delivery.c.id, deliveries), delivery.c.lesson_id.is_not(None)
    )
    lessons = list(connection.scalars(had.distinct().order_by(delivery.c.lesson_id)))
    return Traces(deliveries, notices, _ids(connection, enrollment, subscriber_id), sorted(places), lessons)


def delete_person(connection: Connection, subscriber_id: int, found: Traces) -> None:
    """Every row of a person, in the order in which others lock: mails, then courses, then the person.

    Events that nobody has looked at yet stay: they may prove that a whole batch arrived. Their places hold nothing.
    """
    delete_events(connection, found.places)
    connection.execute(delivery.delete().where(among(connection, delivery.c.id, found.deliveries)))
    everywhere = ledger.c.lesson_id.in_(select(lesson.c.id))
    connection.execute(ledger.delete().where(everywhere, ledger.c.subscriber_id == subscriber_id))
    if found.enrollments:  # the due table is read whole; whoever never was in a course has no place in it
        connection.execute(due.delete().where(due.c.subscriber_id == subscriber_id))
    own = among(connection, moved.c.enrollment_id, found.enrollments)
    connection.execute(moved.delete().where(moved.c.publication_id.in_(select(publication.c.id)), own))
    connection.execute(reached.delete().where(among(connection, reached.c.enrollment_id, found.enrollments)))
    for table in (slot, enrollment, notice, consent, signup, subscriber_key):
        connection.execute(table.delete().where(table.c.subscriber_id == subscriber_id))
    connection.execute(subscriber.delete().where(subscriber.c.id == subscriber_id))


def delete_events(connection: Connection, places: Collection[tuple[int, int]]) -> None:
    """The events of these (batch, position) places that have been applied."""
    for batch_id, position in places:
        theirs = and_(event.c.batch_id == batch_id, event.c.position == position)
        connection.execute(event.delete().where(theirs, event.c.handled_ms.is_not(None)))


def any_open(connection: Connection, batch_ids: Collection[int]) -> bool:
    """Whether nobody knows yet what became of one of these batches."""
    found = select(batch.c.id).where(among(connection, batch.c.id, batch_ids), batch.c.state.in_(OPEN))
    return connection.scalar(found.limit(1)) is not None


def any_new_event(connection: Connection, places: Collection[tuple[int, int]]) -> bool:
    """Whether one of these places has an event that has not been applied yet."""
    for batch_id, position in places:
        found = select(event.c.id).where(event.c.batch_id == batch_id, event.c.position == position)
        if connection.scalar(found.where(event.c.handled_ms.is_(None)).limit(1)) is not None:
            return True
    return False


def bury(connection: Connection, day: date, kind: str) -> None:
    connection.execute(tombstone.insert().values(day=day, kind=kind))


def remember(connection: Connection, key: tuple[int, bytes], sealed: bytes, now_ms: int) -> None:
    """What others must be told, until they have been. `key` is (keyring version, wrapped key)."""
    row = {"version": key[0], "wrapped": key[1], "sealed": sealed, "created_ms": now_ms, "next_ms": now_ms, "tries": 0}
    connection.execute(erasure.insert().values(row))


def due_erasures(connection: Connection, now_ms: int, limit: int) -> Sequence[Record]:
    found = select(erasure).where(erasure.c.next_ms <= now_ms).order_by(erasure.c.next_ms, erasure.c.id)
    return connection.execute(found.limit(limit)).all()


def claim(connection: Connection, row: Record, until_ms: int) -> bool:
    """Nobody else goes on with this erasure before `until_ms`. False when somebody was quicker."""
    same = (erasure.c.id == row.id) & (erasure.c.next_ms == row.next_ms)
    return bool(connection.execute(erasure.update().where(same).values(next_ms=until_ms)).rowcount)


def wait(connection: Connection, erasure_id: int, told_ms: int | None, next_ms: int) -> None:
    """Goes on at `next_ms`; the provider has agreed, if it has, at `told_ms`."""
    changed = erasure.update().where(erasure.c.id == erasure_id)
    connection.execute(changed.values(told_ms=told_ms, next_ms=next_ms, reason=None))


def failed(connection: Connection, row: Record, next_ms: int, reason: str) -> None:
    """The provider could not be told, and will be tried again at `next_ms`."""
    values = {"next_ms": next_ms, "reason": reason, "tries": row.tries + 1}
    connection.execute(erasure.update().where(erasure.c.id == row.id).values(values))


def forget(connection: Connection, erasure_id: int) -> bool:
    return bool(connection.execute(erasure.delete().where(erasure.c.id == erasure_id)).rowcount)


def refused(connection: Connection) -> Sequence[Record]:
    """Erasures of which the provider could not be told so far, the oldest first."""
    found = select(erasure).where(erasure.c.reason.is_not(None), erasure.c.told_ms.is_(None))
    return connection.execute(found.order_by(erasure.c.id)).all()


def message_names(found: Traces) -> list[str]:
    """The names of the messages in a local outbox: see funnel/flow/compose.py."""
    kinds = ((Kind.LESSON, found.deliveries), (Kind.NOTICE, found.notices))
    return [f"{kind}-{id_:08}" for kind, ids in kinds for id_ in ids]


def _ids(connection: Connection, table: Table, subscriber_id: int) -> list[int]:
    found = select(table.c.id).where(table.c.subscriber_id == subscriber_id)
    return list(connection.scalars(found.order_by(table.c.id)))
