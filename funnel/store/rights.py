"""Who holds a freshly mailed link, and who asked for one by address."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, func, select

from funnel.store.rights_tables import request
from funnel.store.tables import Record, enrollment, notice, signup

HASH_BYTES = 32


def by_token(connection: Connection, kind: str, token_hash: bytes) -> Record | None:
    """The service mail of this kind with this token."""
    found = select(notice).where(notice.c.token_hash == token_hash, notice.c.kind == kind)
    return connection.execute(found).one_or_none()


def expire(connection: Connection, subscriber_id: int, kind: str, now_ms: int) -> None:
    """Ends every link of this kind that this person has been mailed, and forgets the addresses they were sent to.

    Their hashes stay for some days: the provider may still tell that nobody is there, or that somebody complains.
    """
    theirs = (notice.c.subscriber_id == subscriber_id) & (notice.c.kind == kind)
    connection.execute(notice.update().where(theirs).values(expires_ms=now_ms, sealed=None))


def drop_waiting(connection: Connection, subscriber_id: int, kind: str, reason: str) -> None:
    """Skips what of this kind has been asked for and has not been planned yet."""
    theirs = (notice.c.subscriber_id == subscriber_id) & (notice.c.kind == kind) & (notice.c.state == "requested")
    skipped = {"state": "skipped", "reason": reason, "sealed": None, "address_hash": None}
    connection.execute(notice.update().where(theirs).values(skipped))


def funnels_of(connection: Connection, subscriber_id: int) -> list[str]:
    """The funnels that this person has to do with, the latest first."""
    found: dict[str, int] = {}
    for table in (signup, enrollment):
        rows = select(table.c.funnel, func.max(table.c.created_ms).label("at_ms"))
        rows = rows.where(table.c.subscriber_id == subscriber_id).group_by(table.c.funnel)
        for row in connection.execute(rows):
            found[row.funnel] = max(row.at_ms, found.get(row.funnel, 0))
    return sorted(found, key=lambda name: -found[name])


def ask(connection: Connection, hashes: Iterable[bytes], now_ms: int) -> None:
    """Somebody with one of these address hashes, or nobody, asked for a link."""
    connection.execute(request.insert().values(hashes=b"".join(hashes), created_ms=now_ms))


def any_asked(connection: Connection) -> bool:
    return connection.scalar(select(request.c.id).limit(1)) is not None


def take_asked(connection: Connection, limit: int) -> Sequence[list[bytes]]:
    """Removes the oldest requests by address, and returns the hashes of each."""
    found = select(request).order_by(request.c.id).limit(limit).with_for_update(skip_locked=True)
    rows = connection.execute(found).all()
    connection.execute(request.delete().where(request.c.id.in_([row.id for row in rows])))
    return [_split(row.hashes) for row in rows]


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]
