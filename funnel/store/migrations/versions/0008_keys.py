"""Which version of the keyring seals people; and consents, which are written once and for all."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

# Erasing deletes a person's rows; nothing changes one. A later migration that has to copy a table makes this anew.
WRITTEN_ONCE = ("consent", "wording")


def upgrade() -> None:
    op.create_table(
        "key_version",
        sa.Column("version", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_key_version"),
    )
    op.execute("INSERT INTO key_version (version, since_ms) SELECT DISTINCT version, 0 FROM subscriber_key")
    for table in WRITTEN_ONCE:
        _forbid_updates(table)


def _forbid_updates(table: str) -> None:
    trigger, says = f"{table}_is_written_once", f"a {table} is never changed"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {trigger} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{says}'); END")
        return
    op.execute(
        f"CREATE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{says}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(f"CREATE TRIGGER {trigger} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {trigger}()")
