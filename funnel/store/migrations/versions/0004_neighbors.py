"""The nearest batches that are known to have been accepted, found by key: they tell what a silence means."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_index("ix_batch_seen", table_name="batch")
    proven = sa.text("proven <> 0")
    columns = ["provider", "started_ms", "id"]
    op.create_index("ix_batch_proven", "batch", columns, sqlite_where=proven, postgresql_where=proven)
