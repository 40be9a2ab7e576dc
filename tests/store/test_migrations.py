"""Migrations and tables agree, on both databases."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from funnel.store.db import _config, is_current, migrate, open_engine
from funnel.store.tables import metadata
from tests.databases import Databases

KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@KINDS
def test_migrations_from_an_empty_database_make_exactly_the_tables(kind: str, databases: Databases) -> None:
    engine = open_engine(databases.empty(kind))
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert is_current(connection)
    engine.dispose()


@KINDS
def test_migrating_twice_changes_nothing(kind: str, databases: Databases) -> None:
    engine = open_engine(databases.fresh(kind))
    migrate(engine)
    with engine.connect() as connection:
        assert is_current(connection)
    engine.dispose()


@KINDS
def test_an_unmigrated_database_is_not_ready(kind: str, databases: Databases) -> None:
    engine = open_engine(databases.empty(kind))
    with engine.connect() as connection:
        assert not is_current(connection)
    engine.dispose()


BEFORE = (
    "INSERT INTO enrollment (id, subscriber_id, funnel, pattern, secondary, pace, state, turn, created_ms, changed_ms)"
    " VALUES (1, 7, 'f', 'p', 's', 'as-written', 'active', 2, 0, 0)",
    "INSERT INTO due (due_ms, enrollment_id, lesson_id, turn) VALUES (10, 1, 5, 1), (20, 1, 5, 2)",
    "INSERT INTO batch (id, uid, kind, funnel, revision_id, lesson_id, segment, state, planned_ms, attempt, retries,"
    " started_ms) VALUES (1, 'a', 'lesson', 'f', 'r', 3, '', 'accepted', 0, 1, 0, 1),"
    " (2, 'b', 'lesson', 'f', 'r', 4, '', 'planned', 0, 0, 0, NULL)",
    "INSERT INTO delivery (id, subscriber_id, lesson_id, enrollment_id, turn, batch_id, position, due_ms)"
    " VALUES (11, 7, 3, 1, 2, 1, 0, 0), (12, 7, 4, 1, 2, 2, 0, 0)",
    "INSERT INTO subscriber_key (subscriber_id, version, wrapped) VALUES (7, 1, 'x')",
)


@KINDS
def test_what_was_started_is_in_the_ledger_and_whoever_waits_goes_on_waiting(kind: str, databases: Databases) -> None:
    engine = open_engine(databases.empty(kind))
    with engine.connect() as connection:
        command.upgrade(_config(connection), "0002")
        for statement in BEFORE:
            connection.execute(text(statement))
        connection.commit()
    migrate(engine)
    with engine.connect() as connection:

        def rows(query: str) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(text(query))]

        assert rows("SELECT lesson_id, subscriber_id, delivery_id FROM ledger") == [(3, 7, 11)]
        assert rows("SELECT due_ms, turn, subscriber_id, pattern, secondary, pace FROM due") == [
            (20, 2, 7, "p", "s", "as-written")
        ]
        assert rows("SELECT id, lesson_id, batch_id FROM delivery ORDER BY id") == [(11, 3, 1), (12, 4, 2)]
        assert rows("SELECT subscriber_id, version FROM subscriber_key") == [(7, 1)]
        assert rows("SELECT version, since_ms FROM key_version") == [(1, 0)]
    engine.dispose()
