"""What was published when, how far it has moved people, and which lessons came late to their places."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, func, select, text

from funnel.store.bulk import add_many, among
from funnel.store.tables import Record, batch, due, late, lesson, moved, publication
from funnel.store.upsert import dialect_insert

RESTORING, MOVING, REOPENING, DONE, EXPIRED = "restoring", "moving", "reopening", "done", "expired"
OPEN = (RESTORING, MOVING, REOPENING)
_BEGINNING = {"cursor_ms": -1, "cursor_id": -1, "cursor_turn": -1}


def one_at_a_time(connection: Connection) -> None:
    """Whoever publishes waits for whoever publishes already. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text("LOCK TABLE publication IN EXCLUSIVE MODE")
        )  # who moves people waits, who reads does not


def add(connection: Connection, values: Mapping[str, Any]) -> int:
    """A new entry. One that moves people takes over what earlier ones of the same funnel had still to move."""
    if values["state"] != DONE:
        open_ = publication.c.state.in_(OPEN), publication.c.funnel == values["funnel"]
        connection.execute(publication.update().where(*open_).values(state=DONE))
    return int(connection.scalars(publication.insert().values(values).returning(publication.c.id)).one())


def listed(connection: Connection, funnel: str | None = None) -> Sequence[Record]:
    """Every entry, the newest first."""
    found = select(publication).order_by(publication.c.id.desc())
    return connection.execute(found if funnel is None else found.where(publication.c.funnel == funnel)).all()


def replaced(connection: Connection, funnel: str, revision_id: str | None) -> str | None:
    """The revision that this one replaced when it was last published."""
    entries = listed(connection, funnel)
    return next((row.before_id for row in entries if row.revision_id == revision_id and row.undone_ms is None), None)


def unfinished(connection: Connection, funnel: str | None = None) -> list[int]:
    """The entries that have people to move still."""
    found = select(publication.c.id).where(publication.c.state.in_(OPEN)).order_by(publication.c.id)
    return list(connection.scalars(found if funnel is None else found.where(publication.c.funnel == funnel)))


def claim(connection: Connection, id_: int) -> Record | None:
    """The entry, if it is unfinished, for this transaction alone; None when somebody else is at it."""
    found = select(publication).where(publication.c.id == id_, publication.c.state.in_(OPEN))
    return connection.execute(found.with_for_update(skip_locked=True)).one_or_none()


def is_done(connection: Connection, id_: int) -> bool:
    return id_ not in unfinished(connection)


def advance(connection: Connection, entry: Record, cursor: tuple[int, int, int], seen: int, changed: int) -> None:
    """Everything up to the cursor has been looked at."""
    values = dict(zip(_BEGINNING, cursor, strict=True))
    more = {"seen": publication.c.seen + seen, "moved": publication.c.moved + changed}
    connection.execute(publication.update().where(publication.c.id == entry.id).values(**values, **more))


def enter(connection: Connection, id_: int, state: str) -> None:
    """Begins the next stretch of an entry's work, or ends it."""
    connection.execute(publication.update().where(publication.c.id == id_).values(state=state, **_BEGINNING))


def undone(connection: Connection, id_: int, now_ms: int) -> None:
    """Notes that an entry was taken back; its late lessons are late no more."""
    connection.execute(publication.update().where(publication.c.id == id_).values(undone_ms=now_ms))
    connection.execute(late.delete().where(late.c.publication_id == id_))


def to_look_at(connection: Connection, id_: int) -> int:
    """How many due rows, and moves to take back, a publication has to look at in all."""
    entry = connection.execute(select(publication).where(publication.c.id == id_)).one()
    own = select(lesson.c.id).where(lesson.c.funnel == entry.funnel)
    rows = connection.scalar(select(func.count()).select_from(due).where(due.c.lesson_id.in_(own))) or 0
    back = select(func.count()).select_from(moved).where(moved.c.publication_id == entry.restores_id)
    return int(rows + (connection.scalar(back) or 0) - entry.seen)


