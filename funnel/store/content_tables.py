"""The tables of what is published, and the numbers of its lessons."""

from sqlalchemy import BigInteger, Column, LargeBinary, String, Table, UniqueConstraint

from funnel.store.schema import COUNTED, Id, metadata

# An immutable snapshot of one funnel; `content` is compressed JSON, path → base64 of the file.
revision = Table(
    "revision",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("funnel", String(80), nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

current_revision = Table(
    "current_revision",
    metadata,
    Column("funnel", String(80), primary_key=True),
    Column("revision_id", String(64), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

# Lesson keys interned: the number never changes its meaning.
lesson = Table(
    "lesson",
    metadata,
    Column("id", Id, primary_key=True),
    Column("funnel", String(80), nullable=False),
    Column("key", String(80), nullable=False),
    UniqueConstraint("funnel", "key"),
    **COUNTED,
)
