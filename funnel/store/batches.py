"""Batches: what was planned, started and settled."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, literal_column, select, tuple_

from funnel.core.delivery import MOVES, Cause, State
from funnel.store.bulk import among, among_given, given
from funnel.store.tables import (
    Record,
    batch,
    delivery,
    notice,
    records,
)


def add(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Planned batches from rows of uid, kind, funnel, revision_id, lesson_id, segment, planned_ms, size, due_ms.

    Returns uid → id.
    """
    fresh = {"state": State.PLANNED, "attempt": 0, "retries": 0}
    added = connection.execute(batch.insert().returning(batch.c.uid, batch.c.id), [{**fresh, **row} for row in rows])
    return {row.uid: row.id for row in added}


def by_id(connection: Connection, batch_id: int) -> Record | None:
    return connection.execute(select(batch).where(batch.c.id == batch_id)).one_or_none()


def by_uid(connection: Connection, uid: str) -> Record | None:
    return connection.execute(select(batch).where(batch.c.uid == uid)).one_or_none()


def by_ids(connection: Connection, ids: Collection[int]) -> Sequence[Record]:
    return connection.execute(select(batch).where(among(connection, batch.c.id, ids)).order_by(batch.c.id)).all()


def startable(connection: Connection, now_ms: int, limit: int, without: Collection[str] = ()) -> Sequence[Record]:
    """(id, size, kind) of planned batches whose time has come, but for the funnels `without`.

    Notices first, somebody is waiting for them; then the oldest.
    """
    found = select(batch.c.id, batch.c.size, batch.c.kind).where(_is(State.PLANNED), batch.c.planned_ms <= now_ms)
    if without:
        found = found.where(batch.c.funnel.not_in(without))
    return list(connection.execute(found.order_by(batch.c.kind.desc(), batch.c.planned_ms).limit(limit)))


def start(
    connection: Connection,
    ids: Sequence[int],
    owner: str,
    now_ms: int,
    lease_ms: int,
    provider: str,
    without: Collection[str] = (),
) -> list[Record]:
    """Compare-and-set planned → started, of those still planned, but for the funnels `without`. In order of `ids`."""
    starting = _START.where(batch.c.funnel.not_in(without)) if without else _START
    values = {"by": owner, "now_ms": now_ms, "until_ms": now_ms + lease_ms, "through": provider}
    started = records(connection.execute(starting, {"ids": given(connection, ids), **values}))
    place = {id_: number for number, id_ in enumerate(ids)}
    return sorted(started, key=lambda row: place[row.id])


def renew(connection: Connection, batch_id: int, owner: str, attempt: int, lease_ms: int) -> bool:
    """Extends the lease to `lease_ms`. False once the batch is not this owner's any more."""
    changed = batch.update().where(_held(batch_id, owner, attempt)).values(lease_ms=lease_ms)
    return bool(connection.execute(changed).rowcount)


def settle(connection: Connection, batch_id: int, owner: str, attempt: int, values: Mapping[str, Any]) -> bool:
    """Writes `values` while (owner, attempt) still holds the batch. False when it does not: nothing was written."""
    changed = batch.update().where(_held(batch_id, owner, attempt)).values(values)
    return bool(connection.execute(changed).rowcount)


def held(connection: Connection, rows: Iterable[Record]) -> set[int]:
    """The ids of those of these batches that (owner, attempt) still holds. None changes until the transaction ends.

    Locked in the order of ids, as everybody locks batches: nobody waits for somebody who waits for them.
    """
    holders = {row.id: (State.STARTED, row.owner, row.attempt) for row in rows}
    locked = connection.execute(_LOCKED, {"ids": given(connection, holders)})
    return {id_ for id_, *holder in locked if tuple(holder) == holders[id_]}


def accept(connection: Connection, accepted: Sequence[tuple[int, int, str | None]], now_ms: int) -> None:
    """Settles batches that are held: (id, the bit of the attempt, the provider's reference) of each."""
    rows = [dict(zip(("own_id", "bit", "given"), each, strict=True)) for each in accepted]
    if rows:
        connection.execute(_ACCEPT, [{**row, "now_ms": now_ms} for row in rows])


def prove(connection: Connection, batch_id: int, mask: int, now_ms: int, reference: str | None = None) -> bool:
    """Records that the attempts whose bits are set in `mask` were accepted. True if that moved the batch."""
    one = batch.c.id == batch_id
    bits = {"proven": batch.c.proven.op("|")(mask), "reference": func.coalesce(batch.c.reference, reference)}
    accepted = {"state": State.ACCEPTED, "settled_ms": now_ms, "reason": None, "owner": None, **bits}
    moved = connection.execute(batch.update().where(one, _may(Cause.ACCEPT)).values(accepted)).rowcount
    if not moved:
        connection.execute(batch.update().where(one).values(bits))
    return bool(moved)


def move(connection: Connection, row: Record, cause: Cause, values: Mapping[str, Any]) -> bool:
    """Moves the batch as `cause` does, and writes `values`.

    False when it is not in a state where it could, or not in the attempt any more that `row` was read in: what was
    decided about one attempt says nothing about the next.
    """
    changed = batch.update().where(batch.c.id == row.id, batch.c.attempt == row.attempt, _may(cause))
    return bool(connection.execute(changed.values({"state": MOVES[cause].after, **values})).rowcount)


