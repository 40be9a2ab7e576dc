"""Planning that reads nobody's row: due rows carry what it must know, and uniqueness moves to a ledger of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_UNSENT = sa.text("state IN ('failed', 'skipped')")


def upgrade() -> None:
    _add_ledger()
    _free_deliveries()
    _widen_due()
    if op.get_bind().dialect.name == "sqlite":
        _cluster_keys()


def _add_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("lesson_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("delivery_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lesson_id", "subscriber_id", name=op.f("pk_ledger")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO ledger (lesson_id, subscriber_id, delivery_id) SELECT lesson_id, subscriber_id, id FROM delivery"
        # What nobody has started may be planned anew under another delivery.
        " WHERE lesson_id IS NOT NULL AND batch_id IN (SELECT id FROM batch WHERE started_ms IS NOT NULL)"
        " ORDER BY lesson_id, subscriber_id"
    )


def _free_deliveries() -> None:
    with op.batch_alter_table("delivery", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(op.f("uq_delivery_subscriber_id_lesson_id"), type_="unique")
    op.create_index("ix_delivery_unsent", "delivery", ["subscriber_id"], sqlite_where=_UNSENT, postgresql_where=_UNSENT)


def _widen_due() -> None:
    """Written anew: the columns come from the enrollment, and stale rows need not come along."""
    op.rename_table("due", "due_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_due RENAME TO pk_due_before")
    op.create_table(
        "due",
        sa.Column("due_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("enrollment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lesson_id", sa.BigInteger(), nullable=False),
        sa.Column("turn", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subscriber_id", sa.BigInteger(), nullable=False),
        sa.Column("pattern", sa.String(length=80), nullable=False),
        sa.Column("secondary", sa.String(length=80), nullable=True),
        sa.Column("pace", sa.String(length=16), nullable=False),
        sa.PrimaryKeyConstraint("due_ms", "enrollment_id", "turn", name=op.f("pk_due")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO due (due_ms, enrollment_id, lesson_id, turn, subscriber_id, pattern, secondary, pace)"
        " SELECT due.due_ms, due.enrollment_id, due.lesson_id, due.turn, enrollment.subscriber_id, enrollment.pattern,"
        " enrollment.secondary, enrollment.pace FROM due_before AS due JOIN enrollment"
        " ON enrollment.id = due.enrollment_id AND enrollment.turn = due.turn ORDER BY due.due_ms, due.enrollment_id"
    )
    op.drop_table("due_before")


def _cluster_keys() -> None:
    """A key is found by its subscriber in one tree instead of two."""
    op.rename_table("subscriber_key", "subscriber_key_before")
    op.create_table(
        "subscriber_key",
        sa.Column("subscriber_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_subscriber_key")),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO subscriber_key (subscriber_id, version, wrapped)"
        " SELECT subscriber_id, version, wrapped FROM subscriber_key_before ORDER BY subscriber_id"
    )
    op.drop_table("subscriber_key_before")
