"""Orders that wait for whoever holds the lease, and debts by their key."""

from alembic import op

from rotator.journal import tables

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    tables.orders.create(op.get_bind())
    by_key = next(index for index in tables.debts.indexes if index.name == "debts_by_key")
    by_key.create(op.get_bind(), checkfirst=True)
