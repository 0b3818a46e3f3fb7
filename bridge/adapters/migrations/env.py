"""Runs the revisions on the connection that was handed in, inside its transaction; Alembic loads this by path."""

from __future__ import annotations

from alembic import context

from bridge.adapters.sql_schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
