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
    found = content.read_all(root)
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
