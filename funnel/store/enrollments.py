"""Enrollments and the due table: who is where in which course."""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, and_, select, text

from funnel.core.consent import Enrolled
from funnel.store.bulk import among, run_many
from funnel.store.db import BINARY, exclude_starts
from funnel.store.tables import (
    Record,
    delivery,
    due,
    enrollment,
    ledger,
    moved,
    publication,
    reached,
    records_in_parts,
    slot,
    subscriber,
)
from funnel.store.upsert import insert_missing

LIVE = (Enrolled.ACTIVE, Enrolled.PAUSED)

_READER = ("subscriber_id", "lesson_id", "enrollment_id", "turn", "due_ms")
_DUE = ", ".join(f"due.{name}" for name in (*_READER, "pattern", "secondary", "pace", "locale", "link_only"))
_TAKE_POSTGRESQL = text(f"""
    WITH taken AS MATERIALIZED (
        SELECT due_ms, enrollment_id, turn FROM due WHERE due_ms <= :now_ms AND NOT lesson_id = ANY(:without)
        ORDER BY due_ms, enrollment_id LIMIT :limit FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM due USING taken
        WHERE due.due_ms = taken.due_ms AND due.enrollment_id = taken.enrollment_id AND due.turn = taken.turn
        RETURNING {_DUE}
    )
    SELECT * FROM gone ORDER BY due_ms
""")  # noqa: S608 -- constant
_TAKE_SQLITE = text(f"""
    SELECT {_DUE} FROM due WHERE due_ms <= :now_ms AND lesson_id NOT IN (SELECT value FROM json_each(:without))
    ORDER BY due_ms, enrollment_id, turn LIMIT :limit
""")  # noqa: S608 -- constant
_DELETE_SQLITE = text("""
    DELETE FROM due WHERE due_ms <= :due_ms AND (due_ms, enrollment_id, turn) <= (:due_ms, :enrollment_id, :turn)
    AND lesson_id NOT IN (SELECT value FROM json_each(:without))
""")
# What a due row copies of its enrollment, as it is at that moment.
_COPIED = ("turn", "subscriber_id", "pattern", "secondary", "pace", "locale", "link_only")
_COLUMNS = ("due_ms", "lesson_id", "enrollment_id", *_COPIED)
_INTO_DUE = f"INTO due ({', '.join(_COLUMNS)})"
_COPY = ", ".join(f"enrollment.{name}" for name in ("id", *_COPIED))
# A course that was changed meanwhile has a due row of its own; who has had the lesson is left to the caller.
_STILL_THERE = "enrollment.turn = {turn} AND enrollment.state = 'active'"
_NOT_HAD = """NOT EXISTS (
    SELECT 1 FROM ledger WHERE ledger.subscriber_id = enrollment.subscriber_id AND ledger.lesson_id = {lesson})"""
# OR IGNORE, which for these rows means ON CONFLICT DO NOTHING, and spares SQLite a journal of every statement.
_NEXT_SQLITE = f"""
    INSERT OR IGNORE {_INTO_DUE} SELECT ?1, ?3, {_COPY} FROM enrollment
    WHERE enrollment.id = ?2 AND {_STILL_THERE.format(turn="?4")} AND {_NOT_HAD.format(lesson="?3")}
"""  # noqa: S608 -- constant
_NEXT_POSTGRESQL = f"""
    INSERT {_INTO_DUE} SELECT given.due_ms, given.lesson_id, {_COPY}
    FROM given JOIN enrollment ON enrollment.id = given.enrollment_id AND {_STILL_THERE.format(turn="given.turn")}
    WHERE {_NOT_HAD.format(lesson="given.lesson_id")} ON CONFLICT DO NOTHING
"""  # noqa: S608 -- constant
_FINISH = "UPDATE enrollment SET state = 'finished', reason = NULL, changed_ms = {now_ms}"
_FINISH_SQLITE = f"{_FINISH} WHERE id = ? AND turn = ? AND state = 'active'"
_FINISH_POSTGRESQL = f"""{_FINISH} FROM given
    WHERE enrollment.id = given.id AND enrollment.turn = given.turn AND enrollment.state = 'active'"""


def add(
    connection: Connection,
    subscriber_id: int,
    funnel: str,
    pattern: str,
    secondary: str | None,
    now_ms: int,
    locale: str = "",
    link_only: int = 0,
) -> int:
    """A new active enrollment. A second live one in the same funnel is refused by the database."""
    row = {
        "subscriber_id": subscriber_id,
        "funnel": funnel,
        "pattern": pattern,
        "secondary": secondary,
        "pace": "as-written",
        "state": Enrolled.ACTIVE,
        "turn": 1,
        "created_ms": now_ms,
        "changed_ms": now_ms,
        "locale": locale,
        "link_only": link_only,
    }
    return int(connection.scalars(enrollment.insert().values(row).returning(enrollment.c.id)).one())


