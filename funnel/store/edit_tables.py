"""The tables of what was published when, and of whom a change has moved."""

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from funnel.store.schema import COUNTED, Id, metadata

# That a revision was made current; append-only but for how far its moving of people has come. `before_id` is the
# revision that it replaced, `restores_id` the publication that an undo takes back. While `state` is "restoring",
# "moving" or "reopening", everything up to the cursor has been looked at: an enrollment, or a key of the due table.
publication = Table(
    "publication",
    metadata,
    Column("id", Id, primary_key=True),
    Column("funnel", String(80), nullable=False),
    Column("revision_id", String(64), nullable=False),
    Column("before_id", String(64), nullable=True),
    Column("restores_id", BigInteger, nullable=True),
    Column("kind", String(8), nullable=False),
    Column("policy", String(12), nullable=False),
    Column("author", String(200), nullable=False),
    Column("message", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),
    Column("cursor_ms", BigInteger, nullable=False, server_default="-1"),
    Column("cursor_id", BigInteger, nullable=False, server_default="-1"),
    Column("cursor_turn", Integer, nullable=False, server_default="-1"),
    Column("seen", BigInteger, nullable=False, server_default="0"),
    Column("moved", BigInteger, nullable=False, server_default="0"),
    Column("undone_ms", BigInteger, nullable=True),
    Index("ix_publication_funnel_id", "funnel", "id"),
    **COUNTED,
)

# Whom a publication has moved: where they waited before, and where after. NULL: they had finished, or have now.
moved = Table(
    "moved",
    metadata,
    Column("publication_id", BigInteger, primary_key=True, autoincrement=False),
    Column("enrollment_id", BigInteger, primary_key=True, autoincrement=False),
    Column("turn", Integer, nullable=False),
    Column("old_due_ms", BigInteger, nullable=True),
    Column("old_lesson_id", BigInteger, nullable=True),
    Column("new_due_ms", BigInteger, nullable=True),
    Column("new_lesson_id", BigInteger, nullable=True),
    sqlite_with_rowid=False,
)

# Lessons that came to their place in a sequence while people were in it, and what that means for those.
late = Table(
    "late",
    metadata,
    Column("lesson_id", BigInteger, primary_key=True, autoincrement=False),
    Column("publication_id", BigInteger, nullable=False),
    Column("how", String(12), nullable=False),
    sqlite_with_rowid=False,
)
