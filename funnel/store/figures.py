"""Figures for operators. Read by index and capped: asking costs the same however much there is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, literal_column, or_, select

from funnel.core.delivery import State
from funnel.store.tables import Record, batch, due, event, poll, subscriber, subscriber_key, suppression

DUE_AT_MOST = 100_000
SETTLED_AT_MOST = 100_000
EVENTS_AT_MOST = 100_000
NEWEST_EVENTS = 1_000
SUPPRESSED_AT_MOST = 1_000_000
ZONES_AT_MOST = 100_000
OPEN = (State.PLANNED, State.STARTED, State.UNKNOWN)


class Backlog(NamedTuple):
    """What waits, up to a cap, and since when."""

    waiting: int
    oldest_ms: int | None


class Settled(NamedTuple):
    """Batches, and the recipients planned into them."""

    batches: int
    recipients: int


class Open(NamedTuple):
    """Batches in a state, the recipients planned into them, and when the oldest of them was planned."""

    batches: int
    recipients: int
    oldest_ms: int | None


def backlog(connection: Connection, now_ms: int) -> Backlog:
    """Lessons that are due and not planned, at most DUE_AT_MOST."""
    waiting = select(due.c.due_ms).where(due.c.due_ms <= now_ms).order_by(due.c.due_ms).limit(DUE_AT_MOST).subquery()
    return Backlog(*connection.execute(select(func.count(), func.min(waiting.c.due_ms))).one())


def open_batches(connection: Connection) -> dict[State, Open]:
    found = select(func.count(), func.coalesce(func.sum(batch.c.size), 0), func.min(batch.c.planned_ms))
    # The state is written out, not a parameter: only so do the partial indexes serve.
    return {
        state: Open(*connection.execute(found.where(batch.c.state == literal_column(f"'{state}'"))).one())
        for state in OPEN
    }


def settled(connection: Connection, since_ms: int, lately_ms: int, bounds_ms: Sequence[int]) -> Sequence[Record]:
    """Sums over the batches settled since then, at most the newest SETTLED_AT_MOST.

    Rows of (kind, state, doubled, lately, place, recipients, late_ms): `doubled` is whether two attempts are known to
    have been accepted, `lately` whether it was settled since `lately_ms`, `place` the first of `bounds_ms` that the
    lateness from due to accepted does not exceed (len(bounds_ms) if it exceeds all, None if nobody knows it),
    `recipients` the sum of sizes, and `late_ms` the sum of size × lateness.
    """
    newest = select(batch).where(batch.c.settled_ms >= since_ms).order_by(batch.c.settled_ms.desc())
    found = newest.limit(SETTLED_AT_MOST).subquery()
    # An acceptance with a reason was assumed, days later: it tells nothing of lateness.
    unknown = or_(found.c.state != State.ACCEPTED, found.c.due_ms.is_(None), found.c.reason.is_not(None))
    late_ms = found.c.settled_ms - found.c.due_ms
    steps = [(late_ms <= bound, place) for place, bound in enumerate(bounds_ms)]
    groups: list[Any] = [
        found.c.kind,
        found.c.state,
        (found.c.proven.bitwise_and(found.c.proven - 1) != 0).label("doubled"),
        (found.c.settled_ms >= lately_ms).label("lately"),
        case((unknown, None), *steps, else_=len(bounds_ms)).label("place"),
    ]
    sums = (func.sum(found.c.size).label("recipients"), func.sum(found.c.size * late_ms).label("late_ms"))
    # By place, not by name: PostgreSQL does not see that two expressions with parameters are the same one.
    return list(connection.execute(select(*groups, *sums).group_by(*map(literal_column, "12345"))))


def settled_for(connection: Connection, reason: str, since_ms: int) -> Settled:
    """The batches settled since then for this reason, at most the newest SETTLED_AT_MOST."""
    newest = select(batch.c.size).where(batch.c.settled_ms >= since_ms, batch.c.reason == reason)
    found = newest.order_by(batch.c.settled_ms.desc()).limit(SETTLED_AT_MOST).subquery()
    return Settled(*connection.execute(select(func.count(), func.coalesce(func.sum(found.c.size), 0))).one())


def events_waiting(connection: Connection) -> Backlog:
    """Events that nobody has handled, at most EVENTS_AT_MOST, and when the first of them came."""
    new = select(event.c.id, event.c.received_ms).where(event.c.handled_ms.is_(None)).order_by(event.c.id)
    waiting = new.limit(EVENTS_AT_MOST).subquery()
    return Backlog(*connection.execute(select(func.count(), func.min(waiting.c.received_ms))).one())


def newest_events(connection: Connection, limit: int = NEWEST_EVENTS) -> Sequence[Record]:
    """Rows (at_ms, received_ms), the newest first."""
    found = select(event.c.at_ms, event.c.received_ms).order_by(event.c.id.desc()).limit(limit)
    return list(connection.execute(found))


def heard_of(connection: Connection, provider: str, since_ms: int, until_ms: int) -> tuple[int, int]:
    """Of the batches that this provider accepted in a time: (how many, of how many an event has come)."""
    newest = select(batch.c.seen_ms).where(
        batch.c.settled_ms.between(since_ms, until_ms),
        batch.c.provider == provider,
        batch.c.state == State.ACCEPTED,
    )
    found = newest.order_by(batch.c.settled_ms.desc()).limit(NEWEST_EVENTS).subquery()
    accepted, seen = connection.execute(select(func.count(), func.count(found.c.seen_ms)).select_from(found)).one()
    return accepted, seen


def polls(connection: Connection) -> Sequence[Record]:
    return connection.execute(select(poll).order_by(poll.c.list)).all()


def suppressions(connection: Connection) -> dict[str, int]:
    """reason → addresses, of SUPPRESSED_AT_MOST at most."""
    some = select(suppression.c.reason).limit(SUPPRESSED_AT_MOST).subquery()
    rows = connection.execute(select(some.c.reason, func.count()).group_by(some.c.reason))
    return {row[0]: row[1] for row in rows}


def ends_of_keys(connection: Connection) -> set[int]:
    """The first and the last subscriber who has a key."""
    id_ = subscriber_key.c.subscriber_id
    return {found for end in (func.min(id_), func.max(id_)) if (found := connection.scalar(select(end))) is not None}


def zones(connection: Connection) -> dict[str, int]:
    """Time zone → how many of the newest subscribers live by it; at most ZONES_AT_MOST are looked at."""
    newest = select(subscriber.c.zone).order_by(subscriber.c.id.desc()).limit(ZONES_AT_MOST).subquery()
    rows = connection.execute(select(newest.c.zone, func.count().label("people")).group_by(newest.c.zone))
    return {row.zone: row.people for row in rows}
