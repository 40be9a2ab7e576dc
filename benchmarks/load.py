"""Fills empty tables as fast as each database can: one transaction of executemany on SQLite, COPY on PostgreSQL."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from sqlalchemy import Engine, Table

from funnel.store.tables import metadata

_COUNT_ON = "SELECT setval(pg_get_serial_sequence('{0}', 'id'), coalesce(max(id), 0) + 1, false) FROM {0}"

_KEYS = """
    SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
        format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE contype IN ('p', 'u') AND connamespace = 'public'::regnamespace
"""
# Partial ones stay: they are small or filled in order, and PostgreSQL would spell their conditions differently.
_INDEXES = """
    SELECT format('DROP INDEX %I', indexname), indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND indexdef NOT LIKE '% WHERE %'
"""


class Load(Protocol):
    def __call__(self, table: Table, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        """Adds rows, their values in the order of `columns`; columns that are not named stay empty."""


@contextmanager
def loading(engine: Engine) -> Iterator[Load]:
    """A way to load tables of a migrated database that nobody else uses. All is there, and tidy, once it ends."""
    engine.dispose()
    with (_sqlite if engine.dialect.name == "sqlite" else _postgresql)(engine) as load:
        yield load


@contextmanager
def _sqlite(engine: Engine) -> Iterator[Load]:
    connection = sqlite3.connect(engine.url.database or "", isolation_level=None)
    # What is half loaded is thrown away, so nothing needs to be safe before the end.
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", "cache_size=-2000000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")

    def load(table: Table, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        places = ", ".join("?" * len(columns))
        connection.executemany(f"INSERT INTO {table.name} ({_listed(columns)}) VALUES ({places})", rows)

    try:
        yield load
        connection.execute("COMMIT")
        connection.execute("PRAGMA locking_mode=NORMAL")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


@contextmanager
def _postgresql(engine: Engine) -> Iterator[Load]:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        # Built from what is there, an index costs a fraction of what it does row by row.
        indexes = [again for found in (_KEYS, _INDEXES) for again in _drop(connection, found)]

        def load(table: Table, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
            with connection.cursor().copy(f"COPY {table.name} ({_listed(columns)}) FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)

        yield load
        for again in indexes:
            connection.execute(again.encode())
        for table in metadata.sorted_tables:
            if "id" in table.c and table.c.id.type.python_type is int:
                connection.execute(_COUNT_ON.format(table.name).encode())
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")  # as the server itself would have done by and by
        connection.execute("CHECKPOINT")


def _drop(connection: psycopg.Connection, found: str) -> list[str]:
    """Drops what the query `found` names; returns how to make it again."""
    pairs = connection.execute(found.encode()).fetchall()
    for gone, _ in pairs:
        connection.execute(gone.encode())
    return [again for _, again in pairs]


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
