"""Onward: the next due row of every reader whose lesson was accepted."""

from collections.abc import Sequence
from operator import itemgetter

from sqlalchemy import Connection

from funnel.core.progress import Reader, step_after
from funnel.flow import editions
from funnel.flow.course import go_on
from funnel.flow.crowd import Crowd, shares_days
from funnel.flow.sent import Alike, Sent
from funnel.flow.tools import Tools
from funnel.store import enrollments, revisions


def follow_up(connection: Connection, tools: Tools, name: str, rows: Sequence[Sent], now_ms: int) -> None:
    """The next due row of each reader, without reading anybody anew; whoever is not so simple is looked at closely."""
    published = tools.current(connection)
    _, funnel = published[name]
    ids = revisions.lesson_ids(connection, name)
    keys = {id_: key for key, id_ in ids.items()}
    ends = {(pattern.key, ids[pattern.lessons[-1].key]) for pattern in funnel.patterns.values()}
    crowd = Crowd(connection, {row.subscriber_id for row in rows} if shares_days(tools, published) else ())
    doubtful = editions.doubtful(editions.course(connection, tools, funnel), ids)
    steps: dict[Alike, tuple[int, int] | None] = {}
    simple: list[tuple[Sent, tuple[int, int, int, int]]] = []
    last: list[Sent] = []
    other: list[Sent] = []
    for row in rows:
        alike = row.alike
        place = alike.pattern, alike.lesson_id
        if alike not in steps:
            reader = Reader(alike.pattern, alike.secondary, alike.pace, alike.zone, mailed=(now_ms,))
            step = step_after(funnel, reader, keys[alike.lesson_id], now_ms, tools.day_ms)
            steps[alike] = (step.due_ms, ids[step.lesson.key]) if step else None
        found = steps[alike]
        if row.subscriber_id in crowd or place in doubtful:
            other.append(row)
        elif place in ends:
            last.append(row)
        elif found is None:
            other.append(row)
        else:
            simple.append((row, (row.enrollment_id, *found, row.turn)))
    if enrollments.finish(connection, [(row.enrollment_id, row.turn) for row in last], now_ms) < len(last):
        other += last
    # In the order of the due table's key: it is written page after page.
    if enrollments.add_next(connection, sorted((due for _, due in simple), key=itemgetter(1, 0))) < len(simple):
        lessons = {lesson_id for _, (_, _, lesson_id, _) in simple}
        entered = enrollments.entered(connection, lessons, [row.subscriber_id for row, _ in simple])
        other += [row for row, due in simple if (row.subscriber_id, due[2]) in entered]
    go_on(connection, tools, name, other, now_ms)
