"""Due times that can be asked for: of playbooks, rotations and old keys; what a schedule counts
from.
"""

from alembic import op
from sqlalchemy import text

from rotator.journal import codec, tables
from rotator.journal.migrations.columns import add_missing

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    connection = op.get_bind()
    for table in (tables.playbooks, tables.rotations, tables.debts):
        add_missing(table)
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    # Counted from the end until now; from their next success on it is from the moment that it was
    # due.
    op.execute("UPDATE playbooks SET counts_from = last_success")
    for name, value in connection.execute(text("SELECT name, value FROM meta WHERE name LIKE 'reconciled %'")).all():
        of = {"at": float(value), "name": str(name).removeprefix("reconciled ")}
        connection.execute(text("UPDATE playbooks SET reconciled = :at WHERE name = :name"), of)
    op.execute("DELETE FROM meta WHERE name LIKE 'reconciled %'")
    ordered = {"words": '%"at_once":true%'}
    connection.execute(text("UPDATE debts SET at_once = (state LIKE :words)"), ordered)
    for table, unfinished in ((tables.rotations, tables.ACTIVE), (tables.debts, tables.OPEN)):
        for row in connection.execute(table.select().where(unfinished)).mappings().all():
            state = row["state"]
            known = {"seen": codec.seen_at(state), "attention": codec.needs_attention(state)}
            connection.execute(table.update().where(table.c.id == row["id"]).values(known))
