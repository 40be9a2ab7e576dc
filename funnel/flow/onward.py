"""Onward: the next due row of every reader whose lesson was accepted."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

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
    doubtful = editions.doubtful(editions.course(connection, tools, funnel), ids)
    groups, other = _apart(rows, Crowd(connection, _people(rows) if shares_days(tools, published) else ()))
    last: list[Sent] = []
    coming: dict[Alike, tuple[int, int]] = {}
    for alike, group in groups.items():
        reader = Reader(alike.pattern, alike.secondary, alike.pace, alike.zone, mailed=(now_ms,))
        place = alike.pattern, alike.lesson_id
        if place in doubtful:
            other += group
        elif place in ends:
            last += group
        elif step := step_after(funnel, reader, keys[alike.lesson_id], now_ms, tools.day_ms):
            coming[alike] = step.due_ms, ids[step.lesson.key]
        else:
            other += group
    if enrollments.finish(connection, [(row.enrollment_id, row.turn) for row in last], now_ms) < len(last):
        other += last
    simple = [
        (due_ms, row.enrollment_id, lesson_id, row.turn)
        for alike, (due_ms, lesson_id) in coming.items()
        for row in groups[alike]
    ]
    # In the order of the due table's key: it is written page after page.
    if enrollments.add_next(connection, sorted(simple)) < len(simple):
        waiting = {alike: lesson_id for alike, (_, lesson_id) in coming.items()}
        had = enrollments.entered(
            connection, waiting.values(), _people(row for alike in waiting for row in groups[alike])
        )
        other += [row for alike, next_ in waiting.items() for row in groups[alike] if (row.subscriber_id, next_) in had]
    go_on(connection, tools, name, other, now_ms)


def _apart(rows: Iterable[Sent], crowd: Crowd) -> tuple[dict[Alike, list[Sent]], list[Sent]]:
    """Those who have the same next step, together; and whoever is in a crowd."""
    groups: dict[Alike, list[Sent]] = defaultdict(list)
    crowded: list[Sent] = []
    for row in rows:
        (crowded if row.subscriber_id in crowd else groups[row.alike]).append(row)
    return groups, crowded


def _people(rows: Iterable[Sent]) -> set[int]:
    return {row.subscriber_id for row in rows}