def live(connection: Connection, subscriber_id: int, funnel: str) -> Record | None:
    """The subscriber's live enrollment in this funnel."""
    found = select(enrollment).where(
        enrollment.c.subscriber_id == subscriber_id, enrollment.c.funnel == funnel, enrollment.c.state.in_(LIVE)
    )
    return connection.execute(found).one_or_none()


def by_id(connection: Connection, enrollment_id: int) -> Record | None:
    return connection.execute(select(enrollment).where(enrollment.c.id == enrollment_id)).one_or_none()


def all_live(connection: Connection, subscriber_id: int) -> Sequence[Record]:
    found = select(enrollment).where(enrollment.c.subscriber_id == subscriber_id, enrollment.c.state.in_(LIVE))
    return connection.execute(found).all()


def finished(connection: Connection, subscriber_id: int, funnel: str) -> Sequence[Record]:
    """The courses of this funnel that the subscriber has been through."""
    theirs = enrollment.c.subscriber_id == subscriber_id, enrollment.c.funnel == funnel
    return connection.execute(select(enrollment).where(*theirs, enrollment.c.state == Enrolled.FINISHED)).all()


def ended_for(connection: Connection, subscriber_id: int, reason: str, since_ms: int) -> Sequence[Record]:
    """The newest enrollment in each funnel, of those that ended for this reason at or after `since_ms`."""
    found = select(enrollment).where(
        enrollment.c.subscriber_id == subscriber_id,
        enrollment.c.state == Enrolled.ENDED,
        enrollment.c.reason == reason,
        enrollment.c.changed_ms >= since_ms,
    )
    return list({row.funnel: row for row in connection.execute(found.order_by(enrollment.c.id))}.values())


def move(connection: Connection, enrollment_id: int, state: Enrolled, reason: str | None, now_ms: int) -> int:
    """Sets the state and begins a new turn, which strands every due row of an old one. Returns the turn.

    No batch starts between this and the end of the transaction: whoever starts later sees it.
    """
    exclude_starts(connection)
    changed = enrollment.update().where(enrollment.c.id == enrollment_id)
    values = {"state": state, "reason": reason, "turn": enrollment.c.turn + 1, "changed_ms": now_ms}
    return int(connection.scalars(changed.values(values).returning(enrollment.c.turn)).one())


def set_states(connection: Connection, ids: Collection[int], state: Enrolled, reason: str | None, now_ms: int) -> None:
    """Moves active enrollments that have nothing due; no new turn."""
    if ids:
        changed = enrollment.update().where(among(connection, enrollment.c.id, ids))
        changed = changed.where(enrollment.c.state == Enrolled.ACTIVE)
        connection.execute(changed.values(state=state, reason=reason, changed_ms=now_ms))


def set_traits(connection: Connection, enrollment_id: int, secondary: str | None, locale: str) -> None:
    """What of a reader chooses between forms of a lesson. The due row may lag behind: start compares."""
    traits = {"secondary": secondary, "locale": locale}
    connection.execute(enrollment.update().where(enrollment.c.id == enrollment_id).values(traits))


def with_subscribers(connection: Connection, ids: Collection[int]) -> dict[int, Record]:
    """enrollment id → its columns with subscriber_state and zone."""
    joined = enrollment.join(subscriber, subscriber.c.id == enrollment.c.subscriber_id)
    found = select(enrollment, subscriber.c.state.label("subscriber_state"), subscriber.c.zone).select_from(joined)
    return {row.id: row for row in connection.execute(found.where(among(connection, enrollment.c.id, ids)))}


def add_due(connection: Connection, rows: Iterable[tuple[Record, int, int]]) -> None:
    """Due rows from (enrollment, due_ms, lesson_id); one that is there already is left alone."""
    listed = [
        (due_ms, lesson_id, enrolled.id, *(getattr(enrolled, name) for name in _COPIED))
        for enrolled, due_ms, lesson_id in rows
    ]
    insert_missing(connection, due, [dict(zip(_COLUMNS, row, strict=True)) for row in listed])


def restore_due(connection: Connection, delivery_ids: Collection[int]) -> None:
    """The due rows from which deliveries were planned that nobody has started; whoever was rescheduled has another."""
    same = and_(enrollment.c.id == delivery.c.enrollment_id, enrollment.c.turn == delivery.c.turn)
    columns = (delivery.c.due_ms, delivery.c.lesson_id, enrollment.c.id, *(enrollment.c[name] for name in _COPIED))
    planned = select(*columns).select_from(delivery.join(enrollment, same))
    planned = planned.where(among(connection, delivery.c.id, delivery_ids))
    connection.execute(due.insert().from_select(list(_COLUMNS), planned))


