"""Delivery that loses nothing: places in a batch, the provider's events, holds, volumes, polls."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _widen_batches()
    for table in ("delivery", "notice"):
        _add_positions(table)
    _add_tables()


def _widen_batches() -> None:
    op.add_column("batch", sa.Column("size", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("due_ms", sa.BigInteger(), nullable=True))
    op.add_column("batch", sa.Column("proven", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("resent", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batch", sa.Column("seen_ms", sa.BigInteger(), nullable=True))
    for name, column, condition in (
        ("seen", "started_ms", "seen_ms IS NOT NULL"),
        ("settled", "settled_ms", "settled_ms IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(f"ix_batch_{name}", "batch", [column], sqlite_where=where, postgresql_where=where)


def _add_positions(table: str) -> None:
    op.add_column(table, sa.Column("position", sa.SmallInteger(), nullable=True))
    op.execute(
        f"UPDATE {table} SET position = (SELECT count(*) FROM {table} AS other"  # noqa: S608 -- a name of our own
        f" WHERE other.batch_id = {table}.batch_id AND other.id < {table}.id) WHERE batch_id IS NOT NULL"
    )
    op.drop_index(f"ix_{table}_batch_id", table_name=table)
    op.create_index(f"ix_{table}_batch_id_position", table, ["batch_id", "position"])


def _add_tables() -> None:
    new = sa.text("handled_ms IS NULL")
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.String(length=24), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("handled_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.UniqueConstraint(
            *("batch_id", "position", "attempt", "kind", "at_ms"), name="uq_event_batch_id_position_attempt_kind_at_ms"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_event_new", "event", ["id"], sqlite_where=new, postgresql_where=new)
    op.create_table(
        "hold",
        sa.Column("scope", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("strikes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_hold"),
    )
    op.create_table(
        "volume",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("funnel", sa.String(length=80), nullable=False),
        sa.Column("forecast", sa.Integer(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("hour_ms", "funnel", name="pk_volume"),
    )
    op.create_table(
        "poll",
        sa.Column("list", sa.String(length=24), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("offset", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("finished_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("list", name="pk_poll"),
    )
