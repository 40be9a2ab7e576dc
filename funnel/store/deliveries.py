"""Deliveries and notices, the recipients of batches; and the ledger, which no lesson passes twice."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Select, and_, func, literal_column, or_, select

from funnel.core.delivery import NEVER_SENT, State
from funnel.store.bulk import add_many, among, among_given, given
from funnel.store.db import BINARY
from funnel.store.tables import (
    Record,
    batch,
    delivery,
    enrollment,
    ledger,
    lesson,
    notice,
    records,
    signup,
    subscriber,
    subscriber_key,
    suppression,
)
from funnel.store.upsert import insert_ignoring


def add(connection: Connection, columns: Mapping[str, Sequence[int]]) -> None:
    """Deliveries from columns subscriber_id, lesson_id, enrollment_id, turn, due_ms, batch_id, position."""
    add_many(connection, delivery, columns)


def readers(connection: Connection, batch_ids: Collection[int]) -> Sequence[Record]:
    """Everything a start must know of the deliveries without a fate of their own, by batch and position.

    Rows of (id, batch_id, position, turn, enrollment_id, subscriber_id, lesson_id), of the enrollment
    (enrollment_state, current_turn, pattern, secondary, pace, locale, link_only), of the subscriber (subscriber_state,
    zone, address_hash, sealed) and of the key (version, wrapped), which are NULL once erased.
    """
    asked = {"ids": given(connection, batch_ids)}
    return records(connection.execute(_READERS, asked, execution_options=BINARY))


def of_batch(connection: Connection, batch_id: int) -> Sequence[Record]:
    """A batch's deliveries that were not skipped and did not fail, by position."""
    found = select(delivery).where(delivery.c.batch_id == batch_id)
    alive = or_(delivery.c.state.is_(None), delivery.c.state.not_in(NEVER_SENT))
    return connection.execute(found.where(alive).order_by(delivery.c.position)).all()


def notices(connection: Connection, batch_ids: Collection[int]) -> Sequence[Record]:
    """What a start must know of the notices without a fate of their own, by batch and position.

    The notice's id, subscriber_id, batch_id, position, kind and created_ms, its sign-up's state (signup_state), its
    subscriber's state (subscriber_state) and address_hash, the person it goes to (sealed), the key's version and
    wrapped (NULL once erased), and the suppression (suppressed, suppressed_ms).
    """
    joined = (
        notice.outerjoin(signup, signup.c.id == notice.c.signup_id)
        .join(subscriber, subscriber.c.id == notice.c.subscriber_id)
        .outerjoin(subscriber_key, subscriber_key.c.subscriber_id == notice.c.subscriber_id)
        .outerjoin(
            suppression,
            suppression.c.address_hash == func.coalesce(notice.c.address_hash, subscriber.c.address_hash),
        )
    )
    own: Any = (notice.c[name] for name in ("id", "subscriber_id", "batch_id", "position", "kind", "created_ms"))
    theirs = (
        subscriber.c.state.label("subscriber_state"),
        *(subscriber.c.address_hash, func.coalesce(notice.c.sealed, subscriber.c.sealed).label("sealed")),
        *(subscriber_key.c.version, subscriber_key.c.wrapped),
        suppression.c.reason.label("suppressed"),
        suppression.c.at_ms.label("suppressed_ms"),
    )
    found: Any = select(*own, signup.c.state.label("signup_state"), *theirs).select_from(joined)
    found = found.where(among(connection, notice.c.batch_id, batch_ids), notice.c.state.is_(None))
    return connection.execute(found.order_by(notice.c.batch_id, notice.c.position)).all()


def enter(connection: Connection, batch_ids: Collection[int]) -> int:
    """Enters these batches' deliveries without a fate of their own into the ledger. Returns how many are new there."""
    options = {"preserve_rowcount": True}
    asked = {"ids": given(connection, batch_ids)}
    return connection.execute(_ENTER[connection.dialect.name], asked, execution_options=options).rowcount


def refused_by_ledger(connection: Connection, batch_ids: Collection[int]) -> dict[int, Record]:
    """Deliveries of these batches whose lesson the ledger has under another delivery: id → that one.

    Rows of (id, state, batch_state, batch_resent) of the other.
    """
    other, their = delivery.alias(), batch.alias()
    joined = (
        delivery.join(
            ledger, and_(ledger.c.subscriber_id == delivery.c.subscriber_id, ledger.c.lesson_id == delivery.c.lesson_id)
        )
        .join(other, other.c.id == ledger.c.delivery_id)
        .outerjoin(their, their.c.id == other.c.batch_id)
    )
    of_batch = (their.c.state.label("batch_state"), their.c.resent.label("batch_resent"))
    found = (
        select(delivery.c.id.label("own_id"), other.c.id, other.c.state, *of_batch)
        .select_from(joined)
        .where(among(connection, delivery.c.batch_id, batch_ids))
    )
    found = found.where(delivery.c.state.is_(None), ledger.c.delivery_id != delivery.c.id)
    rows: list[Record] = list(connection.execute(found))
    return {row.own_id: row for row in rows}


