"""Which rotation an order that waits for the holder of a lease is about, and an index of all that
wait.
"""

from alembic import op

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    add_missing(tables.orders)
    index = next(index for index in tables.orders.indexes if index.name == "orders_waiting")
    index.create(op.get_bind(), checkfirst=True)
    op.execute("DROP INDEX IF EXISTS orders_that_wait")
