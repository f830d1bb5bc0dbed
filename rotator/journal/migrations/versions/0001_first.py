"""The first journal."""

from alembic import op

from rotator.journal import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    later = {"pauses", "orders", "notices"}
    first = [table for table in tables.metadata.sorted_tables if table.name not in later]
    tables.metadata.create_all(op.get_bind(), tables=first)
