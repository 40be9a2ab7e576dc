"""What all tables share: naming, counted keys, partial indexes."""

from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import BigInteger, Index, Integer, MetaData, Result, Row, text

# A row of any query, its columns by name.
Record = Row[Any]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up only a column that is INTEGER to the letter; AUTOINCREMENT, so that no id ever names somebody else.
Id = BigInteger().with_variant(Integer, "sqlite")
COUNTED: dict[str, Any] = {"sqlite_autoincrement": True}


def partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


def records(found: Result[Any]) -> Sequence[Record]:
    """Every row, as a named tuple: where thousands are read, SQLAlchemy's own take 15 times as long for each column."""
    return [row for part in records_in_parts(found) for row in part]


def records_in_parts(found: Result[Any]) -> Iterator[Sequence[Record]]:
    """Likewise, a thousand at a time: so that never all of them are held."""
    make = _maker(tuple(found.keys()))
    for part in found.partitions(1_000):
        yield list(map(make, part))


@lru_cache(64)
def _maker(names: tuple[str, ...]) -> Callable[[Row[Any]], Record]:
    made: Any = namedtuple("Record", names)  # type: ignore[misc]  # the columns of any query
    return cast(Callable[[Row[Any]], Record], made._make)
