"""Pauses."""

from alembic import op

from rotator.journal import tables

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    tables.pauses.create(op.get_bind())
