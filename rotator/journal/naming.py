"""A playbook's history under another name; and a playbook that is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace

from sqlalchemy import Connection, Table, delete, func, literal, select, update

from rotator.core.plan import Key
from rotator.journal import codec, credentials, tables
from rotator.journal.sealing import Sealer
from rotator.journal.settings import put_setting, setting

_FOLLOW = (tables.strays, tables.orders, tables.notices, tables.sharers, tables.roll_outs)


def former_names(connection: Connection, playbook: str) -> tuple[str, ...]:
    """The names that this playbook had: keys made then bear them in their labels."""
    text = setting(connection, _formerly(playbook))
    return tuple(json.loads(text)) if text else ()


def _formerly(playbook: str) -> str:
    return f"formerly {playbook}"[:60]


def rename(connection: Connection, sealer: Sealer | None, old: str, new: str) -> None:
    """All that is known of `old` is of `new` from now on. What `new` was adopted with gives way."""
    had = former_names(connection, old)
    _drop(connection, new)
    _seals(connection, sealer, old, new)
    for table in (tables.rotations, tables.debts):
        _states(connection, table, old, new)
    connection.execute(delete(tables.texts).where(tables.texts.c.playbook == new))
    for table in (*_FOLLOW, tables.store_versions, tables.texts):
        connection.execute(update(table).where(table.c.playbook == old).values(playbook=new))
    channel = tables.notices.c.channel  # those of the playbook's own are called NAME/1, NAME/2
    own = channel.startswith(f"{old}/", autoescape=True)
    renamed = literal(new).concat(func.substr(channel, len(old) + 1))
    connection.execute(update(tables.notices).where(own).values(channel=renamed))
    playbooks, pauses = tables.playbooks, tables.pauses
    connection.execute(update(playbooks).where(playbooks.c.name == old).values(name=new))
    connection.execute(delete(pauses).where(pauses.c.scope == f"playbook {new}"))
    connection.execute(
        update(pauses).where(pauses.c.scope == f"playbook {old}").values(scope=f"playbook {new}")
    )
    put_setting(connection, _formerly(new), json.dumps([*had, old]))


def forget(connection: Connection, playbook: str) -> None:
    """No key of it is in force any more, none stays sealed; what happened stays in the audit log
    and in the history.
    """
    credentials.erase_all_but(connection, playbook, ())
    for table in (tables.store_versions, tables.texts, *_FOLLOW):
        known = table.c.playbook == playbook
        if table is tables.roll_outs:  # others still follow the restart that it ordered
            known &= table.c.name.not_in(select(tables.sharers.c.name))
        connection.execute(delete(table).where(known))
    connection.execute(delete(tables.playbooks).where(tables.playbooks.c.name == playbook))
    connection.execute(delete(tables.pauses).where(tables.pauses.c.scope == f"playbook {playbook}"))


def _drop(connection: Connection, playbook: str) -> None:
    """What an adoption alone left."""
    for table in (tables.credentials, tables.store_versions):
        connection.execute(delete(table).where(table.c.playbook == playbook))
    connection.execute(delete(tables.playbooks).where(tables.playbooks.c.name == playbook))


def _states(connection: Connection, table: Table, old: str, new: str) -> None:
    for row in connection.execute(
        select(table.c.id, table.c.state).where(table.c.playbook == old)
    ).all():
        state = codec.rotation_of(row[1]) if table is tables.rotations else codec.debt_of(row[1])
        text = codec.dump(replace(state, playbook=new))
        connection.execute(
            update(table).where(table.c.id == row[0]).values(playbook=new, state=text)
        )


def _seals(connection: Connection, sealer: Sealer | None, old: str, new: str) -> None:
    """A seal is bound to its playbook's name: each is opened and made anew.

    Raises JournalError without the key.
    """
    table = tables.credentials
    for row in connection.execute(select(table).where(table.c.playbook == old)).mappings().all():
        connection.execute(update(table).where(table.c.n == row["n"]).values(playbook=new))
        if row["sealed"] is None:
            continue
        key = Key(row["key_id"], row["fingerprint"], row["hint"])
        sealed = credentials.sealed_for(row["sealed"], sealer, key, old, new)
        connection.execute(update(table).where(table.c.n == row["n"]).values(sealed=sealed))
