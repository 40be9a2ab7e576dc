"""Since when an address is its reader's, where they have come from another: what bounced before, bounced elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("subscriber", sa.Column("moved_in_ms", sa.BigInteger(), nullable=False, server_default="0"))
