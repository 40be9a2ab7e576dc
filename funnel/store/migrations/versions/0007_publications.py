"""What was published when, whom it moved, and which lessons came late to their places."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    _add_publication()
    op.create_table(
        "moved",
        sa.Column("publication_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("enrollment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("old_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("old_lesson_id", sa.BigInteger(), nullable=True),
        sa.Column("new_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("new_lesson_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("publication_id", "enrollment_id", name="pk_moved"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "late",
        sa.Column("lesson_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("publication_id", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("lesson_id", name="pk_late"),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO publication (funnel, revision_id, kind, policy, author, message, at_ms, state)"
        " SELECT funnel, revision_id, 'publish', 'gentle', '', '', since_ms, 'done' FROM current_revision"
    )


def _add_publication() -> None:
    op.create_table(
        "publication",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("funnel", sa.String(length=80), nullable=False),
        sa.Column("revision_id", sa.String(length=64), nullable=False),
        sa.Column("before_id", sa.String(length=64), nullable=True),
        sa.Column("restores_id", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("policy", sa.String(length=12), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("cursor_ms", sa.BigInteger(), nullable=False, server_default="-1"),
        sa.Column("cursor_id", sa.BigInteger(), nullable=False, server_default="-1"),
        sa.Column("cursor_turn", sa.Integer(), nullable=False, server_default="-1"),
        sa.Column("seen", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("moved", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("undone_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_publication"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_publication_funnel_id", "publication", ["funnel", "id"])
