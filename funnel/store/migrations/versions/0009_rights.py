"""Readers' rights: service mails to another address, who asked by address, erasures and what is left of them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("notice", sa.Column("address_hash", sa.LargeBinary(32), nullable=True))
    op.add_column("notice", sa.Column("sealed", sa.LargeBinary(), nullable=True))
    id_ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "request",
        sa.Column("id", id_, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_request"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "erasure",
        sa.Column("id", id_, nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("told_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_erasure"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_erasure_next_ms", "erasure", ["next_ms"])
    op.create_table(
        "tombstone",
        sa.Column("id", id_, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tombstone"),
        sqlite_autoincrement=True,
    )
    _add_indexes()


def _add_indexes() -> None:
    """For the daily retention, which must find what is old without reading what is not."""
    pending = sa.text("state = 'pending'")
    op.create_index("ix_signup_pending", "signup", ["created_ms"], sqlite_where=pending, postgresql_where=pending)
    op.create_index(
        "ix_subscriber_pending", "subscriber", ["changed_ms"], sqlite_where=pending, postgresql_where=pending
    )
    over = sa.text("pattern <> '' AND state IN ('finished', 'ended')")
    op.create_index("ix_enrollment_over", "enrollment", ["changed_ms"], sqlite_where=over, postgresql_where=over)
    has_token = sa.text("token_hash IS NOT NULL")
    op.create_index(
        "ix_notice_expires_ms", "notice", ["expires_ms"], sqlite_where=has_token, postgresql_where=has_token
    )
    asked = sa.text("signup_id = 0")
    op.create_index("ix_notice_asked", "notice", ["created_ms"], sqlite_where=asked, postgresql_where=asked)
