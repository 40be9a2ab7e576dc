"""Sign-ups wait until the worker takes them in: the form writes one row, whoever it is."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_ASKED = sa.text("state = 'asked'")


def upgrade() -> None:
    op.create_index("ix_signup_asked", "signup", ["id"], sqlite_where=_ASKED, postgresql_where=_ASKED)
