"""How far the reading of a provider's suppression lists has come, by list.

A pass reads what came between two moments: up to `since_ms`, when it began, and from `finished_ms` on, up to which an
earlier pass has read everything. `offset` is where it goes on; `found` counts what it has read.
"""

from sqlalchemy import Connection, or_, select

from funnel.store.tables import Record, poll
from funnel.store.upsert import dialect_insert


def by_list(connection: Connection, name: str) -> Record | None:
    return connection.execute(select(poll).where(poll.c.list == name)).one_or_none()


def is_running(row: Record) -> bool:
    """Whether a pass has begun and not read everything."""
    return bool(row.finished_ms is None or row.finished_ms < row.since_ms)


def begin(connection: Connection, name: str, now_ms: int) -> Record:
    """The pass that has not come to its end, or a new one up to now."""
    fresh = {"list": name, "since_ms": now_ms, "offset": 0, "found": 0, "finished_ms": None}
    connection.execute(dialect_insert(connection, poll).values(fresh).on_conflict_do_nothing())
    row = by_list(connection, name)
    assert row is not None
    if is_running(row):
        return row
    again = poll.update().where(poll.c.list == name, poll.c.since_ms == row.since_ms)
    connection.execute(again.values(since_ms=now_ms, offset=0, found=0))
    return by_list(connection, name) or row


def advance(connection: Connection, row: Record, size: int) -> bool:
    """Records that `size` more have been read; none is the end. False when somebody else has been quicker."""
    here = poll.update().where(
        poll.c.list == row.list,
        poll.c.since_ms == row.since_ms,
        poll.c.offset == row.offset,
        or_(poll.c.finished_ms.is_(None), poll.c.finished_ms < row.since_ms),
    )
    values = {"offset": row.offset + size, "found": row.found + size} if size else {"finished_ms": row.since_ms}
    return bool(connection.execute(here.values(values)).rowcount)
