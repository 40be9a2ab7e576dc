"""What a provider told us later: kept first, applied afterwards."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, text

from funnel.core.delivery import MOVES, Cause, Kind
from funnel.core.event import Event
from funnel.store.bulk import add_many, among, run_many
from funnel.store.tables import Record, batch, delivery, event, notice

_APPLYING = 0x6576656E7473  # any number that nobody else locks by
_NAMES_AT_ONCE = 10_000
_TARGET = func.coalesce(delivery.c.id, notice.c.id)
_SUBSCRIBER = func.coalesce(delivery.c.subscriber_id, notice.c.subscriber_id)


def batch_ids(connection: Connection, uids: Collection[str]) -> dict[str, int]:
    """uid → id, of those that are ours."""
    listed, found = list(uids), {}
    for start in range(0, len(listed), _NAMES_AT_ONCE):
        some = batch.c.uid.in_(listed[start : start + _NAMES_AT_ONCE])
        found.update({row.uid: row.id for row in connection.execute(select(batch.c.uid, batch.c.id).where(some))})
    return found


def add(connection: Connection, told: Collection[tuple[int, Event]], now_ms: int) -> int:
    """Keeps events as (batch id, event). Returns how many of them were not there yet."""
    # In the order of the unique key: two requests with the same events must not wait for each other.
    rows = sorted({(id_, e.position, e.attempt, e.kind, e.at_ms): str(e.why) for id_, e in told}.items())
    if not rows:
        return 0
    names = ("batch_id", "position", "attempt", "kind", "at_ms")
    columns: dict[str, Sequence[Any]] = dict(zip(names, zip(*(key for key, _ in rows), strict=True), strict=True))
    columns |= {"reason": [reason for _, reason in rows], "received_ms": [now_ms] * len(rows)}
    return add_many(connection, event, columns, "ON CONFLICT DO NOTHING")


def told_of(connection: Connection, batch_id: int) -> bool:
    """Whether anything was told of this batch, applied or not."""
    return connection.scalar(select(event.c.id).where(event.c.batch_id == batch_id).limit(1)) is not None


def any_new(connection: Connection) -> bool:
    return connection.scalar(select(event.c.id).where(event.c.handled_ms.is_(None)).limit(1)) is not None


def is_alone(connection: Connection) -> bool:
    """Whether nobody else is applying events; nobody will until the transaction ends. SQLite has one writer anyway."""
    if connection.dialect.name == "sqlite":
        return True
    return bool(connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _APPLYING}))


def new(connection: Connection, limit: int) -> Sequence[Record]:
    """The next events in order of their coming, with whom they are about.

    Rows of (id, batch_id, attempt, kind, reason, at_ms, received_ms); of the batch (batch_kind, seen_ms, started_ms),
    NULL when it has gone; of the delivery or notice (target_id, subscriber_id), NULL when its reader has withdrawn; and
    of a notice (notice_kind, address_hash), where the hash is that of another address than its subscriber's.
    """
    found = _told(event, event.c.batch_id).where(event.c.handled_ms.is_(None))
    return connection.execute(found.order_by(event.c.id).limit(limit)).all()


def moved(connection: Connection, ids: Collection[int]) -> Sequence[Record]:
    """Those of these events whose recipient was in that attempt, and has a batch of their own by now: rows as of `new`,
    but of the batch where the recipient is.
    """
    if not ids:
        return ()
    begun = select(event.c.id, event.c.attempt, event.c.batch_id).where(among(connection, event.c.id, ids))
    line = begun.cte("line", recursive=True)
    later = and_(batch.c.split_from == line.c.batch_id, batch.c.split_attempt > line.c.attempt)
    line = line.union_all(select(line.c.id, line.c.attempt, batch.c.id).select_from(line.join(batch, later)))
    ways = event.join(line, and_(line.c.id == event.c.id, line.c.batch_id != event.c.batch_id))
    # Said of the events once more, or SQLite reads all there are.
    found = _told(ways, line.c.batch_id).where(_TARGET.is_not(None), among(connection, event.c.id, ids))
    return connection.execute(found.order_by(event.c.id)).all()


def _told(events: Any, batch_id: ColumnElement[int]) -> Select[Any]:
    """The events, with the batch, and with whoever of it they are about."""
    joined = events.outerjoin(batch, batch.c.id == batch_id)
    for kind, table in (("lesson", delivery), ("notice", notice)):
        place = and_(table.c.batch_id == batch_id, table.c.position == event.c.position)
        joined = joined.outerjoin(table, and_(batch.c.kind == kind, place))
    own = ("id", "attempt", "kind", "reason", "at_ms", "received_ms")
    return select(
        *(event.c[name] for name in own),
        *(batch_id.label("batch_id"), batch.c.kind.label("batch_kind"), batch.c.seen_ms, batch.c.started_ms),
        *(_TARGET.label("target_id"), _SUBSCRIBER.label("subscriber_id")),
        *(notice.c.kind.label("notice_kind"), notice.c.address_hash),
    ).select_from(joined)


def see(connection: Connection, moments: Mapping[int, int]) -> None:
    """Records on batches, id → epoch milliseconds, when their first event came."""
    if not moments:
        return
    columns = {"seen_ms": list(moments.values()), "id": list(moments)}
    if connection.dialect.name == "sqlite":
        run_many(connection, "UPDATE batch SET seen_ms = ? WHERE id = ? AND seen_ms IS NULL", columns)
        return
    changed = "UPDATE batch SET seen_ms = given.seen_ms FROM given WHERE batch.id = given.id AND batch.seen_ms IS NULL"
    run_many(connection, changed, columns, batch)


def move(connection: Connection, kind: Kind, cause: Cause, rows: Sequence[tuple[int, int, str | None]]) -> None:
    """Moves deliveries or notices, (id, batch id, reason), as this evidence does.

    Decided by the state that each has when it is written, so that nothing is lost in between. One without a state of
    its own has its batch's, which evidence has moved to accepted already.
    """
    if not rows:
        return
    ids, batches, reasons = zip(*rows, strict=True)
    columns = {"reason": reasons, "id": ids, "batch_id": batches}
    statement = _moving(kind, cause, connection.dialect.name)
    table = delivery if kind == Kind.LESSON else notice
    run_many(connection, statement, columns, None if connection.dialect.name == "sqlite" else table)


@cache
def _moving(kind: Kind, cause: Cause, dialect: str) -> str:
    table = "delivery" if kind == Kind.LESSON else "notice"
    befores = ", ".join(f"'{state}'" for state in sorted(MOVES[cause].befores))
    may = f"{table}.state IN ({befores})" + ("" if cause == Cause.ACCEPT else f" OR {table}.state IS NULL")
    set_ = f"UPDATE {table} SET state = '{MOVES[cause].after}', reason = "  # noqa: S608 -- our own names
    if dialect == "sqlite":
        return f"{set_} ? WHERE id = ? AND batch_id = ? AND ({may})"
    same = f"{table}.id = given.id AND {table}.batch_id = given.batch_id"
    return f"{set_} given.reason FROM given WHERE {same} AND ({may})"


def handle(connection: Connection, ids: Collection[int], now_ms: int) -> None:
    connection.execute(event.update().where(among(connection, event.c.id, ids)).values(handled_ms=now_ms))
