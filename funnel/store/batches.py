"""Batches and deliveries: the ledger of what was planned, started and settled."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from funnel.core.delivery import State, may_move
from funnel.store.tables import Record, batch, delivery, enrollment, lesson, notice, signup
from funnel.store.upsert import dialect_insert


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Planned batches from rows of uid, kind, funnel, revision_id, lesson_id, segment, planned_ms. Returns uid → id."""
    fresh = {"state": State.PLANNED, "attempt": 0, "retries": 0}
    added = connection.execute(batch.insert().returning(batch.c.uid, batch.c.id), [{**fresh, **row} for row in rows])
    return {row.uid: row.id for row in added}


def add_deliveries(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Deliveries from rows of subscriber_id, lesson_id, enrollment_id, turn, batch_id, due_ms, state, reason.

    A lesson that this subscriber has a delivery of is left alone, unless it was skipped or failed: then it is
    taken up anew.
    """
    if not rows:
        return
    adding = dialect_insert(connection, delivery)
    renewed = {
        name: getattr(adding.excluded, name)
        for name in ("enrollment_id", "turn", "batch_id", "due_ms", "state", "reason")
    }
    never_arrived = (delivery.c.state == State.SKIPPED) | (delivery.c.state == State.FAILED)
    taken_up = adding.on_conflict_do_update(
        index_elements=["subscriber_id", "lesson_id"], set_=renewed, where=never_arrived
    )
    connection.execute(taken_up, list(rows))


def by_id(connection: Connection, batch_id: int, *, lock: bool = False) -> Record | None:
    found = select(batch, lesson.c.key.label("lesson_key")).join_from(
        batch, lesson, lesson.c.id == batch.c.lesson_id, isouter=True
    )
    found = found.where(batch.c.id == batch_id)
    return connection.execute(found.with_for_update(of=batch) if lock else found).one_or_none()


def startable(connection: Connection, now_ms: int, limit: int) -> list[int]:
    """Planned batches whose time has come: notices first, somebody is waiting for them; then the oldest."""
    found = select(batch.c.id).where(batch.c.state == State.PLANNED, batch.c.planned_ms <= now_ms)
    return list(connection.scalars(found.order_by(batch.c.kind.desc(), batch.c.planned_ms).limit(limit)))


def start(connection: Connection, batch_id: int, owner: str, now_ms: int, lease_ms: int, provider: str) -> int | None:
    """Compare-and-set planned → started. Returns the attempt's number, or None when somebody else was first."""
    planned = (batch.c.id == batch_id) & (batch.c.state == State.PLANNED) & (batch.c.planned_ms <= now_ms)
    values = {
        "state": State.STARTED,
        "attempt": batch.c.attempt + 1,
        "owner": owner,
        "started_ms": now_ms,
        "lease_ms": now_ms + lease_ms,
        "provider": provider,
    }
    found = connection.scalar(batch.update().where(planned).values(values).returning(batch.c.attempt))
    return None if found is None else int(found)


def renew(connection: Connection, batch_id: int, owner: str, attempt: int, lease_ms: int) -> bool:
    """Extends the lease to `lease_ms`. False once the batch is not this owner's any more."""
    changed = batch.update().where(_held(batch_id, owner, attempt)).values(lease_ms=lease_ms)
    return bool(connection.execute(changed).rowcount)


def settle(connection: Connection, batch_id: int, owner: str, attempt: int, values: Mapping[str, Any]) -> bool:
    """Writes `values` while (owner, attempt) still holds the batch. False when it does not: nothing was written."""
    changed = batch.update().where(_held(batch_id, owner, attempt)).values(values)
    return bool(connection.execute(changed).rowcount)


def accept_late(connection: Connection, batch_id: int, values: Mapping[str, Any]) -> bool:
    """Takes the acceptance of a forgotten attempt as evidence, while nothing better is known."""
    doubtful = (batch.c.id == batch_id) & batch.c.state.in_((State.STARTED, State.UNKNOWN))
    return bool(connection.execute(batch.update().where(doubtful).values(values)).rowcount)


def move(connection: Connection, batch_id: int, before: State, values: Mapping[str, Any]) -> bool:
    """Writes `values` if the batch is still in state `before`. Raises ValueError for a move that does not exist."""
    if not may_move(before, State(values["state"])):
        raise ValueError(f"a batch never moves from {before} to {values['state']}")
    changed = batch.update().where(batch.c.id == batch_id, batch.c.state == before).values(values)
    return bool(connection.execute(changed).rowcount)


def lose_expired(connection: Connection, now_ms: int) -> None:
    """Started batches whose lease has run out become unknown: nobody can tell how far they got."""
    lost = batch.update().where(batch.c.state == State.STARTED, batch.c.lease_ms < now_ms)
    connection.execute(lost.values(state=State.UNKNOWN, reason="lease ran out", owner=None))


def any_expired(connection: Connection, now_ms: int) -> bool:
    found = select(batch.c.id).where(batch.c.state == State.STARTED, batch.c.lease_ms < now_ms)
    return connection.scalar(found.limit(1)) is not None


def unknown_since(connection: Connection, before_ms: int) -> Sequence[Record]:
    """Unknown batches that were started before then."""
    return connection.execute(
        select(batch).where(batch.c.state == State.UNKNOWN, batch.c.started_ms <= before_ms)
    ).all()


def stale(connection: Connection, before_ms: int) -> Sequence[Record]:
    """Lesson batches that nobody has ever started and that have been waiting since before then."""
    found = select(batch).where(batch.c.state == State.PLANNED, batch.c.planned_ms < before_ms)
    # What was started once keeps its deliveries: their ids name messages that may have arrived.
    found = found.where(batch.c.kind == "lesson", batch.c.started_ms.is_(None))
    return connection.execute(found).all()


def deliveries(connection: Connection, batch_id: int) -> Sequence[Record]:
    """A batch's deliveries that have no fate of their own, by id: this order gives the positions."""
    found = select(delivery).where(delivery.c.batch_id == batch_id, delivery.c.state.is_(None))
    return connection.execute(found.order_by(delivery.c.id)).all()


def notices(connection: Connection, batch_id: int) -> Sequence[Record]:
    """A batch's notices that have no fate of their own, by id, with their sign-up's state (signup_state)."""
    joined = notice.join(signup, signup.c.id == notice.c.signup_id)
    found = select(notice, signup.c.state.label("signup_state")).select_from(joined)
    found = found.where(notice.c.batch_id == batch_id, notice.c.state.is_(None))
    return connection.execute(found.order_by(notice.c.id)).all()


def delivery_by_id(connection: Connection, delivery_id: int) -> Record | None:
    """A delivery with its funnel, and lesson_key, segment and revision_id unless they have been deleted."""
    columns = (delivery, enrollment.c.funnel, lesson.c.key.label("lesson_key"), batch.c.segment, batch.c.revision_id)
    joined = (
        delivery.join(enrollment, enrollment.c.id == delivery.c.enrollment_id)
        .outerjoin(lesson, lesson.c.id == delivery.c.lesson_id)
        .outerjoin(batch, batch.c.id == delivery.c.batch_id)
    )
    return connection.execute(select(*columns).select_from(joined).where(delivery.c.id == delivery_id)).one_or_none()


def set_fate(connection: Connection, table_kind: str, ids: Collection[int], state: State, reason: str) -> None:
    """Gives deliveries or notices a fate of their own."""
    if ids:
        table = delivery if table_kind == "lesson" else notice
        connection.execute(table.update().where(table.c.id.in_(ids)).values(state=state, reason=reason))


def rebatch(connection: Connection, table_kind: str, ids: Collection[int], batch_id: int) -> None:
    """Moves deliveries or notices to another batch."""
    table = delivery if table_kind == "lesson" else notice
    connection.execute(table.update().where(table.c.id.in_(ids)).values(batch_id=batch_id))


def open_count(connection: Connection) -> int:
    """How many batches are planned or started."""
    found = select(func.count()).select_from(batch)
    return sum(connection.scalar(found.where(batch.c.state == state)) or 0 for state in (State.PLANNED, State.STARTED))


def remove(connection: Connection, batch_id: int) -> None:
    """Forgets a planned batch and its deliveries; the caller restores their due rows."""
    connection.execute(delivery.delete().where(delivery.c.batch_id == batch_id, delivery.c.state.is_(None)))
    connection.execute(batch.delete().where(batch.c.id == batch_id))


def forget_deliveries(connection: Connection, subscriber_id: int) -> None:
    """Blanks what a subscriber's deliveries tell. The rows stay: the links in old mails go on stopping the notes."""
    theirs = delivery.update().where(delivery.c.subscriber_id == subscriber_id)
    blank = {"lesson_id": None, "batch_id": None, "due_ms": 0, "state": State.SKIPPED, "reason": "withdrawn"}
    connection.execute(theirs.values(blank))


def _held(batch_id: int, owner: str, attempt: int) -> Any:
    return (
        (batch.c.id == batch_id)
        & (batch.c.state == State.STARTED)
        & (batch.c.owner == owner)
        & (batch.c.attempt == attempt)
    )
