"""Which version of the keyring is in use, and under which one each subscriber's key is wrapped."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select

from funnel.store.db import exclude_seals, share_seals
from funnel.store.tables import Record, key_version, subscriber, subscriber_key


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
    """Version → how many subscribers' keys are wrapped under it."""
    counted = select(subscriber_key.c.version, func.count().label("people")).group_by(subscriber_key.c.version)
    return {row.version: row.people for row in connection.execute(counted)}


def not_under(connection: Connection, version: int, after: int, limit: int) -> Sequence[Record]:
    """The next keys that are not wrapped under a version: rows of subscriber_id, version, wrapped, address_hash."""
    joined = subscriber_key.join(subscriber, subscriber.c.id == subscriber_key.c.subscriber_id)
    found = select(subscriber_key, subscriber.c.address_hash).select_from(joined)
    found = found.where(subscriber_key.c.subscriber_id > after, subscriber_key.c.version != version)
    return connection.execute(found.order_by(subscriber_key.c.subscriber_id).limit(limit)).all()


def rewrap(connection: Connection, rows: Sequence[tuple[int, bytes, int, bytes]]) -> None:
    """Replaces keys, given as (subscriber_id, what it was wrapped to, the new version, what it is wrapped to now).

    Who has been erased meanwhile stays erased; what somebody else has replaced meanwhile stays as it is.
    """
    same = subscriber_key.c.subscriber_id == bindparam("whose"), subscriber_key.c.wrapped == bindparam("until_now")
    names = ("whose", "until_now", "to", "anew")
    if rows:
        given = [dict(zip(names, row, strict=True)) for row in rows]
        connection.execute(
            subscriber_key.update().where(*same).values(version=bindparam("to"), wrapped=bindparam("anew")), given
        )
