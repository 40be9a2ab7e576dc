"""A funnel as it is published: its content, and what is remembered of how it came to be so."""

from collections.abc import Mapping

from sqlalchemy import Connection

from funnel import content
from funnel.core.moving import Course, Late
from funnel.core.sequence import Funnel
from funnel.flow.tools import Tools
from funnel.store import publications


def course(connection: Connection, tools: Tools, funnel: Funnel) -> Course:
    """The funnel, with the lessons that came late to their places."""
    late = {key: Late(how) for key, how in publications.late_lessons(connection, funnel.name).items()}
    return Course(funnel, late, tools.day_ms)


def readable(connection: Connection, tools: Tools, revision_id: str | None) -> Funnel | None:
    """The funnel of a revision; None when there is none, or when it was written for an older version of the service."""
    try:
        return tools.funnel(connection, revision_id) if revision_id else None
    except content.ContentError:
        return None


def doubtful(found: Course, lesson_ids: Mapping[str, int]) -> frozenset[tuple[str, int]]:
    """(pattern, lesson number) of the lessons after which somebody may have something before them still to come.

    Only behind a lesson that has been moved, or is caught up: of everything else a sequence itself tells what follows.
    """
    places = set()
    for pattern in found.funnel.patterns.values():
        keys = [lesson.key for lesson in pattern.lessons]
        late = [place for place, key in enumerate(keys) if found.late.get(key) in (Late.MOVED, Late.CAUGHT_UP)]
        places |= {(pattern.key, lesson_ids[key]) for key in keys[min(late, default=len(keys)) :]}
    return frozenset(places)
