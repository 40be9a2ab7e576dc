"""The tables of keys: apart from what they open, so that a backup without them tells of nobody who was erased."""

from sqlalchemy import BigInteger, Column, LargeBinary, SmallInteger, Table

from funnel.store.schema import metadata

# The wrapped key apart from what it opens, so that erasing it erases the rest.
subscriber_key = Table(
    "subscriber_key",
    metadata,
    Column("subscriber_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", SmallInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# The versions of the keyring that have ever sealed anybody, and since when: the highest one does so now.
key_version = Table(
    "key_version",
    metadata,
    Column("version", SmallInteger, primary_key=True, autoincrement=False),
    Column("since_ms", BigInteger, nullable=False),
)
