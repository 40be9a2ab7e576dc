"""Many confirmed readers at once, and what a simulation asks of its own database afterwards. Reads whole tables."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, func, select, text

from funnel.core.consent import Action, Enrolled, Standing
from funnel.store.bulk import add_many, among
from funnel.store.tables import Record, batch, consent, delivery, due, enrollment, lesson, subscriber, subscriber_key

_PLACES = text("""
    WITH place AS (
        SELECT enrollment_id, turn FROM due
        UNION ALL
        SELECT delivery.enrollment_id, delivery.turn FROM delivery JOIN batch ON batch.id = delivery.batch_id
        WHERE delivery.state IS NULL AND batch.state IN ('planned', 'started', 'unknown')
    ), counted AS (SELECT enrollment_id, turn, count(*) AS places FROM place GROUP BY enrollment_id, turn)
    SELECT enrollment.subscriber_id, COALESCE(counted.places, 0) AS places FROM enrollment
    LEFT JOIN counted ON counted.enrollment_id = enrollment.id AND counted.turn = enrollment.turn
    WHERE enrollment.state = 'active' AND COALESCE(counted.places, 0) <> 1 ORDER BY enrollment.id
""")


class Sealed(NamedTuple):
    """A reader who has confirmed. The id is the caller's to choose."""

    id: int
    address_hash: bytes
    sealed: bytes
    version: int
    wrapped: bytes
    zone: str
    locale: str


class Entering(NamedTuple):
    """A course that a reader has just confirmed."""

    subscriber_id: int
    funnel: str
    pattern: str
    secondary: str | None
    pace: str


def add_readers(connection: Connection, people: Sequence[Sealed], now_ms: int) -> None:
    """Active subscribers with their keys."""
    columns = _columns(people)
    key = {"subscriber_id": columns["id"], **{name: columns.pop(name) for name in ("version", "wrapped")}}
    add_many(connection, subscriber, {**columns, **_same(len(people), state=Standing.ACTIVE.value, **_at(now_ms))})
    add_many(connection, subscriber_key, key)


def add_courses(
    connection: Connection,
    entering: Sequence[Entering],
    revision_id: str,
    locale: str,
    wordings: Mapping[str, str],
    now_ms: int,
) -> Sequence[Record]:
    """Active enrollments, with the consents behind them (purpose → wording hash). Returns the enrollments."""
    columns = _columns(entering)
    readers = columns["subscriber_id"]
    for purpose, hash_ in wordings.items():
        said = {"purpose": purpose, "wording_hash": hash_, "revision_id": revision_id, "locale": locale}
        shared = _same(len(readers), action=Action.CONFIRMED.value, at_ms=now_ms, **said)
        add_many(connection, consent, {"subscriber_id": readers, **shared})
    begun = _same(len(readers), state=Enrolled.ACTIVE.value, turn=1, **_at(now_ms))
    add_many(connection, enrollment, {**columns, **begun})
    found = select(enrollment).where(among(connection, enrollment.c.subscriber_id, readers))
    return connection.execute(
        found.where(enrollment.c.funnel == entering[0].funnel, enrollment.c.created_ms == now_ms)
    ).all()


def _columns(rows: Sequence[NamedTuple]) -> dict[str, Sequence[Any]]:
    return dict(zip(rows[0]._fields, zip(*rows, strict=True), strict=True))


def _same(many: int, **values: Any) -> dict[str, Sequence[Any]]:
    return {name: [value] * many for name, value in values.items()}


def _at(now_ms: int) -> dict[str, int]:
    return {"created_ms": now_ms, "changed_ms": now_ms}


def next_moment(connection: Connection, after_ms: int) -> int | None:
    """When something is due next, or a batch may be tried again: the first instant after `after_ms`."""
    due_next = connection.scalar(select(func.min(due.c.due_ms)).where(due.c.due_ms > after_ms))
    waiting = select(func.min(batch.c.planned_ms)).where(batch.c.state == "planned", batch.c.planned_ms > after_ms)
    return min((each for each in (due_next, connection.scalar(waiting)) if each is not None), default=None)


def lessons_of(connection: Connection) -> dict[int, tuple[str, str]]:
    """delivery → (funnel, lesson key), of all that are."""
    columns = (delivery.c.id, lesson.c.funnel, lesson.c.key)
    found = select(*columns).select_from(delivery.join(lesson, lesson.c.id == delivery.c.lesson_id))
    return {row.id: (row.funnel, row.key) for row in connection.execute(found)}


def unsent(connection: Connection) -> Sequence[Record]:
    """(subscriber_id, key, state, reason) of deliveries that were skipped or failed."""
    columns = (delivery.c.subscriber_id, lesson.c.key, delivery.c.state, delivery.c.reason)
    found: Select[Any] = select(*columns).select_from(delivery.join(lesson, lesson.c.id == delivery.c.lesson_id))
    return connection.execute(found.where(delivery.c.state.in_(("failed", "skipped"))).order_by(delivery.c.id)).all()


def misplaced(connection: Connection) -> Sequence[Record]:
    """(subscriber_id, places) of active courses that are not in exactly one place."""
    return connection.execute(_PLACES).all()


def overdue(connection: Connection, before_ms: int) -> Sequence[int]:
    """The readers of active courses whose due row has been waiting since before then."""
    stands = and_(enrollment.c.id == due.c.enrollment_id, enrollment.c.turn == due.c.turn)
    found = select(due.c.subscriber_id).select_from(due.join(enrollment, stands))
    found = found.where(due.c.due_ms < before_ms, enrollment.c.state == Enrolled.ACTIVE)
    return connection.scalars(found.order_by(due.c.due_ms, due.c.enrollment_id)).all()


def count_by_state(connection: Connection) -> dict[str, int]:
    """State → how many enrollments are in it."""
    counted = select(enrollment.c.state, func.count().label("many")).group_by(enrollment.c.state)
    return {row.state: row.many for row in connection.execute(counted)}
