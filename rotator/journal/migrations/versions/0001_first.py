"""The first journal."""

from alembic import op

from rotator.journal import tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    tables.metadata.create_all(op.get_bind())
