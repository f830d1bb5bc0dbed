"""Alembic's environment: the connection is handed over by `rotator db upgrade`."""

from __future__ import annotations

from alembic import context

from rotator.journal import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
