"""The language in which somebody signs up, and reads a course. Whoever is there already reads the main one."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for table in ("signup", "enrollment", "due"):
        op.add_column(table, sa.Column("locale", sa.String(16), nullable=False, server_default=""))
