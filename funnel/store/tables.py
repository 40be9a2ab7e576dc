"""Every table. Instants are epoch milliseconds (int); addresses and names are sealed (funnel/keyring.py)."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from funnel.store.content_tables import current_revision, lesson, revision
from funnel.store.course_tables import reached, slot
from funnel.store.edit_tables import late, moved, publication
from funnel.store.key_tables import key_version, subscriber_key
from funnel.store.rights_tables import erasure, request, tombstone
from funnel.store.schema import COUNTED, Id, Record, metadata, partial, records, records_in_parts

# Everybody's: whoever reads a table reads its records.
__all__ = ["Record", "current_revision", "erasure", "key_version", "late", "lesson", "metadata", "moved", "publication"]
__all__ += ["reached", "records", "records_in_parts", "request", "revision", "slot", "subscriber_key", "tombstone"]

wording = Table(
    "wording",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("text", Text, nullable=False),
)

# `link_only` is 1 where a reader's mails hold a link to the lesson, not the lesson.
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
    Column("link_only", SmallInteger, nullable=False, server_default="0"),
    Column("moved_in_ms", BigInteger, nullable=False, server_default="0"),
    partial("ix_subscriber_pending", "changed_ms", where="state = 'pending'"),
    **COUNTED,
)

# What somebody asked for, sealed until confirmed. `subscriber_id` is 0 until the worker has taken it in.
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
    Column("locale", String(16), nullable=False, server_default=""),
    partial("ix_signup_unconfirmed", "created_ms", where="state <> 'confirmed'"),
    partial("ix_signup_asked", "id", where="state = 'asked'"),
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

# `locale` is the language of the reader's lessons; empty, or one that the funnel has not, is its main language. It and
# `link_only` are copies of the subscriber's, for those who send.
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
    Column("locale", String(16), nullable=False, server_default=""),
    Column("link_only", SmallInteger, nullable=False, server_default="0"),
    Index("ix_enrollment_subscriber_id_funnel", "subscriber_id", "funnel"),
    partial("uq_enrollment_live", "subscriber_id", "funnel", where="state IN ('active', 'paused')", unique=True),
    partial("ix_enrollment_over", "changed_ms", where="pattern <> '' AND state IN ('finished', 'ended')"),
    **COUNTED,
)

# Position in a course. Narrow, read in key order; no other index, no foreign key. What plan must know of the enrollment
# is copied here, so that planning reads nobody's row: a hint that start compares with the truth.
due = Table(
    "due",
    metadata,
    Column("due_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("enrollment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("lesson_id", BigInteger, nullable=False),
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("subscriber_id", BigInteger, nullable=False),
    Column("pattern", String(80), nullable=False),
    Column("secondary", String(80), nullable=True),
    Column("pace", String(16), nullable=False),
    Column("locale", String(16), nullable=False, server_default=""),
    Column("link_only", SmallInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

# What is handed over together. `uid` is the random name that the provider sees; `size` how many were planned into it,
# `due_ms` the earliest of their due times. Bit n of `proven` is set once attempt n is known to have been accepted;
# `resent` counts how often it was handed over again after a doubt; `seen_ms` is when its first event came. With
# `split_from` its recipients were in that batch before, in every attempt before `split_attempt`.
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
    Column("size", Integer, nullable=False, server_default="0"),
    Column("due_ms", BigInteger, nullable=True),
    Column("proven", BigInteger, nullable=False, server_default="0"),
    Column("resent", Integer, nullable=False, server_default="0"),
    Column("seen_ms", BigInteger, nullable=True),
    Column("split_from", BigInteger, nullable=True),
    Column("split_attempt", Integer, nullable=True),
    partial("ix_batch_planned", "planned_ms", where="state = 'planned'"),
    partial("ix_batch_started", "lease_ms", where="state = 'started'"),
    partial("ix_batch_unknown", "started_ms", where="state = 'unknown'"),
    partial("ix_batch_proven", "provider", "started_ms", "id", where="proven <> 0"),
    partial("ix_batch_settled", "settled_ms", where="settled_ms IS NOT NULL"),
    partial("ix_batch_split_from", "split_from", where="split_from IS NOT NULL"),
    **COUNTED,
)

# A lesson planned for a subscriber, in the order of planning. `state` is set only where it differs from the batch's;
# `position` is its place in the batch for good; `lesson_id` and `batch_id` are NULL once withdrawn.
delivery = Table(
    "delivery",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False),
    Column("lesson_id", BigInteger, nullable=True),
    Column("enrollment_id", BigInteger, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("batch_id", BigInteger, nullable=True),
    Column("position", SmallInteger, nullable=True),
    Column("due_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=True),
    Column("reason", String(80), nullable=True),
    Index("ix_delivery_batch_id_position", "batch_id", "position"),
    partial("ix_delivery_unsent", "subscriber_id", where="state IN ('failed', 'skipped')"),
    **COUNTED,
)

# One delivery per lesson and subscriber, for good: nothing is handed over that has not been entered here by its start.
# By lesson first: a batch is of one lesson, and who is sent it today has joined about when the others have.
ledger = Table(
    "ledger",
    metadata,
    Column("lesson_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subscriber_id", BigInteger, primary_key=True, autoincrement=False),
    Column("delivery_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# A service mail. Requested with batch_id NULL; planned into a batch by the worker. `signup_id` is 0 where it answers
# none; `address_hash` and `sealed` are set where it goes to another address than the subscriber's.
notice = Table(
    "notice",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subscriber_id", BigInteger, nullable=False, index=True),
    Column("signup_id", BigInteger, nullable=False),
    Column("funnel", String(80), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("batch_id", BigInteger, nullable=True),
    Column("position", SmallInteger, nullable=True),
    Column("state", String(16), nullable=True),
    Column("reason", String(80), nullable=True),
    Column("token_hash", LargeBinary(32), nullable=True, unique=True),
    Column("expires_ms", BigInteger, nullable=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("address_hash", LargeBinary(32), nullable=True),
    Column("sealed", LargeBinary, nullable=True),
    Index("ix_notice_batch_id_position", "batch_id", "position"),
    partial("ix_notice_expires_ms", "expires_ms", where="token_hash IS NOT NULL"),
    partial("ix_notice_requested", "id", where="state = 'requested'"),
    **COUNTED,
)

suppression = Table(
    "suppression",
    metadata,
    Column("address_hash", LargeBinary(32), primary_key=True),
    Column("reason", String(24), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

# What the provider told us later, boiled down: never its words, which hold addresses. The unique key drops repetitions.
event = Table(
    "event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("batch_id", BigInteger, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("kind", String(24), nullable=False),
    Column("reason", String(24), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("handled_ms", BigInteger, nullable=True),
    UniqueConstraint("batch_id", "position", "attempt", "kind", "at_ms"),
    partial("ix_event_new", "id", where="handled_ms IS NULL"),
    **COUNTED,
)

# Why something is not sent at the moment: all sending, a funnel, or a provider. `until_ms` NULL waits for a person;
# once it has passed, one batch goes first to see. `strikes` counts how often in a row it had to be held.
hold = Table(
    "hold",
    metadata,
    Column("scope", String(100), primary_key=True),
    Column("reason", String(200), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=True),
    Column("strikes", Integer, nullable=False),
)

# An hour of a funnel: how many lessons the due table promised for it, and how many were planned.
volume = Table(
    "volume",
    metadata,
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("funnel", String(80), primary_key=True),
    Column("forecast", Integer, nullable=False),
    Column("planned", Integer, nullable=False),
)

# How far the daily reading of a provider's suppression lists has come.
poll = Table(
    "poll",
    metadata,
    Column("list", String(24), primary_key=True),
    Column("since_ms", BigInteger, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("found", Integer, nullable=False),
    Column("finished_ms", BigInteger, nullable=True),
)
