"""Subscribers, their wrapped keys, and suppressions. Nothing here can read an address: it arrives and leaves sealed."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import Connection, and_, or_, select

from funnel.core.consent import Standing, Suppressed, Suppression
from funnel.store.bulk import among
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
    values = {"sealed": sealed, "state": Standing.PENDING, "changed_ms": now_ms, "link_only": 0}
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(values))
    connection.execute(subscriber_key.insert().values(subscriber_id=subscriber_id, version=key[0], wrapped=key[1]))


def activate(connection: Connection, subscriber_id: int, sealed: bytes, zone: str, locale: str, now_ms: int) -> None:
    values = {"state": Standing.ACTIVE, "sealed": sealed, "zone": zone, "locale": locale, "changed_ms": now_ms}
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(values))


def set_state(connection: Connection, subscriber_id: int, state: Standing, now_ms: int) -> None:
    changed = subscriber.update().where(subscriber.c.id == subscriber_id)
    connection.execute(changed.values(state=state, changed_ms=now_ms))


def reseal(connection: Connection, subscriber_id: int, sealed: bytes) -> None:
    """What is known of a subscriber, sealed anew for the same address."""
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(sealed=sealed))


def move_in(connection: Connection, subscriber_id: int, address_hash: bytes, sealed: bytes, now_ms: int) -> None:
    """Another address becomes the subscriber's own, and what is known of them is sealed for it."""
    values = {"address_hash": address_hash, "sealed": sealed, "moved_in_ms": now_ms}
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(values))


def rewrap(connection: Connection, subscriber_id: int, key: tuple[int, bytes]) -> None:
    """The subscriber's key, wrapped anew: (keyring version, wrapped key)."""
    changed = subscriber_key.update().where(subscriber_key.c.subscriber_id == subscriber_id)
    connection.execute(changed.values(version=key[0], wrapped=key[1]))


def set_locale(connection: Connection, subscriber_id: int, locale: str) -> None:
    connection.execute(subscriber.update().where(subscriber.c.id == subscriber_id).values(locale=locale))


def key_of(connection: Connection, subscriber_id: int) -> tuple[int, bytes] | None:
    """(keyring version, wrapped key), or None once erased."""
    row = connection.execute(
        select(subscriber_key.c.version, subscriber_key.c.wrapped).where(
            subscriber_key.c.subscriber_id == subscriber_id
        )
    ).one_or_none()
    return (row.version, row.wrapped) if row else None


def forget_key(connection: Connection, subscriber_id: int) -> None:
    """Erases a subscriber's key: nothing that was sealed about them can be read any more, in no backup without it."""
    connection.execute(subscriber_key.delete().where(subscriber_key.c.subscriber_id == subscriber_id))


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


def locked(connection: Connection, ids: Collection[int]) -> Sequence[Record]:
    """These subscribers; nobody else changes their affairs until the transaction ends."""
    found = select(subscriber).where(among(connection, subscriber.c.id, ids))
    return connection.execute(found.order_by(subscriber.c.id).with_for_update()).all()


def locked_by_hash(connection: Connection, hashes: Collection[bytes]) -> Sequence[Record]:
    """The subscribers with any of these address hashes, locked likewise."""
    found = select(subscriber).where(subscriber.c.address_hash.in_(hashes))
    return connection.execute(found.order_by(subscriber.c.id).with_for_update()).all()


def suppression_of(connection: Connection, hashes: Collection[bytes]) -> Suppression | None:
    """Why an address is not mailed, and since when; or None. Of several, the one for the strongest reason."""
    return max(suppressed(connection, hashes).values(), key=_strength, default=None)


def suppressed(connection: Connection, hashes: Collection[bytes]) -> dict[bytes, Suppression]:
    """Those of the hashes that are suppressed, the strongest reason first."""
    found = select(suppression).where(suppression.c.address_hash.in_(hashes))
    rows = {row.address_hash: Suppression(row.reason, row.at_ms) for row in connection.execute(found)}
    return dict(sorted(rows.items(), key=lambda each: _strength(each[1]), reverse=True))


def suppress(connection: Connection, address_hash: bytes, reason: str, at_ms: int) -> None:
    """Suppresses an address. Whoever is suppressed for a stronger reason, or has been so later, stays so."""
    suppress_all(connection, {address_hash: at_ms}, Suppressed(reason))


def suppress_all(connection: Connection, moments: Mapping[bytes, int], reason: Suppressed) -> None:
    """Suppresses many addresses: hash → since when."""
    if not moments:
        return
    adding = dialect_insert(connection, suppression)
    weaker = (suppression.c.reason == each for each in reason.weaker)
    earlier = and_(suppression.c.reason == reason, suppression.c.at_ms < adding.excluded.at_ms)
    replacing = adding.on_conflict_do_update(
        index_elements=["address_hash"],
        set_={"reason": adding.excluded.reason, "at_ms": adding.excluded.at_ms},
        where=or_(*weaker, earlier),
    )
    rows = [{"address_hash": hash_, "reason": reason, "at_ms": moments[hash_]} for hash_ in sorted(moments)]
    connection.execute(replacing, rows)


def lift(connection: Connection, hashes: Collection[bytes], reasons: Collection[str]) -> bool:
    """Removes a suppression that has one of these reasons. True if there was one; its subscriber may ask anew."""
    found = suppression.c.address_hash.in_(hashes) & suppression.c.reason.in_(reasons)
    if not connection.execute(suppression.delete().where(found)).rowcount:
        return False
    theirs = subscriber.c.address_hash.in_(hashes) & (subscriber.c.state == Standing.SUPPRESSED)
    connection.execute(subscriber.update().where(theirs).values(state=Standing.UNSUBSCRIBED))
    return True


def _strength(found: Suppression) -> tuple[int, int]:
    """A reason that nobody knows is the strongest: only an operator lifts it."""
    ranks: list[str] = list(Suppressed)
    return ranks.index(found.reason) if found.reason in ranks else len(ranks), found.at_ms
