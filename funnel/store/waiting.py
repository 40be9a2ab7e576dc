"""Those who wait for a lesson, part by part, and what a change of content must know of them to move them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, select, tuple_

from funnel.core.consent import Enrolled, Standing
from funnel.store.bulk import add_many, among, run_many
from funnel.store.tables import Record, due, enrollment, subscriber

_OF_PERSON = ("turn", "subscriber_id", "pattern", "secondary", "pace", "locale", "link_only")
_COLUMNS = ("due_ms", "enrollment_id", "lesson_id", *_OF_PERSON)
_DELETE_SQLITE = "DELETE FROM due WHERE due_ms = ? AND enrollment_id = ? AND turn = ?"
_DELETE_POSTGRESQL = """DELETE FROM due USING given WHERE due.due_ms = given.due_ms
    AND due.enrollment_id = given.enrollment_id AND due.turn = given.turn"""


def after(
    connection: Connection, lesson_ids: Collection[int], cursor: tuple[int, int, int], limit: int
) -> Sequence[Record]:
    """Up to `limit` due rows of these lessons behind a key of the due table, locked; none that is being planned."""
    key = (due.c.due_ms, due.c.enrollment_id, due.c.turn)
    found = select(due).where(tuple_(*key) > cursor, among(connection, due.c.lesson_id, lesson_ids))
    return connection.execute(found.order_by(*key).limit(limit).with_for_update(skip_locked=True)).all()


def remove(connection: Connection, keys: Sequence[tuple[int, int, int]]) -> int:
    """Deletes due rows by (due_ms, enrollment_id, turn). Returns how many were there."""
    if not keys:
        return 0
    columns = dict(zip(("due_ms", "enrollment_id", "turn"), zip(*keys, strict=True), strict=True))
    if connection.dialect.name == "sqlite":
        return run_many(connection, _DELETE_SQLITE, columns)
    return run_many(connection, _DELETE_POSTGRESQL, columns, due)


def standing(connection: Connection, keys: Collection[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """Those of the due rows (due_ms, enrollment_id, turn) that are there still, locked; not those being planned now."""
    theirs = among(connection, due.c.enrollment_id, {enrollment_id for _, enrollment_id, _ in keys})
    found = select(due.c.due_ms, due.c.enrollment_id, due.c.turn).where(
        among(connection, due.c.due_ms, {due_ms for due_ms, _, _ in keys}), theirs
    )
    rows = connection.execute(found.with_for_update(skip_locked=True)) if keys else ()
    return {key for row in rows if (key := (row.due_ms, row.enrollment_id, row.turn)) in keys}


def add(connection: Connection, rows: Sequence[tuple[int, int, Any]]) -> None:
    """Due rows from (due_ms, lesson_id, enrollment), as the enrollment stands."""
    if rows:
        copied = [
            (due_ms, person.id, lesson_id, *(getattr(person, name) for name in _OF_PERSON))
            for due_ms, lesson_id, person in sorted(rows, key=lambda row: (row[0], row[2].id))
        ]
        add_many(connection, due, dict(zip(_COLUMNS, zip(*copied, strict=True), strict=True)), "ON CONFLICT DO NOTHING")


def finished(
    connection: Connection, funnel: str, after_id: int, limit: int, among_ids: Collection[int] | None = None
) -> Sequence[Record]:
    """Up to `limit` enrollments behind this one whose readers finished, may be mailed, and began nothing since.

    Rows of the enrollment's columns, with zone and locale; only of `among_ids`, if given.
    """
    later = enrollment.alias("later")
    joined = enrollment.join(subscriber, subscriber.c.id == enrollment.c.subscriber_id)
    since = select(later.c.id).where(
        later.c.subscriber_id == enrollment.c.subscriber_id, later.c.funnel == funnel, later.c.id > enrollment.c.id
    )
    live = select(later.c.id).where(
        *(later.c.subscriber_id == enrollment.c.subscriber_id, later.c.funnel == funnel),
        later.c.state.in_((Enrolled.ACTIVE, Enrolled.PAUSED)),
    )
    found = select(enrollment, subscriber.c.zone, subscriber.c.locale).select_from(joined)
    found = found.where(
        *(enrollment.c.id > after_id, enrollment.c.funnel == funnel, enrollment.c.state == Enrolled.FINISHED),
        *(subscriber.c.state == Standing.ACTIVE, ~since.exists(), ~live.exists()),
    )
    if among_ids is not None:
        found = found.where(among(connection, enrollment.c.id, among_ids))
    return connection.execute(found.order_by(enrollment.c.id).limit(limit)).all()


def set_state(connection: Connection, ids: Collection[int], state: Enrolled, reason: str | None = None) -> None:
    """Moves enrollments to a state, without a new turn."""
    if ids:
        changed = enrollment.update().where(among(connection, enrollment.c.id, ids))
        connection.execute(changed.values(state=state, reason=reason))