def on_their_way(connection: Connection, funnel: str) -> int:
    """How many lessons are planned or handed over, and not settled."""
    open_ = (batch.c.state == "planned") | (batch.c.state == "started") | (batch.c.state == "unknown")
    found = select(func.coalesce(func.sum(batch.c.size), 0)).where(open_, batch.c.funnel == funnel)
    return int(connection.scalars(found.where(batch.c.lesson_id.is_not(None))).one())


def keep_late(connection: Connection, publication_id: int, lessons: Mapping[int, str]) -> None:
    """Notes the lessons that came late with a publication: lesson number → how."""
    for lesson_id, how in sorted(lessons.items()):
        values = {"lesson_id": lesson_id, "publication_id": publication_id, "how": how}
        adding = dialect_insert(connection, late).values(values)
        changed = {"publication_id": adding.excluded.publication_id, "how": adding.excluded.how}
        connection.execute(adding.on_conflict_do_update(index_elements=["lesson_id"], set_=changed))


def late_lessons(connection: Connection, funnel: str) -> dict[str, str]:
    """Lesson key → how it came late to its place."""
    joined = late.join(lesson, lesson.c.id == late.c.lesson_id)
    rows = connection.execute(select(lesson.c.key, late.c.how).select_from(joined).where(lesson.c.funnel == funnel))
    return {row.key: row.how for row in rows}


MOVED = ("enrollment_id", "turn", "old_due_ms", "old_lesson_id", "new_due_ms", "new_lesson_id")


def record_moved(connection: Connection, publication_id: int, rows: Sequence[tuple[Any, ...]]) -> None:
    """Notes whom a publication has moved: rows in the order of MOVED."""
    if rows:
        columns = dict(zip(MOVED, zip(*rows, strict=True), strict=True))
        add_many(connection, moved, {"publication_id": [publication_id] * len(rows), **columns}, _ONCE)


_ONCE = "ON CONFLICT DO NOTHING"


def already_moved(connection: Connection, publication_id: int, enrollment_ids: Collection[int]) -> set[int]:
    """Those of the enrollments that a publication has moved."""
    theirs = among(connection, moved.c.enrollment_id, enrollment_ids)
    found = select(moved.c.enrollment_id).where(moved.c.publication_id == publication_id, theirs)
    return set(connection.scalars(found))


def moves_of(connection: Connection, enrollment_id: int, ids: Collection[int]) -> dict[int, Record]:
    """Publication → how it has moved an enrollment: old_due_ms, old_key, new_due_ms, new_key. For `ids` alone."""
    old, new = lesson.alias("old"), lesson.alias("new")
    joined = moved.outerjoin(old, old.c.id == moved.c.old_lesson_id).outerjoin(new, new.c.id == moved.c.new_lesson_id)
    found = select(moved, old.c.key.label("old_key"), new.c.key.label("new_key")).select_from(joined)
    theirs = among(connection, moved.c.publication_id, ids), moved.c.enrollment_id == enrollment_id
    return {row.publication_id: row for row in connection.execute(found.where(*theirs))}


def moved_after(connection: Connection, publication_id: int, enrollment_id: int, limit: int) -> Sequence[Record]:
    """Up to `limit` of those that a publication has moved, from this enrollment on."""
    found = select(moved).where(moved.c.publication_id == publication_id, moved.c.enrollment_id > enrollment_id)
    return connection.execute(found.order_by(moved.c.enrollment_id).limit(limit)).all()


def forgettable(connection: Connection, before_ms: int) -> int | None:
    """A publication of before then of which it is still known whom it moved: too old to be undone."""
    old = select(publication.c.id).where(publication.c.state == DONE, publication.c.at_ms < before_ms)
    return connection.scalar(old.order_by(publication.c.id).limit(1))


def forget(connection: Connection, id_: int, limit: int) -> None:
    """Deletes up to `limit` of whom a publication has moved."""
    if rows := moved_after(connection, id_, -1, limit):
        own = moved.c.publication_id == id_, moved.c.enrollment_id <= rows[-1].enrollment_id
        connection.execute(moved.delete().where(*own))
    else:
        enter(connection, id_, EXPIRED)
