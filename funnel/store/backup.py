"""What a backup keeps apart: the keys that are left, and whom not to mail; and what a restored database makes of it."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, func, inspect, select, text

from funnel.store.tables import Record, erasure, metadata, subscriber, subscriber_key, suppression
from funnel.store.upsert import insert_missing

APART = (subscriber_key, suppression, erasure)
AT_ONCE = 2_000
LEAP = 1 << 32  # a link has room for 65,536 times as many


def is_empty(connection: Connection) -> bool:
    """Whether there is no table yet."""
    return not inspect(connection).get_table_names()


def apart(connection: Connection) -> Iterator[tuple[str, Record]]:
    """(table, row) of everything that is kept apart; read bit by bit."""
    for table in APART:
        found = connection.execution_options(yield_per=AT_ONCE).execute(select(table).order_by(*table.primary_key))
        for row in found:
            yield table.name, row


def put_back(connection: Connection, table: str, rows: Collection[Sequence[Any]]) -> None:
    """Rows of a table that was kept apart, with their columns in its order."""
    columns = metadata.tables[table].c.keys()
    insert_missing(connection, metadata.tables[table], [dict(zip(columns, row, strict=True)) for row in rows])


def drop_strays(connection: Connection) -> None:
    """Forgets keys of people who came after the backup."""
    theirs = select(subscriber.c.id).where(subscriber.c.id == subscriber_key.c.subscriber_id)
    connection.execute(delete(subscriber_key).where(~exists(theirs)))


def leap(connection: Connection) -> None:
    """Counts on far behind every number that may have been given since the backup: old links must name nobody else."""
    for table in metadata.sorted_tables:
        if not table.dialect_options["sqlite"]["autoincrement"]:
            continue
        given = {"name": table.name, "leap": LEAP}
        if connection.dialect.name == "postgresql":
            connection.execute(
                text("SELECT setval(s, nextval(s) + :leap) FROM pg_get_serial_sequence(:name, 'id') s"), given
            )
            continue
        last = connection.scalar(text("SELECT max(seq) FROM sqlite_sequence WHERE name = :name"), given) or 0
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), given)
        row = {"name": table.name, "seq": last + LEAP}
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :seq)"), row)


def counts(connection: Connection) -> tuple[int, int]:
    """(people with a key, people without one)."""
    everybody = connection.scalar(select(func.count()).select_from(subscriber)) or 0
    keyed = connection.scalar(select(func.count()).select_from(subscriber_key)) or 0
    return keyed, everybody - keyed


def without_key(connection: Connection, after: int, limit: int) -> Sequence[Record]:
    """The next subscribers whose key was erased, by id."""
    joined = subscriber.outerjoin(subscriber_key, subscriber_key.c.subscriber_id == subscriber.c.id)
    found = select(subscriber).select_from(joined)
    found = found.where(subscriber.c.id > after, subscriber_key.c.subscriber_id.is_(None))
    return connection.execute(found.order_by(subscriber.c.id).limit(limit)).all()
