"""Which playbooks have something unfinished: at all, that can act now, that needs a person."""

from __future__ import annotations

from sqlalchemy import Connection, Float, bindparam, select

from rotator.core.debt_state import DebtPhase
from rotator.core.state import CLOCKS_AGREE
from rotator.journal import tables

# Built once: building a statement costs more than SQLite takes to run it.
_ROTATIONS, _DEBTS = tables.rotations, tables.debts
_NOW, _AHEAD = bindparam("now", type_=Float), bindparam("ahead", type_=Float)
_CAN_ACT = (  # each by an index of its own
    select(_ROTATIONS.c.playbook).where(tables.ACTIVE, _ROTATIONS.c.due <= _NOW),
    select(_ROTATIONS.c.playbook).where(tables.ACTIVE, _ROTATIONS.c.seen > _AHEAD),
    select(_DEBTS.c.playbook).where(tables.OPEN, _DEBTS.c.due <= _NOW),
    select(_DEBTS.c.playbook).where(tables.OPEN, _DEBTS.c.seen > _AHEAD),
)
_STANDING = (
    select(_ROTATIONS.c.playbook).where(tables.ACTIVE, _ROTATIONS.c.attention),
    # A probe that fails in a watch is told by itself: the watch ends without anybody.
    select(_DEBTS.c.playbook).where(
        tables.OPEN, _DEBTS.c.attention, _DEBTS.c.phase != DebtPhase.WATCH
    ),
)
_UNFINISHED = (
    select(_ROTATIONS.c.playbook).where(tables.ACTIVE),
    select(_DEBTS.c.playbook).where(tables.OPEN),
)


def that_can_act(connection: Connection, now: float) -> list[str]:
    """Playbooks with a rotation or debt that can act now, or that was seen later than now: the
    clock was set back.
    """
    moments = {"now": now, "ahead": now + CLOCKS_AGREE}
    return sorted({name for query in _CAN_ACT for (name,) in connection.execute(query, moments)})


def that_need_attention(connection: Connection) -> set[str]:
    """Playbooks with a rotation or a debt that stands until a person acts."""
    return {name for query in _STANDING for (name,) in connection.execute(query)}


def at_all(connection: Connection) -> set[str]:
    """Playbooks with a rotation that is under way, or a debt that is open."""
    return {name for query in _UNFINISHED for (name,) in connection.execute(query)}
