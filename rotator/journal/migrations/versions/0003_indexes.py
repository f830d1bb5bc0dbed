"""Indexes that keep the journal as quick with a hundred thousand rotations as with a hundred."""

from alembic import op

from rotator.journal import tables

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    for table, name in ((tables.rotations, "rotations_by_beginning"), (tables.credentials, "sealed_credentials")):
        index = next(index for index in table.indexes if index.name == name)
        index.create(op.get_bind(), checkfirst=True)
