"""Many confirmed readers at once, and what a simulation asks of its own database afterwards. Reads whole tables."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select, text

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
    SELECT enrollment.id, COALESCE(counted.places, 0) AS places FROM enrollment
    LEFT JOIN counted ON counted.enrollment_id = enrollment.id AND counted.turn = enrollment.turn
    WHERE enrollment.state = 'active' AND COALESCE(counted.places, 0) <> 1 ORDER BY enrollment.id
""")


class Confirmed(NamedTuple):
    """A reader who has confirmed, sealed; with the course that they are in. The ids are the caller's to choose."""

    id: int
    address_hash: bytes
    sealed: bytes
    version: int
    wrapped: bytes
    zone: str
    locale: str
    funnel: str
    pattern: str
    secondary: str | None
    pace: str


def add_confirmed(
    connection: Connection, people: Sequence[Confirmed], revision_id: str, wordings: Mapping[str, str], now_ms: int
) -> None:
    """Subscribers, their keys, their consents (purpose → wording hash) and an active enrollment of the same id each."""
    ids, many = [each.id for each in people], len(people)
    times = {"created_ms": [now_ms] * many, "changed_ms": [now_ms] * many}

    def column(*names: str) -> dict[str, Sequence[Any]]:
        return {name: [getattr(each, name) for each in people] for name in names}

    standing = {"state": [Standing.ACTIVE.value] * many}
    add_many(
        connection, subscriber, {"id": ids, **column("address_hash", "sealed", "zone", "locale"), **standing, **times}
    )
    add_many(connection, subscriber_key, {"subscriber_id": ids, **column("version", "wrapped")})
    for purpose, hash_ in wordings.items():
        same = {"purpose": purpose, "wording_hash": hash_, "revision_id": revision_id, "action": Action.CONFIRMED.value}
        shared: dict[str, Sequence[Any]] = {name: [value] * many for name, value in {**same, "at_ms": now_ms}.items()}
        add_many(connection, consent, {"subscriber_id": ids, **column("locale"), **shared})
    entered = {"id": ids, "subscriber_id": ids, **column("funnel", "pattern", "secondary", "pace")}
    begun: dict[str, Sequence[Any]] = {"state": [Enrolled.ACTIVE.value] * many, "turn": [1] * many, **times}
    add_many(connection, enrollment, {**entered, **begun})


def enrollments(connection: Connection, ids: Collection[int]) -> list[Record]:
    """These enrollments."""
    return list(connection.execute(select(enrollment).where(among(connection, enrollment.c.id, ids))))


def next_moment(connection: Connection, after_ms: int) -> int | None:
    """When something is due next, or a batch may be tried again: the first instant after `after_ms`."""
    due_next = connection.scalar(select(func.min(due.c.due_ms)).where(due.c.due_ms > after_ms))
    waiting = select(func.min(batch.c.planned_ms)).where(batch.c.state == "planned", batch.c.planned_ms > after_ms)
    return min((each for each in (due_next, connection.scalar(waiting)) if each is not None), default=None)


def lesson_keys(connection: Connection) -> dict[int, str]:
    """delivery → the key of its lesson, of all that are."""
    joined = delivery.join(lesson, lesson.c.id == delivery.c.lesson_id)
    return {row.id: row.key for row in connection.execute(select(delivery.c.id, lesson.c.key).select_from(joined))}


def unsent(connection: Connection) -> list[Record]:
    """(enrollment_id, key, reason) of deliveries that were skipped or failed."""
    joined = delivery.join(lesson, lesson.c.id == delivery.c.lesson_id)
    found = select(delivery.c.enrollment_id, lesson.c.key, delivery.c.reason).select_from(joined)
    return list(connection.execute(found.where(delivery.c.state.in_(("failed", "skipped"))).order_by(delivery.c.id)))


def misplaced(connection: Connection) -> dict[int, int]:
    """Active enrollment → in how many places it is, of those that are not in exactly one."""
    return {row.id: row.places for row in connection.execute(_PLACES)}


def overdue(connection: Connection, before_ms: int) -> list[int]:
    """Enrollments whose due row has been waiting since before then."""
    found = select(due.c.enrollment_id).where(due.c.due_ms < before_ms).order_by(due.c.due_ms, due.c.enrollment_id)
    return list(connection.scalars(found))


def count_by_state(connection: Connection) -> dict[str, int]:
    """State → how many enrollments are in it."""
    counted = select(enrollment.c.state, func.count().label("many")).group_by(enrollment.c.state)
    return {row.state: row.many for row in connection.execute(counted)}
