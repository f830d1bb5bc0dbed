"""Keys in force that a person ordered to die: until another one is brought out, consumers have none
that works.
"""

from __future__ import annotations

from sqlalchemy import Connection, String, bindparam, select

from rotator.core.debt_state import DebtPhase
from rotator.core.plan import Key
from rotator.journal import cases, codec, tables

_DEBTS = tables.debts
_OF_KEY = (
    select(_DEBTS.c.state)
    .where(
        (_DEBTS.c.playbook == bindparam("of", type_=String))
        & (_DEBTS.c.key_id == bindparam("key", type_=String))
    )
    .order_by(_DEBTS.c.id.desc())
)
_UNDER_WAY = select(tables.rotations.c.id).where(
    (tables.rotations.c.playbook == bindparam("of", type_=String)) & tables.ACTIVE
)
_NAMES = select(_DEBTS.c.playbook).where(tables.AT_ONCE).distinct()


def in_force(connection: Connection, playbook: str) -> Key | None:
    """The key in force, if it was ordered to die first and no rotation is under way to
    another one.
    """
    key = cases.current_key(connection, playbook)
    if key is None or connection.execute(_UNDER_WAY, {"of": playbook}).first() is not None:
        return None
    debts = (
        codec.debt_of(row[0])
        for row in connection.execute(_OF_KEY, {"of": playbook, "key": key.id})
    )
    last = next((debt for debt in debts if debt.key.same(key)), None)
    return key if last is not None and last.at_once and last.phase is not DebtPhase.VOID else None


def names(connection: Connection) -> set[str]:
    """Playbooks whose key in force was killed."""
    known = [row[0] for row in connection.execute(_NAMES)]
    return {name for name in known if in_force(connection, name) is not None}
