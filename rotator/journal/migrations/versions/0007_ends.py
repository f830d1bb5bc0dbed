"""When keys end, where their providers said so: a key that ends before its next rotation makes that
one due earlier.
"""

from alembic import op
from sqlalchemy import Column, inspect

from rotator.journal import tables

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    connection = op.get_bind()
    for table in (tables.playbooks, tables.credentials):
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                op.add_column(table.name, Column(column.name, column.type, comment=column.comment))
