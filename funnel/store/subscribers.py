"""Subscribers, their wrapped keys, and suppressions. Nothing here can read an address: it arrives and leaves sealed."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from funnel.core.consent import Standing
from funnel.store.tables import Record, subscriber, subscriber_key, suppression
from funnel.store.upsert import dialect_insert


def by_hash(connection: Connection, hashes: Collection[bytes]) -> Record | None:
    """The subscriber with any of these address hashes."""
    return connection.execute(select(subscriber).where(subscriber.c.address_hash.in_(hashes))).one_or_none()


def by_id(connection: Connection, subscriber_id: int, *, lock: bool = False) -> Record | None:
    """The subscriber; with `lock`, nobody else changes this person's affairs until the transaction ends."""
    found = select(subscriber).where(subscriber.c.id == subscriber_id)
    return connection.execute(found.with_for_update() if lock else found).one_or_none()


def add(
    connection: Connection,
    address_hash: bytes,
    sealed: bytes,
    key: tuple[int, bytes],
    zone: str,
    locale: str,
    now_ms: int,
) -> None:
    """A new, pending subscriber; `key` is (keyring version, wrapped key). One that is there already stays as it is."""
    row = {
        "address_hash": address_hash,
        "sealed": sealed,
        "state": Standing.PENDING,
        "zone": zone,
        "locale": locale,
        "created_ms": now_ms,
        "changed_ms": now_ms,
    }
    adding = dialect_insert(connection, subscriber).values(row).on_conflict_do_nothing()
    added = connection.scalar(adding.returning(subscriber.c.id))
    if added is None:
        return
    connection.execute(subscriber_key.insert().values(subscriber_id=added, version=key[0], wrapped=key[1]))


def renew(connection: Connection, subscriber_id: int, sealed: bytes, key: tuple[int, bytes], now_ms: int) -> None:
    """Begins anew with somebody whose key was erased: nothing of before can be read."""
    values = {"sealed": sealed, "state": Standing.PENDING, "changed_ms": now_ms}
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(values))
    connection.execute(subscriber_key.insert().values(subscriber_id=subscriber_id, version=key[0], wrapped=key[1]))


def activate(connection: Connection, subscriber_id: int, sealed: bytes, zone: str, locale: str, now_ms: int) -> None:
    values = {"state": Standing.ACTIVE, "sealed": sealed, "zone": zone, "locale": locale, "changed_ms": now_ms}
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(values))


def set_state(connection: Connection, subscriber_id: int, state: Standing, now_ms: int) -> None:
    changed = subscriber.update().where(subscriber.c.id == subscriber_id)
    connection.execute(changed.values(state=state, changed_ms=now_ms))


def key_of(connection: Connection, subscriber_id: int) -> tuple[int, bytes] | None:
    """(keyring version, wrapped key), or None once erased."""
    row = connection.execute(
        select(subscriber_key.c.version, subscriber_key.c.wrapped).where(
            subscriber_key.c.subscriber_id == subscriber_id
        )
    ).one_or_none()
    return (row.version, row.wrapped) if row else None


def sealed_by_id(connection: Connection, ids: Collection[int]) -> list[Record]:
    """Rows (id, address_hash, sealed, state, version, wrapped) of the subscribers with these ids."""
    joined = subscriber.join(subscriber_key, subscriber_key.c.subscriber_id == subscriber.c.id)
    columns = (
        subscriber.c.id,
        subscriber.c.address_hash,
        subscriber.c.sealed,
        subscriber.c.state,
        subscriber_key.c.version,
        subscriber_key.c.wrapped,
    )
    return list(connection.execute(select(*columns).select_from(joined).where(subscriber.c.id.in_(ids))))


def suppression_of(connection: Connection, hashes: Collection[bytes]) -> str | None:
    """Why an address is not mailed, or None."""
    return connection.scalar(select(suppression.c.reason).where(suppression.c.address_hash.in_(hashes)))


def suppress(connection: Connection, address_hash: bytes, reason: str, now_ms: int) -> None:
    """Adds a suppression; one that is there already stays as it is."""
    row = {"address_hash": address_hash, "reason": reason, "at_ms": now_ms}
    connection.execute(dialect_insert(connection, suppression).values(row).on_conflict_do_nothing())


def lift(connection: Connection, hashes: Collection[bytes], reasons: Collection[str]) -> None:
    """Removes a suppression that has one of these reasons."""
    found = suppression.c.address_hash.in_(hashes) & suppression.c.reason.in_(reasons)
    connection.execute(suppression.delete().where(found))
