"""Publishing content: a folder, or an old revision, becomes the current revision. People are moved afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from funnel import content
from funnel.core.changes import late, touches_people
from funnel.core.consent import wording_hash
from funnel.core.moving import Policy
from funnel.core.schedule import DAY_MS
from funnel.core.sequence import Funnel
from funnel.flow import editions
from funnel.flow.tools import Tools
from funnel.store import publications, revisions
from funnel.store.db import reading, writing
from funnel.store.publications import DONE, MOVING, RESTORING
from funnel.store.tables import Record

UNDO_MS = 14 * DAY_MS
_KEPT_OF_AUTHOR = 200


@dataclass(frozen=True)
class Note:
    """Who publishes, why, and what is to become of those half-way through."""

    author: str = ""
    message: str = ""
    policy: Policy = Policy.GENTLE


@dataclass(frozen=True)
class _Entry:
    """One publication of a revision, before it is written down. `restores` is the one that an undo takes back."""

    kind: str
    note: Note
    restores: Record | None = None


def publish(tools: Tools, root: Path, now_ms: int, note: Note | None = None) -> dict[str, str]:
    """Stores every funnel below `root` as a revision and makes it current; returns funnel → revision id.

    All of it happens or nothing does. Whoever reads the current revisions sees either all old or all new ones. Raises
    ContentError with every problem found.
    """
    wanted = {name: content.revision_id(content.read_folder(root, name)) for name in content.names(root)}
    with reading(tools.engine) as connection:
        before = revisions.current(connection)
    if wanted and all(before.get(name) == id_ for name, id_ in wanted.items()):
        return before
    found = content.read_all(root)
    with writing(tools.engine) as connection:
        publications.one_at_a_time(connection)
        _refuse_taken_slugs(connection, tools, found)
        for files, funnel in found.values():
            _install(connection, tools, funnel, files, _Entry("publish", note or Note()), now_ms)
        return revisions.current(connection)


def rollback(tools: Tools, name: str, revision_id: str | None, now_ms: int, note: Note | None = None) -> str | None:
    """Publishes an old revision again: the one before the current one, if none is named. Else a sentence: why not."""
    with writing(tools.engine) as connection:
        publications.one_at_a_time(connection)
        current = revisions.current(connection).get(name)
        wanted = revision_id or publications.replaced(connection, name, current)
        if current is None or wanted is None:
            return f"There is no earlier revision of {name!r} to go back to."
        if wanted == current:
            return f"{wanted[:12]} is the current revision of {name!r} already."
        return _again(connection, tools, wanted, _Entry("rollback", note or Note()), now_ms)


def undo(tools: Tools, name: str, now_ms: int, note: Note | None = None) -> str | None:
    """Takes the last publication back, for everybody who has not been mailed since. Else a sentence: why not."""
    with writing(tools.engine) as connection:
        publications.one_at_a_time(connection)
        entries = publications.listed(connection, name)
        last = next((row for row in entries if row.kind != "undo" and row.undone_ms is None), None)
        if last is None or last.before_id is None:
            return f"There is no publication of {name!r} to undo."
        if last.at_ms < now_ms - UNDO_MS:
            return "The last publication is older than 14 days; `funnel rollback` publishes an old revision again."
        publications.undone(connection, last.id, now_ms)
        return _again(connection, tools, last.before_id, _Entry("undo", note or Note(), last), now_ms)


def _again(connection: Connection, tools: Tools, revision_id: str, entry: _Entry, now_ms: int) -> str | None:
    stored = revisions.files(connection, revision_id)
    if stored is None:
        return f"There is no revision {revision_id[:12]}."
    name, files = stored
    funnel = content.parse(name, files)
    _refuse_taken_slugs(connection, tools, {name: (files, funnel)})
    _install(connection, tools, funnel, files, entry, now_ms)
    return None


def _refuse_taken_slugs(connection: Connection, tools: Tools, found: Mapping[str, tuple[object, Funnel]]) -> None:
    """A renamed folder is another funnel, while people are still in the old one: its slug is not free."""
    current = revisions.current(connection)
    others = {tools.funnel(connection, id_).slug: name for name, id_ in current.items() if name not in found}
    problems = [
        content.Problem(
            f"sequences/{name}/funnel.toml", "slug", f"belongs to the published funnel {others[funnel.slug]!r}"
        )
        for name, (_, funnel) in found.items()
        if funnel.slug in others
    ]
    if problems:
        raise content.ContentError(problems)


def _install(
    connection: Connection, tools: Tools, funnel: Funnel, files: content.Files, entry: _Entry, now_ms: int
) -> None:
    """Makes a revision current, unless it is. Whoever waits is moved afterwards, see funnel/flow/rebooking.py."""
    revision_id, name = content.revision_id(files), funnel.name
    before_id = revisions.current(connection).get(name)
    if before_id == revision_id:
        return
    revisions.add(connection, revision_id, name, files, now_ms)
    revisions.make_current(connection, name, revision_id, now_ms)
    keys = [lesson.key for pattern in funnel.patterns.values() for lesson in pattern.lessons]
    revisions.intern_lessons(connection, name, keys)
    spoken = [text for each in (funnel, *funnel.translations.values()) for text in each.wordings.values()]
    revisions.keep_wordings(connection, {wording_hash(text): text for text in spoken})
    before = editions.readable(connection, tools, before_id)
    values = {"funnel": name, "revision_id": revision_id, "before_id": before_id, **_written(entry), "at_ms": now_ms}
    state = _state(before, funnel, entry) if before_id else DONE
    id_ = publications.add(connection, {**values, "state": state})
    if before is not None:
        ids = revisions.lesson_ids(connection, name)
        came = late(before, funnel, entry.note.policy)
        publications.keep_late(connection, id_, {ids[key]: how for key, how in came.items()})


def _written(entry: _Entry) -> dict[str, object]:
    note = entry.note
    said = {"policy": note.policy, "author": note.author[:_KEPT_OF_AUTHOR], "message": note.message}
    return {"kind": entry.kind, "restores_id": entry.restores.id if entry.restores else None, **said}


def _state(before: Funnel | None, after: Funnel, entry: _Entry) -> str:
    if entry.restores is not None:
        return RESTORING
    return MOVING if before is None or touches_people(before, after, entry.note.policy) else DONE
