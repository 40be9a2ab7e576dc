"""Readers whose mails hold a link to the lesson, not the lesson. Whoever is there already gets what they got."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for table in ("subscriber", "enrollment", "due"):
        op.add_column(table, sa.Column("link_only", sa.SmallInteger(), nullable=False, server_default="0"))
