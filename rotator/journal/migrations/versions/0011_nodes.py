"""Daemons report themselves, and which text of each playbook they read; where a rotation was begun."""

from alembic import op

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for table in (tables.nodes, tables.texts):
        table.create(op.get_bind(), checkfirst=True)
    add_missing(tables.rotations)
