"""What people are told, and of which rotations they were."""

from alembic import op

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    add_missing(tables.rotations)
    tables.notices.create(op.get_bind(), checkfirst=True)
    to_tell = next(index for index in tables.rotations.indexes if index.name == "rotations_to_tell")
    to_tell.create(op.get_bind(), checkfirst=True)
