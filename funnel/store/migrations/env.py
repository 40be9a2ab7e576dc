"""Alembic's entry point. The connection comes from funnel.store.db.migrate."""

from alembic import context

from funnel.store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, transactional_ddl=connection.dialect.name == "postgresql"
)
with context.begin_transaction():
    context.run_migrations()