def lose_expired(connection: Connection, now_ms: int) -> None:
    """Started batches whose lease has run out become unknown: nobody can tell how far they got."""
    expired = and_(_may(Cause.DOUBT), batch.c.lease_ms < now_ms)
    in_order = select(batch.c.id).where(expired).order_by(batch.c.id).with_for_update()  # as everybody locks them
    lost = batch.update().where(batch.c.id.in_(in_order), expired)
    connection.execute(lost.values(state=MOVES[Cause.DOUBT].after, reason="lease ran out", owner=None))


def any_expired(connection: Connection, now_ms: int) -> bool:
    found = select(batch.c.id).where(_is(State.STARTED), batch.c.lease_ms < now_ms)
    return connection.scalar(found.limit(1)) is not None


def unknown(connection: Connection) -> Sequence[Record]:
    """Batches that nobody knows the fate of, the oldest first."""
    return connection.execute(select(batch).where(_is(State.UNKNOWN)).order_by(batch.c.started_ms)).all()


def heard_around(connection: Connection, row: Record) -> bool:
    """Whether events came of this batch's neighbors: the nearest before it and the nearest after it, by their start,
    of those that the same provider is known to have accepted, however far away.
    """
    # Written out, not as a parameter: only so does the partial index serve.
    accepted = and_(batch.c.provider == row.provider, batch.c.proven != literal_column("0"))
    place, own = tuple_(batch.c.started_ms, batch.c.id), tuple_(row.started_ms, row.id)
    before = select(batch.c.seen_ms).where(accepted, place < own)
    after = select(batch.c.seen_ms).where(accepted, place > own)
    nearest = (
        before.order_by(batch.c.started_ms.desc(), batch.c.id.desc()),
        after.order_by(batch.c.started_ms, batch.c.id),
    )
    return all(connection.scalar(found.limit(1)) is not None for found in nearest)


def stale(connection: Connection, before_ms: int) -> Sequence[Record]:
    """Lesson batches that nobody has ever started and that have been waiting since before then."""
    found = select(batch).where(_is(State.PLANNED), batch.c.planned_ms < before_ms)
    # What was started once keeps its deliveries: their ids name messages that may have arrived.
    found = found.where(batch.c.kind == "lesson", batch.c.started_ms.is_(None))
    return connection.execute(found).all()


def split_off(connection: Connection, ids: Collection[int]) -> Sequence[Record]:
    """(id, split_from, split_attempt) of the batches that were split off these."""
    found = select(batch.c.id, batch.c.split_from, batch.c.split_attempt)
    return list(connection.execute(found.where(among(connection, batch.c.split_from, ids))))


def rebatch(connection: Connection, kind: str, ids: Collection[int], before: int, batch_id: int) -> None:
    """Moves deliveries or notices from one batch to another; they keep their positions."""
    table = delivery if kind == "lesson" else notice
    theirs = among(connection, table.c.id, ids), table.c.batch_id == before  # whoever has withdrawn is in none
    connection.execute(table.update().where(*theirs).values(batch_id=batch_id))
    connection.execute(batch.update().where(batch.c.id == before).values(size=batch.c.size - len(ids)))


def open_recipients(connection: Connection, now_ms: int) -> int:
    """How many recipients are planned to start by now, or started."""
    found = select(func.coalesce(func.sum(batch.c.size), 0))
    waiting = found.where(_is(State.PLANNED), batch.c.planned_ms <= now_ms), found.where(_is(State.STARTED))
    return sum(connection.scalar(each) or 0 for each in waiting)


def remove(connection: Connection, batch_id: int) -> None:
    """Forgets a planned batch and its deliveries; the caller restores their due rows."""
    connection.execute(delivery.delete().where(delivery.c.batch_id == batch_id, delivery.c.state.is_(None)))
    connection.execute(batch.delete().where(batch.c.id == batch_id))


def _is(*states: State) -> Any:
    # Written out, not as a parameter: only so do the partial indexes serve.
    written: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in sorted(states)]
    return batch.c.state == written[0] if len(written) == 1 else batch.c.state.in_(written)


def _may(cause: Cause) -> Any:
    return _is(*MOVES[cause].befores)


def _held(batch_id: int, owner: str, attempt: int) -> Any:
    return and_(batch.c.id == batch_id, _may(Cause.AGAIN), batch.c.owner == owner, batch.c.attempt == attempt)


_ACCEPT = (
    batch.update()
    .where(batch.c.id == bindparam("own_id"))
    .values(
        state=MOVES[Cause.ACCEPT].after,
        reason=None,
        reference=bindparam("given"),
        proven=batch.c.proven.op("|")(bindparam("bit")),
        settled_ms=bindparam("now_ms"),
    )
)
_START = (
    batch.update()
    .where(among_given(batch.c.id), _may(Cause.START), batch.c.planned_ms <= bindparam("now_ms"))
    .values(
        state=MOVES[Cause.START].after,
        attempt=batch.c.attempt + 1,
        owner=bindparam("by"),
        started_ms=bindparam("now_ms"),
        lease_ms=bindparam("until_ms"),
        provider=bindparam("through"),
    )
    .returning(batch)
)
_LOCKED = (
    select(batch.c.id, batch.c.state, batch.c.owner, batch.c.attempt)
    .where(among_given(batch.c.id))
    .order_by(batch.c.id)
    .with_for_update()
)
