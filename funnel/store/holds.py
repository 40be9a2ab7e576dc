"""Holds: why something is not sent at the moment. One table for every stop, whoever asked for it."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from funnel.store.tables import Record, hold
from funnel.store.upsert import dialect_insert

EVERYTHING = "all"
LONGEST_REASON = 200


def funnel_scope(name: str) -> str:
    return f"funnel:{name}"


def provider_scope(name: str) -> str:
    return f"provider:{name}"


def listed(connection: Connection) -> Sequence[Record]:
    """Every hold, by scope."""
    return connection.execute(select(hold).order_by(hold.c.scope)).all()


def by_scope(connection: Connection, scope: str, *, lock: bool = False) -> Record | None:
    found = select(hold).where(hold.c.scope == scope)
    return connection.execute(found.with_for_update() if lock else found).one_or_none()


def put(connection: Connection, scope: str, reason: str, now_ms: int) -> None:
    """Holds until a person resumes; takes the place of any other hold of this scope."""
    row = {"scope": scope, "reason": reason[:LONGEST_REASON], "since_ms": now_ms, "until_ms": None, "strikes": 0}
    adding = dialect_insert(connection, hold).values(row)
    connection.execute(adding.on_conflict_do_update(index_elements=["scope"], set_=row))


def put_missing(connection: Connection, scope: str, reason: str, now_ms: int) -> bool:
    """Holds until a person resumes. False when it was held already: that hold stays as it is."""
    row = {"scope": scope, "reason": reason[:LONGEST_REASON], "since_ms": now_ms, "until_ms": None, "strikes": 0}
    adding = dialect_insert(connection, hold).values(row).on_conflict_do_nothing()
    return connection.scalar(adding.returning(hold.c.scope)) is not None


def put_until(connection: Connection, scope: str, reason: str, now_ms: int, until_ms: int, strikes: int) -> None:
    """Holds for a while; what a person holds stays as it is, and a hold that goes on keeps its beginning."""
    row = {"scope": scope, "reason": reason, "since_ms": now_ms, "until_ms": until_ms, "strikes": strikes}
    later = {name: row[name] for name in ("reason", "until_ms", "strikes")}
    adding = dialect_insert(connection, hold).values(row)
    unless = hold.c.until_ms.is_not(None)
    connection.execute(adding.on_conflict_do_update(index_elements=["scope"], set_=later, where=unless))


def claim(connection: Connection, scope: str, now_ms: int, until_ms: int) -> bool:
    """Moves a hold that has passed on to `until_ms`. True for exactly one of those who try."""
    passed = (hold.c.scope == scope) & (hold.c.until_ms <= now_ms)
    return bool(connection.execute(hold.update().where(passed).values(until_ms=until_ms)).rowcount)


def lift(connection: Connection, scope: str, before_ms: int | None) -> bool:
    """Ends a hold that had its time set: by `before_ms`, or whatever the time for None. A person's stays."""
    theirs = (hold.c.scope == scope) & hold.c.until_ms.is_not(None)
    if before_ms is not None:
        theirs &= hold.c.until_ms <= before_ms
    return bool(connection.execute(hold.delete().where(theirs)).rowcount)


def remove(connection: Connection, scope: str) -> bool:
    """Ends a hold, whoever asked for it. False when there was none."""
    return bool(connection.execute(hold.delete().where(hold.c.scope == scope)).rowcount)
