"""When keys end, where their providers said so: a key that ends before its next rotation makes that
one due earlier.
"""

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    for table in (tables.playbooks, tables.credentials):
        add_missing(table)
