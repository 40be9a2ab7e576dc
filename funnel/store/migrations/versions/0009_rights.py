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
    for name, table, column, which in (
        ("ix_signup_unconfirmed", "signup", "created_ms", "state <> 'confirmed'"),
        ("ix_subscriber_pending", "subscriber", "changed_ms", "state = 'pending'"),
        ("ix_enrollment_over", "enrollment", "changed_ms", "pattern <> '' AND state IN ('finished', 'ended')"),
        ("ix_notice_expires_ms", "notice", "expires_ms", "token_hash IS NOT NULL"),
    ):
        where = sa.text(which)
        op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
