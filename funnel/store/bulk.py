"""Many rows in one round trip, each database in its own fastest way."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    bindparam,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

ROWS_AT_ONCE = 2_000  # that are held as rows, where they come by column
_ARRAYS = ((SmallInteger, "smallint[]"), (BigInteger, "bigint[]"), (Integer, "integer[]"), (LargeBinary, "bytea[]"))


class _Among(ColumnElement[bool]):
    """`column` is one of the values in the parameter `ids`."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 -- as SQLAlchemy wants it
        ("column", InternalTraversal.dp_clauseelement),
        ("ids", InternalTraversal.dp_clauseelement),
    ]
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], ids: ColumnElement[Any]) -> None:
        self.column = column
        self.ids = ids

    def self_group(self, against: Any = None) -> "_Among":  # noqa: ARG002 -- SQLAlchemy's signature
        # Left to SQLAlchemy it becomes "(… IN …) = 1" on SQLite, which no index serves: the whole table is read.
        return self


@compiles(_Among, "sqlite")
def _in_json(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in (element.column, element.ids))
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 -- a column and a parameter


@compiles(_Among, "postgresql")
def _in_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in (element.column, element.ids))
    return f"{column} = ANY(CAST({ids} AS BIGINT[]))"


def among(connection: Connection, column: ColumnElement[Any], ids: Collection[int]) -> ColumnElement[bool]:
    """Whether `column` is one of `ids`: one parameter, however many there are."""
    return _Among(column, bindparam(None, given(connection, ids), String()))


def among_given(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Likewise, in a statement that is built once: it is run with `ids` as `given` writes them."""
    return _Among(column, bindparam("ids", type_=String()))


def given(connection: Connection, ids: Collection[int]) -> str:
    return json.dumps(list(ids)) if connection.dialect.name == "sqlite" else _written(ids)


def add_many(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]], conflict: str = "") -> int:
    """Inserts rows given by column; `conflict` is an ON CONFLICT clause. Returns how many were written."""
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        statement = f"INSERT INTO {table.name} ({names}) VALUES ({marks}) {conflict}"  # noqa: S608 -- our own names
        return run_many(connection, statement, columns)
    return run_many(connection, f"INSERT INTO {table.name} ({names}) SELECT * FROM given {conflict}", columns, table)  # noqa: S608


def run_many(
    connection: Connection, statement: str, columns: Mapping[str, Sequence[Any]], table: Table | None = None
) -> int:
    """Runs `statement` for many rows: on SQLite once a row, with `?` marks; on PostgreSQL once, over relation `given`.

    PostgreSQL takes the columns' types from `table`. Returns how many rows were written.
    """
    if not all(columns.values()):
        return 0
    if table is None:
        rows = zip(*columns.values(), strict=True)
        parts = iter(lambda: list(islice(rows, ROWS_AT_ONCE)), [])
        return sum(connection.exec_driver_sql(statement, part).rowcount for part in parts)
    arrays = ", ".join(f"%s::{_array(table, name)}" for name in columns)
    given = f"WITH given ({', '.join(columns)}) AS MATERIALIZED (SELECT * FROM unnest({arrays})) "  # noqa: S608 -- our own names
    values = tuple(
        _written(each) if isinstance(table.c[name].type, Integer) and None not in each else list(each)
        for name, each in columns.items()
    )
    return connection.exec_driver_sql(given + statement, values).rowcount


def _written(numbers: Iterable[int]) -> str:
    """An array of PostgreSQL's as text; the driver would take ten times as long for each number."""
    return f"{{{','.join(map(str, numbers))}}}"


def _array(table: Table, name: str) -> str:
    type_ = table.c[name].type
    if isinstance(type_, String):
        return "text[]"
    return next(array for kind, array in _ARRAYS if isinstance(type_, kind))
