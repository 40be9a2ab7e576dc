"""Publishing content: a folder becomes the current revision."""

from pathlib import Path

from funnel import content
from funnel.core.consent import wording_hash
from funnel.flow.tools import Tools
from funnel.store import revisions
from funnel.store.db import writing


def publish(tools: Tools, root: Path, now_ms: int) -> dict[str, str]:
    """Stores every funnel below `root` as a revision and makes it current; returns funnel → revision id.

    All of it happens or nothing does. Raises ContentError with every problem found.
    """
    found, problems = {}, []
    for name in content.names(root):
        try:
            files = content.read_folder(root, name)
            found[name] = (files, content.parse(name, files))
        except content.ContentError as error:
            problems += error.problems
    slugs = [funnel.slug for _, funnel in found.values()]
    problems += [
        content.Problem(f"sequences/{name}/funnel.toml", "slug", f"{funnel.slug!r} is taken by another funnel")
        for name, (_, funnel) in found.items()
        if slugs.count(funnel.slug) > 1
    ]
    if not found and not problems:
        problems.append(content.Problem("sequences/", "", "holds no funnel: a folder with a funnel.toml"))
    if problems:
        raise content.ContentError(problems)
    with writing(tools.engine) as connection:
        before = revisions.current(connection)
        for name, (files, funnel) in found.items():
            revision_id = content.revision_id(files)
            if before.get(name) == revision_id:
                continue
            revisions.add(connection, revision_id, name, files, now_ms)
            revisions.make_current(connection, name, revision_id, now_ms)
            keys = [lesson.key for pattern in funnel.patterns.values() for lesson in pattern.lessons]
            revisions.intern_lessons(connection, name, keys)
            texts = {wording_hash(text): text for text in funnel.wordings.values()}
            revisions.keep_wordings(connection, texts)
        return revisions.current(connection)