def add_next(connection: Connection, rows: Sequence[tuple[int, int, int, int]]) -> int:
    """Due rows from (due_ms, enrollment_id, lesson_id, turn), for those who still stand there and have not had it.

    Returns how many were written.
    """
    if not rows:
        return 0
    columns = dict(zip(("due_ms", "enrollment_id", "lesson_id", "turn"), zip(*rows, strict=True), strict=True))
    if connection.dialect.name == "sqlite":
        return run_many(connection, _NEXT_SQLITE, columns)
    return run_many(connection, _NEXT_POSTGRESQL, columns, due)


def finish(connection: Connection, ends: Sequence[tuple[int, int]], now_ms: int) -> int:
    """Finishes the courses of those of (enrollment, turn) that still stand there. Returns how many."""
    if not ends:
        return 0
    columns = dict(zip(("id", "turn"), zip(*sorted(ends), strict=True), strict=True))
    if connection.dialect.name == "sqlite":
        return run_many(connection, _FINISH_SQLITE.format(now_ms=int(now_ms)), columns)
    return run_many(connection, _FINISH_POSTGRESQL.format(now_ms=int(now_ms)), columns, enrollment)


def any_due(connection: Connection, now_ms: int, without: Collection[int] = ()) -> bool:
    found = select(due.c.due_ms).where(due.c.due_ms <= now_ms).order_by(due.c.due_ms)
    if without:
        found = found.where(due.c.lesson_id.not_in(without))
    return connection.scalar(found.limit(1)) is not None


def take_due(
    connection: Connection,
    now_ms: int,
    limit: int,
    without: Collection[int],
    see: Callable[[Sequence[Record]], None],
) -> None:
    """Removes up to `limit` rows that are due, but for the lessons `without`; shows them to `see`, some at a time.

    Rows of (subscriber_id, lesson_id, enrollment_id, turn, due_ms, pattern, secondary, pace, locale, link_only), by
    due_ms. Two planners never take the same row. Rows of an old turn are among them: start refuses those.
    """
    if connection.dialect.name == "postgresql":
        asked = {"now_ms": now_ms, "limit": limit, "without": list(without)}
        for rows in records_in_parts(connection.execute(_TAKE_POSTGRESQL, asked, execution_options=BINARY)):
            see(rows)
        return
    kept = json.dumps(list(without))
    asked = {"now_ms": now_ms, "limit": limit, "without": kept}
    last = None
    for rows in records_in_parts(connection.execute(_TAKE_SQLITE, asked)):
        see(rows)
        last = rows[-1]
    if last:
        gone = {"due_ms": last.due_ms, "enrollment_id": last.enrollment_id, "turn": last.turn, "without": kept}
        connection.execute(_DELETE_SQLITE, gone)


def entered(
    connection: Connection, lesson_ids: Collection[int], subscriber_ids: Collection[int]
) -> set[tuple[int, int]]:
    """(subscriber, lesson) pairs, of these, that the ledger holds, whatever became of them."""
    found = select(ledger.c.subscriber_id, ledger.c.lesson_id)
    rows = connection.execute(found.where(*_entries(connection, lesson_ids, subscriber_ids)))
    return {(row.subscriber_id, row.lesson_id) for row in rows}


def _entries(connection: Connection, lesson_ids: Collection[int], subscriber_ids: Collection[int]) -> tuple[Any, ...]:
    theirs = among(connection, ledger.c.subscriber_id, subscriber_ids)
    return among(connection, ledger.c.lesson_id, lesson_ids), theirs


def forget_patterns(connection: Connection, subscriber_id: int) -> None:
    """Blanks what a subscriber's enrollments, due rows, events and moves say about them; none of them may be live."""
    own = select(enrollment.c.id).where(enrollment.c.subscriber_id == subscriber_id)
    connection.execute(due.delete().where(due.c.enrollment_id.in_(own)))
    connection.execute(reached.delete().where(reached.c.enrollment_id.in_(own)))
    connection.execute(slot.delete().where(slot.c.subscriber_id == subscriber_id))
    # Moves are found by their publications, which are few; no index holds them by their people.
    by_publication = moved.c.publication_id.in_(select(publication.c.id))
    connection.execute(moved.delete().where(by_publication, moved.c.enrollment_id.in_(own)))
    theirs = (enrollment.c.subscriber_id == subscriber_id) & enrollment.c.state.not_in(LIVE)
    connection.execute(enrollment.update().where(theirs).values(pattern="", secondary=None, reason="withdrawn"))
