"""Resuming after a long pause: courses shift, and nobody gets what piled up at once or at night."""

from collections.abc import Sequence

from sqlalchemy import Connection

from funnel.core.progress import put_off
from funnel.core.schedule import GRACE_MS
from funnel.flow import holding
from funnel.flow.placing import Facts
from funnel.flow.tools import Tools
from funnel.store import positions, revisions
from funnel.store.db import reading, writing
from funnel.store.holds import EVERYTHING
from funnel.store.tables import Record

ROWS_AT_ONCE = 5_000


def resume(tools: Tools, scope: str, now_ms: int) -> bool:
    """Ends a hold, whoever asked for it. False when there was none.

    Before it ends, what waits too long already is put off to its readers' own hours, some at a time; whoever breaks
    off here can resume again.
    """
    with reading(tools.engine) as connection:
        names = _funnels(connection, scope)
    for name in names:
        put_off_late(tools, name, now_ms)
    return holding.resume(tools.engine, scope, now_ms)


def wake(tools: Tools, now_ms: int) -> int:
    """To be called when nobody has worked for a while: what is late by now is put off likewise. Returns how many."""
    with reading(tools.engine) as connection:
        names = sorted(revisions.current(connection))
    return sum(put_off_late(tools, name, now_ms) for name in names)


def put_off_late(tools: Tools, name: str, now_ms: int, at_once: int = ROWS_AT_ONCE) -> int:
    """Puts off what is late in a funnel to the next moment that its readers' clocks allow. Returns how many.

    A reader has one due row in a funnel, so nobody gets two lessons of it. Reads everything that is late: for a resume,
    and for a worker that begins, not for every tick.
    """
    if not tools.real_time:
        return 0
    moved, after = 0, (-1, 0, 0)
    with reading(tools.engine) as connection:
        lesson_ids = revisions.lessons_of(connection, [name])
    while True:
        with writing(tools.engine) as connection:
            rows = positions.late(connection, lesson_ids, now_ms - GRACE_MS, after, at_once)
            moved += _put_off(connection, tools, name, rows, now_ms)
        if len(rows) < at_once:
            return moved
        after = (rows[-1].due_ms, rows[-1].enrollment_id, rows[-1].turn)


def _put_off(connection: Connection, tools: Tools, name: str, rows: Sequence[Record], now_ms: int) -> int:
    _, funnel = tools.current(connection)[name]
    keys = {id_: key for key, id_ in revisions.lesson_ids(connection, name).items()}
    facts = Facts(connection, tools, funnel, {row.subscriber_id for row in rows}, now_ms)
    moved = []
    for row in rows:
        found = funnel.lesson(keys[row.lesson_id])
        if found is None:
            continue  # planning finds out, and goes on to what comes next
        reader = facts.reader(row, row.zone, row.enrollment_id, {})
        due_ms = put_off(funnel, reader, found[1], row.due_ms, now_ms)
        if due_ms != row.due_ms:
            moved.append((row, due_ms))
            facts.crowd.book(row.subscriber_id, row.enrollment_id, due_ms)
    positions.put_off(connection, moved)
    facts.crowd.keep()
    return len(moved)


def _funnels(connection: Connection, scope: str) -> list[str]:
    """The funnels of which a hold of this scope stops everything."""
    known = sorted(revisions.current(connection))
    kind, _, name = scope.partition(":")
    if kind == "funnel":
        return [name] if name in known else []
    return known if scope == EVERYTHING or kind == "provider" else []
