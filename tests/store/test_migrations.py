"""Migrations and tables agree, on both databases."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from funnel.store.db import is_current, migrate, open_engine
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
