"""Restarts that serve several playbooks: what was ordered, and for whom."""

from alembic import op

from rotator.journal import tables

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    tables.metadata.create_all(op.get_bind(), [tables.roll_outs, tables.sharers])
