"""Revisions of content, which one is current, and the interned lesson keys."""

import base64
import json
import zlib
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, select

from funnel.store.tables import current_revision, lesson, revision, wording
from funnel.store.upsert import dialect_insert, insert_missing


def add(connection: Connection, revision_id: str, funnel: str, files: Mapping[str, bytes], now_ms: int) -> None:
    """Stores a snapshot; the same content again changes nothing."""
    packed = {path: base64.b64encode(content).decode() for path, content in files.items()}
    content = zlib.compress(json.dumps(packed, sort_keys=True).encode(), 9)
    row = {"id": revision_id, "funnel": funnel, "content": content, "created_ms": now_ms}
    insert_missing(connection, revision, [row])


def files(connection: Connection, revision_id: str) -> tuple[str, dict[str, bytes]] | None:
    """(funnel, path → bytes) of a snapshot, byte for byte as it was stored."""
    row = connection.execute(
        select(revision.c.funnel, revision.c.content).where(revision.c.id == revision_id)
    ).one_or_none()
    if not row:
        return None
    packed = json.loads(zlib.decompress(row.content))
    return row.funnel, {path: base64.b64decode(content) for path, content in packed.items()}


def named(connection: Connection, start: str, funnel: str | None = None) -> dict[str, str]:
    """Revision id → funnel, for up to ten whose ids begin with `start`."""
    found = select(revision.c.id, revision.c.funnel).where(revision.c.id.startswith(start, autoescape=True))
    found = found if funnel is None else found.where(revision.c.funnel == funnel)
    return {row.id: row.funnel for row in connection.execute(found.order_by(revision.c.id).limit(10))}


def make_current(connection: Connection, funnel: str, revision_id: str, now_ms: int) -> None:
    values = {"revision_id": revision_id, "since_ms": now_ms}
    adding = dialect_insert(connection, current_revision).values(funnel=funnel, **values)
    connection.execute(adding.on_conflict_do_update(index_elements=["funnel"], set_=values))


def current(connection: Connection) -> dict[str, str]:
    """funnel → id of its current revision."""
    rows = connection.execute(select(current_revision.c.funnel, current_revision.c.revision_id))
    return {row.funnel: row.revision_id for row in rows}


def intern_lessons(connection: Connection, funnel: str, keys: Iterable[str]) -> None:
    insert_missing(connection, lesson, [{"funnel": funnel, "key": key} for key in keys])


def lesson_ids(connection: Connection, funnel: str) -> dict[str, int]:
    """lesson key → number, for one funnel."""
    rows = connection.execute(select(lesson.c.key, lesson.c.id).where(lesson.c.funnel == funnel))
    return {row.key: row.id for row in rows}


def lessons(connection: Connection) -> dict[int, tuple[str, str]]:
    """lesson number → (funnel, key)."""
    rows = connection.execute(select(lesson.c.id, lesson.c.funnel, lesson.c.key))
    return {row.id: (row.funnel, row.key) for row in rows}


def lessons_of(connection: Connection, funnels: Collection[str]) -> list[int]:
    """The numbers of every lesson of these funnels."""
    if not funnels:
        return []
    return list(connection.scalars(select(lesson.c.id).where(lesson.c.funnel.in_(funnels))))


def lesson_key(connection: Connection, lesson_id: int) -> str:
    return str(connection.scalars(select(lesson.c.key).where(lesson.c.id == lesson_id)).one())


def keep_wordings(connection: Connection, texts: Mapping[str, str]) -> None:
    """Keeps exact wordings, hash → text."""
    insert_missing(connection, wording, [{"hash": hash_, "text": text} for hash_, text in texts.items()])


def beginning_with(connection: Connection, named: str) -> list[str]:
    """The ids of at most two revisions that begin like this."""
    found = select(revision.c.id).where(revision.c.id >= named, revision.c.id < f"{named}g").limit(2)
    return list(connection.scalars(found)) if named.isalnum() else []
