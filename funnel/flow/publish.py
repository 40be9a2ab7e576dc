"""Publishing content: a folder becomes the current revision."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection

from funnel import content
from funnel.core.consent import wording_hash
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.store import revisions
from funnel.store.db import reading, writing


def publish(tools: Tools, root: Path, now_ms: int) -> dict[str, str]:
    """Stores every funnel below `root` as a revision and makes it current; returns funnel → revision id.

    All of it happens or nothing does. Raises ContentError with every problem found.
    """
    wanted = {name: content.revision_id(content.read_folder(root, name)) for name in content.names(root)}
    with reading(tools.engine) as connection:
        before = revisions.current(connection)
    if wanted and all(before.get(name) == id_ for name, id_ in wanted.items()):
        return before
    found = content.read_all(root)
    with writing(tools.engine) as connection:
        _refuse_taken_slugs(connection, tools, found)
        for files, funnel in found.values():
            _store(connection, content.revision_id(files), files, funnel, now_ms)
        return revisions.current(connection)


def _refuse_taken_slugs(connection: Connection, tools: Tools, found: Mapping[str, tuple[object, Funnel]]) -> None:
    """A renamed folder is another funnel, while people are still in the old one: its slug is not free."""
    others = {funnel.slug: name for name, (_, funnel) in tools.current(connection).items() if name not in found}
    problems = [
        content.Problem(
            f"sequences/{name}/funnel.toml", "slug", f"belongs to the published funnel {others[funnel.slug]!r}"
        )
        for name, (_, funnel) in found.items()
        if funnel.slug in others
    ]
    if problems:
        raise content.ContentError(problems)


def _store(connection: Connection, revision_id: str, files: content.Files, funnel: Funnel, now_ms: int) -> None:
    revisions.add(connection, revision_id, funnel.name, files, now_ms)
    revisions.make_current(connection, funnel.name, revision_id, now_ms)
    keys = [lesson.key for pattern in funnel.patterns.values() for lesson in pattern.lessons]
    revisions.intern_lessons(connection, funnel.name, keys)
    spoken = [text for each in (funnel, *funnel.translations.values()) for text in each.wordings.values()]
    revisions.keep_wordings(connection, {wording_hash(text): text for text in spoken})
