"""Columns that tables got later."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Table, inspect


def add_missing(table: Table) -> None:
    """Each column of today's table that the journal's lacks; whoever fills it does so after this.

    Empty in rows that are there, so without `nullable=False`. A migration that runs after a later
    one was foreseen by this finds its columns there already.
    """
    there = {column["name"] for column in inspect(op.get_bind()).get_columns(table.name)}
    for column in table.columns:
        if column.name not in there:
            op.add_column(table.name, Column(column.name, column.type, comment=column.comment))
