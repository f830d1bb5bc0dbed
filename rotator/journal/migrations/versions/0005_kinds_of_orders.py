"""What an order that waits for the holder of a lease asks for: until now it was always that a key
die first.
"""

from alembic import op
from sqlalchemy import inspect

from rotator.journal import tables

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    there = {column["name"] for column in inspect(op.get_bind()).get_columns(tables.orders.name)}
    if "kind" not in there:  # a journal of today's tables has it already
        op.add_column(tables.orders.name, tables.orders.c.kind.copy())
