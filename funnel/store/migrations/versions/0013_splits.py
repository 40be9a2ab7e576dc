"""Which batch another was split off, and in which attempt: what was told of earlier ones is about both."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("batch", sa.Column("split_from", sa.BigInteger(), nullable=True))
    op.add_column("batch", sa.Column("split_attempt", sa.Integer(), nullable=True))
    split = sa.text("split_from IS NOT NULL")
    op.create_index("ix_batch_split_from", "batch", ["split_from"], sqlite_where=split, postgresql_where=split)
