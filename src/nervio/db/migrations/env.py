"""Alembic's entry into the tree. The connection comes from `nervio.db.migrate`, which holds the transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from nervio.db.tables import metadata


def run(connection: Connection) -> None:
    """Runs what Alembic was asked for, inside the caller's transaction."""
    # Batch mode: a change that SQLite has no ALTER for copies the table; on PostgreSQL it is an ordinary ALTER.
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
