"""Groups of playbooks whose rotations never overlap."""

from alembic import op

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    add_missing(tables.rotations)
    indexes = tables.rotations.indexes
    index = next(index for index in indexes if index.name == "one_active_of_a_group")
    index.create(op.get_bind(), checkfirst=True)
