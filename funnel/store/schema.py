"""What all tables share: naming, counted keys, partial indexes."""

from typing import Any

from sqlalchemy import BigInteger, Index, Integer, MetaData, Row, text

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
