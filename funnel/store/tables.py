"""Every table. Instants are epoch milliseconds (int); addresses and names are sealed (funnel/keyring.py)."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

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

wording = Table(
    "wording",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

subscriber = Table(
    "subscriber",
    metadata,
    Column("id", Id, primary_key=True),
    Column("address_hash", LargeBinary(32), nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("state", String(16), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("locale", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    **COUNTED,
)

# The wrapped key apart from what it opens, so that erasing it erases the rest.
subscriber_key = Table(
    "subscriber_key",
    metadata,
    Column("subscriber_id", BigInteger, primary_key=True, autoincrement=False),
    Column("version", SmallInteger, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

# What somebody asked for, sealed until confirmed.
signup = Table(
    "signup",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("funnel", String(80), nullable=False),
    Column("revision_id", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=True),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    **COUNTED,
)

# Append-only.
consent = Table(
    "consent",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("signup_id", BigInteger, nullable=True),
    Column("purpose", String(16), nullable=False),
    Column("wording_hash", String(64), nullable=False),
    Column("revision_id", String(64), nullable=False),
    Column("locale", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    **COUNTED,
)

enrollment = Table(
    "enrollment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False),
    Column("funnel", String(80), nullable=False),
    Column("pattern", String(80), nullable=False),
    Column("secondary", String(80), nullable=True),
    Column("pace", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(80), nullable=True),
    Column("turn", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Index("ix_enrollment_subscriber_id_funnel", "subscriber_id", "funnel"),
    Index(
        "uq_enrollment_live",
        "subscriber_id",
        "funnel",
        unique=True,
        sqlite_where=text("state IN ('active', 'paused')"),
        postgresql_where=text("state IN ('active', 'paused')"),
    ),
    **COUNTED,
)

# Position in a course. Narrow, read in key order; no other index, no foreign key.
due = Table(
    "due",
    metadata,
    Column("due_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("enrollment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("lesson_id", BigInteger, nullable=False),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# What is handed over together. `uid` is the random name that the provider sees.
batch = Table(
    "batch",
    metadata,
    Column("id", Id, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("kind", String(8), nullable=False),
    Column("funnel", String(80), nullable=False),
    Column("revision_id", String(64), nullable=False),
    Column("lesson_id", BigInteger, nullable=True),
    Column("segment", String(200), nullable=False),
    Column("state", String(16), nullable=False),
    Column("planned_ms", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("retries", Integer, nullable=False),
    Column("owner", String(32), nullable=True),
    Column("lease_ms", BigInteger, nullable=True),
    Column("started_ms", BigInteger, nullable=True),
    Column("settled_ms", BigInteger, nullable=True),
    Column("provider", String(16), nullable=True),
    Column("reference", String(200), nullable=True),
    Column("reason", String(80), nullable=True),
    *(
        Index(
            f"ix_batch_{state}",
            column,
            sqlite_where=text(f"state = '{state}'"),
            postgresql_where=text(f"state = '{state}'"),
        )
        for state, column in (("planned", "planned_ms"), ("started", "lease_ms"), ("unknown", "started_ms"))
    ),
    **COUNTED,
)

# One lesson for one subscriber. `state` is set only where it differs from the batch's; `lesson_id` and `batch_id` are
# NULL once withdrawn.
delivery = Table(
    "delivery",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False),
    Column("lesson_id", BigInteger, nullable=True),
    Column("enrollment_id", BigInteger, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("batch_id", BigInteger, nullable=True, index=True),
    Column("due_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=True),
    Column("reason", String(80), nullable=True),
    UniqueConstraint("subscriber_id", "lesson_id"),
    **COUNTED,
)

# A service mail. Requested with batch_id NULL; planned into a batch by the worker.
notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("signup_id", BigInteger, nullable=False),
    Column("funnel", String(80), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("batch_id", BigInteger, nullable=True, index=True),
    Column("state", String(16), nullable=True),
    Column("reason", String(80), nullable=True),
    Column("token_hash", LargeBinary(32), nullable=True, unique=True),
    Column("expires_ms", BigInteger, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Index(
        "ix_notice_requested",
        "id",
        sqlite_where=text("state = 'requested'"),
        postgresql_where=text("state = 'requested'"),
    ),
    **COUNTED,
)

suppression = Table(
    "suppression",
    metadata,
    Column("address_hash", LargeBinary(32), primary_key=True),
    Column("reason", String(24), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
