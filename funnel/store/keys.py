"""Which version of the keyring is in use, and under which one each key is wrapped."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, LargeBinary, bindparam, func, literal, select

from funnel.store.db import exclude_seals, share_seals
from funnel.store.tables import Record, erasure, key_version, subscriber, subscriber_key

ERASURE = b"erasure"  # what the key of an erasure is bound to


class Wrapped(NamedTuple):
    """A kind of key: its id, the context that it is bound to, and what joins the two."""

    id: Column[Any]
    context: ColumnElement[bytes]
    own: tuple[ColumnElement[bool], ...] = ()


PEOPLE = Wrapped(
    subscriber_key.c.subscriber_id, subscriber.c.address_hash, (subscriber.c.id == subscriber_key.c.subscriber_id,)
)
ERASURES = Wrapped(erasure.c.id, literal(ERASURE, LargeBinary()))
WRAPPED = (PEOPLE, ERASURES)


def in_use(connection: Connection) -> int | None:
    """The version that new people are sealed under; None before the first."""
    return connection.execute(select(func.max(key_version.c.version))).scalar()


def used(connection: Connection) -> dict[int, int]:
    """Version → since when it has sealed people; the oldest first."""
    rows = connection.execute(select(key_version).order_by(key_version.c.version))
    return {row.version: row.since_ms for row in rows}


def hold(connection: Connection, first: int, now_ms: int) -> int:
    """The version in use, which stays so until the transaction ends; `first`, if there has been none."""
    if in_use(connection) is None:
        use(connection, first, now_ms, replacing=None)
    share_seals(connection)
    return _held(connection)


def use(connection: Connection, version: int, now_ms: int, replacing: int | None) -> int:
    """Makes a version the one in use, unless another has replaced that one already. Returns the one in use."""
    exclude_seals(connection)
    if in_use(connection) == replacing:
        connection.execute(key_version.insert().values(version=version, since_ms=now_ms))
    return _held(connection)


def _held(connection: Connection) -> int:
    found = in_use(connection)
    assert found is not None
    return found


def wrapped(connection: Connection) -> dict[int, int]:
    """Version → how many keys are wrapped under it."""
    found: Counter[int] = Counter()
    for kind in WRAPPED:
        version = kind.id.table.c.version
        counted = select(version, func.count().label("keys")).group_by(version)
        found.update({row.version: row.keys for row in connection.execute(counted)})
    return dict(found)


def not_under(connection: Connection, kind: Wrapped, version: int, after: int, limit: int) -> Sequence[Record]:
    """The next keys of a kind that are not wrapped under a version: rows of id, version, wrapped, context."""
    table = kind.id.table
    found = select(kind.id.label("id"), table.c.version, table.c.wrapped, kind.context.label("context"))
    found = found.where(*kind.own, kind.id > after, table.c.version != version)
    return connection.execute(found.order_by(kind.id).limit(limit)).all()


def rewrap(connection: Connection, kind: Wrapped, rows: Sequence[tuple[int, bytes, int, bytes]]) -> None:
    """Replaces keys, given as (id, what it was wrapped to, the new version, what it is wrapped to now).

    What has been erased meanwhile stays erased; what somebody else has replaced meanwhile stays as it is.
    """
    table: Any = kind.id.table
    same = kind.id == bindparam("whose"), table.c.wrapped == bindparam("until_now")
    names = ("whose", "until_now", "to", "anew")
    if rows:
        given = [dict(zip(names, row, strict=True)) for row in rows]
        changed = table.update().where(*same).values(version=bindparam("to"), wrapped=bindparam("anew"))
        connection.execute(changed, given)
