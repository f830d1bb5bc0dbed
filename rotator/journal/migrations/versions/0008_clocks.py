"""By which clock a playbook's times were written, so that they are moved along when it is set."""

from rotator.journal import tables
from rotator.journal.migrations.columns import add_missing

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    add_missing(tables.playbooks)
