"""By which clock a playbook's times were written, so that they are moved along when it is set."""

from alembic import op
from sqlalchemy import Column, inspect

from rotator.journal import tables

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    table = tables.playbooks
    there = {column["name"] for column in inspect(op.get_bind()).get_columns(table.name)}
    for name in ("boot", "wall_clock"):
        if name not in there:
            column = table.c[name]
            op.add_column(table.name, Column(name, column.type, comment=column.comment))
