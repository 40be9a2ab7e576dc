"""Everything on record about one course. For whoever asks what happened, and why; the due table is read whole."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, select, union

from funnel.store.bulk import among
from funnel.store.deliveries import whose
from funnel.store.tables import (
    Record,
    batch,
    consent,
    current_revision,
    delivery,
    due,
    enrollment,
    event,
    ledger,
    lesson,
    revision,
    subscriber,
    suppression,
    volume,
)

_OF_BATCH = (
    *("uid", "state", "planned_ms", "attempt", "retries", "started_ms", "settled_ms", "provider", "reference"),
    *("reason", "size", "due_ms", "proven", "resent", "seen_ms", "revision_id", "segment", "lease_ms"),
)


def course(connection: Connection, enrollment_id: int) -> Record | None:
    """An enrollment, and of its subscriber: subscriber_state, subscriber_ms (since when), zone and locale."""
    theirs = (subscriber.c.state.label("subscriber_state"), subscriber.c.changed_ms.label("subscriber_ms"))
    columns = (enrollment, *theirs, subscriber.c.zone, subscriber.c.locale)
    joined = enrollment.join(subscriber, subscriber.c.id == enrollment.c.subscriber_id)
    return connection.execute(
        select(*columns).select_from(joined).where(enrollment.c.id == enrollment_id)
    ).one_or_none()


def enrollment_of(connection: Connection, delivery_id: int) -> int | None:
    return connection.scalar(select(delivery.c.enrollment_id).where(delivery.c.id == delivery_id))


def deliveries(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    """A subscriber's deliveries in order, of every course, each with lesson_key and all of its batch as batch_….

    What was planned and never started is among them; what was withdrawn has no lesson and no batch any more.
    """
    of_batch = (batch.c[name].label(f"batch_{name}") for name in _OF_BATCH)
    joined = delivery.outerjoin(lesson, lesson.c.id == delivery.c.lesson_id)
    joined = joined.outerjoin(batch, batch.c.id == delivery.c.batch_id)
    found: Select[Any] = select(delivery, lesson.c.key.label("lesson_key"), lesson.c.funnel, *of_batch).select_from(
        joined
    )
    ids: list[Any] = [row[0] for row in connection.execute(union(*whose(subscriber_id)))]
    return connection.execute(found.where(among(connection, delivery.c.id, ids)).order_by(delivery.c.id)).all()


def ledger_entries(connection: Connection, subscriber_id: int) -> dict[int, int]:
    """Lesson number → the delivery that the ledger holds for it."""
    found: Select[Any] = select(ledger.c.lesson_id, ledger.c.delivery_id)
    found = found.where(ledger.c.lesson_id.in_(select(lesson.c.id)), ledger.c.subscriber_id == subscriber_id)
    return {row.lesson_id: row.delivery_id for row in connection.execute(found)}


def events(connection: Connection, delivery_ids: Collection[int]) -> Sequence[Record]:
    """(delivery_id, attempt, kind, reason, at_ms, received_ms, handled_ms) told of these deliveries, in order."""
    place = and_(event.c.batch_id == delivery.c.batch_id, event.c.position == delivery.c.position)
    told = (event.c[name] for name in ("attempt", "kind", "reason", "at_ms", "received_ms", "handled_ms"))
    found: Select[Any] = select(delivery.c.id.label("delivery_id"), *told).select_from(delivery.join(event, place))
    found = found.where(among(connection, delivery.c.id, delivery_ids))
    return connection.execute(found.order_by(event.c.at_ms, event.c.id)).all()


def due_rows(connection: Connection, enrollment_id: int) -> Sequence[Record]:
    """(due_ms, turn, lesson_key) of an enrollment's due rows, those of old turns among them."""
    joined = due.join(lesson, lesson.c.id == due.c.lesson_id)
    columns = (due.c.due_ms, due.c.turn, lesson.c.key.label("lesson_key"))
    found: Select[Any] = select(*columns).select_from(joined)
    return connection.execute(found.where(due.c.enrollment_id == enrollment_id).order_by(due.c.due_ms)).all()


def consents(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    """(purpose, action, revision_id, at_ms), in order."""
    columns = (consent.c.purpose, consent.c.action, consent.c.revision_id, consent.c.at_ms)
    found: Select[Any] = select(*columns).where(consent.c.subscriber_id == subscriber_id)
    return connection.execute(found.order_by(consent.c.id)).all()


def suppressed(connection: Connection, subscriber_id: int) -> Record | None:
    """(reason, at_ms) of what stands against a subscriber's address."""
    hash_ = select(subscriber.c.address_hash).where(subscriber.c.id == subscriber_id).scalar_subquery()
    columns = (suppression.c.reason, suppression.c.at_ms)
    found: Select[Any] = select(*columns).where(suppression.c.address_hash == hash_)
    return connection.execute(found).one_or_none()


def revisions(connection: Connection, funnel: str) -> Sequence[Record]:
    """(id, created_ms) of a funnel's revisions, the newest first."""
    found: Select[Any] = select(revision.c.id, revision.c.created_ms).where(revision.c.funnel == funnel)
    return connection.execute(found.order_by(revision.c.created_ms.desc(), revision.c.id)).all()


def revisions_like(connection: Connection, beginning: str) -> Sequence[str]:
    """The ids of the revisions, of any funnel, that begin with these characters."""
    found: Select[Any] = select(revision.c.id).where(revision.c.id.startswith(beginning, autoescape=True))
    return connection.scalars(found.order_by(revision.c.id)).all()


def current_since(connection: Connection, funnel: str) -> Record | None:
    """(revision_id, since_ms) of a funnel's current revision."""
    found: Select[Any] = select(current_revision.c.revision_id, current_revision.c.since_ms)
    return connection.execute(found.where(current_revision.c.funnel == funnel)).one_or_none()


def volume_of(connection: Connection, funnel: str, hour_ms: int) -> Record | None:
    """(forecast, planned) of an hour of a funnel, while it is remembered."""
    found: Select[Any] = select(volume.c.forecast, volume.c.planned)
    return connection.execute(found.where(volume.c.hour_ms == hour_ms, volume.c.funnel == funnel)).one_or_none()
