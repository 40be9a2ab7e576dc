"""Onward: the next due row of every reader whose lesson was accepted."""

from collections.abc import Mapping
from operator import itemgetter

from sqlalchemy import Connection

from funnel.core.schedule import due_ms, is_zone
from funnel.core.sequence import Funnel, Lesson
from funnel.flow.course import go_on
from funnel.flow.tools import Tools
from funnel.store import enrollments, revisions
from funnel.store.tables import Record


def follow_up(connection: Connection, tools: Tools, name: str, rows: list[Record], now_ms: int) -> None:
    """The next due row of each reader, without reading anybody anew; whoever is not so simple is looked at singly."""
    _, funnel = tools.current(connection)[name]
    ids = revisions.lesson_ids(connection, name)
    onward = _onward(funnel, ids)
    moments: dict[tuple[str, str, str], int] = {}
    simple, last = [], []
    for row in rows:
        lesson = onward.get((row.pattern, row.lesson_id))
        if lesson is None:
            last.append(row)
            continue
        moment = (lesson.key, row.zone, row.pace)
        if moment not in moments:
            zone = row.zone if is_zone(row.zone) else funnel.timezone
            moments[moment] = due_ms(now_ms, lesson.timing, zone, row.pace, tools.day_ms)
        simple.append((row, (row.enrollment_id, moments[moment], ids[lesson.key], row.turn)))
    other = last if _finish(connection, funnel, ids, last, now_ms) < len(last) else []
    # In the order of the due table's key: it is written page after page.
    if enrollments.add_next(connection, sorted((due for _, due in simple), key=itemgetter(1, 0))) < len(simple):
        lessons = {lesson_id for _, (_, _, lesson_id, _) in simple}
        entered = enrollments.entered(connection, lessons, [row.subscriber_id for row, _ in simple])
        other += [row for row, due in simple if (row.subscriber_id, due[2]) in entered]
    go_on(connection, tools, name, other, now_ms)


def _finish(connection: Connection, funnel: Funnel, ids: Mapping[str, int], rows: list[Record], now_ms: int) -> int:
    """Finishes the courses of which every lesson is in the ledger. Returns how many."""
    finished = 0
    for pattern in funnel.patterns.values():
        ends = [(row.enrollment_id, row.turn) for row in rows if row.pattern == pattern.key]
        finished += enrollments.finish(connection, ends, [ids[lesson.key] for lesson in pattern.lessons], now_ms)
    return finished


def _onward(funnel: Funnel, ids: Mapping[str, int]) -> dict[tuple[str, int], Lesson]:
    """(pattern, lesson number) → the lesson that follows it in the sequence."""
    return {
        (pattern.key, ids[before.key]): following
        for pattern in funnel.patterns.values()
        for before, following in zip(pattern.lessons, pattern.lessons[1:], strict=False)
    }