def take_over(connection: Connection, before: int, delivery_id: int) -> None:
    """The ledger's entry of a delivery that reached nobody becomes that of another one."""
    found = select(delivery.c.subscriber_id, delivery.c.lesson_id).where(delivery.c.id == delivery_id)
    subscriber_id, lesson_id = connection.execute(found).one()
    entry = (ledger.c.subscriber_id == subscriber_id, ledger.c.lesson_id == lesson_id, ledger.c.delivery_id == before)
    connection.execute(ledger.update().where(*entry).values(delivery_id=delivery_id))


def by_id(connection: Connection, delivery_id: int) -> Record | None:
    """A delivery with its funnel, and lesson_key, segment and revision_id unless they have been deleted."""
    columns = (delivery, enrollment.c.funnel, lesson.c.key.label("lesson_key"), batch.c.segment, batch.c.revision_id)
    joined = (
        delivery.join(enrollment, enrollment.c.id == delivery.c.enrollment_id)
        .outerjoin(lesson, lesson.c.id == delivery.c.lesson_id)
        .outerjoin(batch, batch.c.id == delivery.c.batch_id)
    )
    return connection.execute(select(*columns).select_from(joined).where(delivery.c.id == delivery_id)).one_or_none()


def due_of(connection: Connection, delivery_id: int) -> int:
    """When a delivery was due; 0 where it is withdrawn or was never there."""
    return connection.execute(select(delivery.c.due_ms).where(delivery.c.id == delivery_id)).scalar() or 0


def set_fate(connection: Connection, kind: str, ids: Collection[int], state: State, reason: str) -> None:
    """Gives deliveries or notices a fate of their own."""
    if ids:
        table = delivery if kind == "lesson" else notice
        changed = table.update().where(among(connection, table.c.id, ids))
        connection.execute(changed.values(state=state, reason=reason))


def take_out(connection: Connection, batch_id: int, ids: Collection[int]) -> None:
    """Forgets some of a batch's deliveries, of which nothing was ever sent; the caller restores their due rows."""
    connection.execute(delivery.delete().where(among(connection, delivery.c.id, ids)))
    connection.execute(batch.update().where(batch.c.id == batch_id).values(size=batch.c.size - len(ids)))


def forget(connection: Connection, subscriber_id: int) -> None:
    """Blanks what a subscriber's deliveries tell. The rows stay: the links in old mails go on stopping the notes."""
    blank = {"lesson_id": None, "batch_id": None, "due_ms": 0, "state": State.SKIPPED, "reason": "withdrawn"}
    for some in whose(subscriber_id):
        connection.execute(delivery.update().where(delivery.c.id.in_(some)).values(blank))
    connection.execute(ledger.delete().where(*_entries_of(subscriber_id)))


def whose(subscriber_id: int) -> tuple[Select[tuple[int]], ...]:
    """Where a subscriber's deliveries are: started, given up, or planned. No index holds them all: it would cost more
    with every lesson than this does once in a while.
    """
    theirs = select(delivery.c.id).where(delivery.c.subscriber_id == subscriber_id)
    return (
        select(ledger.c.delivery_id).where(*_entries_of(subscriber_id)),
        theirs.where(literal_column("delivery.state IN ('failed', 'skipped')")),
        theirs.where(delivery.c.batch_id.in_(select(batch.c.id).where(literal_column("batch.state = 'planned'")))),
    )


def _entries_of(subscriber_id: int) -> tuple[ColumnElement[bool], ...]:
    """A subscriber's entries in the ledger; the lessons are few, and the ledger is ordered by them."""
    return ledger.c.lesson_id.in_(select(lesson.c.id)), ledger.c.subscriber_id == subscriber_id


def _select_readers() -> Select[Any]:
    joined = (
        delivery.join(enrollment, enrollment.c.id == delivery.c.enrollment_id)
        .join(subscriber, subscriber.c.id == delivery.c.subscriber_id)
        .outerjoin(subscriber_key, subscriber_key.c.subscriber_id == delivery.c.subscriber_id)
    )
    own = ("id", "batch_id", "position", "turn", "enrollment_id", "subscriber_id", "lesson_id")
    columns = (
        *(delivery.c[name] for name in own),
        enrollment.c.state.label("enrollment_state"),
        enrollment.c.turn.label("current_turn"),
        *(enrollment.c[name] for name in ("pattern", "secondary", "pace", "locale", "link_only")),
        subscriber.c.state.label("subscriber_state"),
        *(subscriber.c.zone, subscriber.c.address_hash, subscriber.c.sealed),
        *(subscriber_key.c.version, subscriber_key.c.wrapped),
    )
    found = select(*columns).select_from(joined).where(among_given(delivery.c.batch_id), delivery.c.state.is_(None))
    return found.order_by(delivery.c.batch_id, delivery.c.position)


def _entering(dialect: str) -> Insert:
    found = select(delivery.c.lesson_id, delivery.c.subscriber_id, delivery.c.id)
    found = found.where(among_given(delivery.c.batch_id), delivery.c.state.is_(None))
    # In the ledger's order: it is walked through once, page after page.
    found = found.order_by(delivery.c.lesson_id, delivery.c.subscriber_id)
    return insert_ignoring(dialect, ledger).from_select(["lesson_id", "subscriber_id", "delivery_id"], found)


# Built once: for a start of a few readers the building would cost as much as the asking.
_READERS = _select_readers()
_ENTER = {dialect: _entering(dialect) for dialect in ("sqlite", "postgresql")}
