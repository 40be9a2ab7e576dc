"""INSERT … ON CONFLICT, which SQLite and PostgreSQL spell alike and SQLAlchemy keeps per dialect."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


def dialect_insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows whose unique keys are not there yet."""
    if rows:
        connection.execute(dialect_insert(connection, table).on_conflict_do_nothing(), list(rows))


def insert_ignoring(dialect: str, table: Table) -> Insert:
    """An INSERT that leaves out rows whose unique keys are there; it spares SQLite a journal of its own."""
    if dialect == "sqlite":
        return table.insert().prefix_with("OR IGNORE")
    return postgresql.insert(table).on_conflict_do_nothing()
