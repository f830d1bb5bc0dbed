"""Which playbooks have something unfinished: at all, that can act now, that needs a person."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sqlalchemy import Connection, Float, Select, bindparam, select

from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.state import CLOCKS_AGREE, Phase, Rotation
from rotator.journal import codec, tables

T = TypeVar("T")

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
_STATES = (  # of those alone that may wait for a person
    select(_ROTATIONS.c.state).where(tables.ACTIVE, _ROTATIONS.c.attention),
    select(_ROTATIONS.c.state).where(tables.ACTIVE, _ROTATIONS.c.phase == Phase.GENERATE),
)
_DEBT_STATES = (
    select(_DEBTS.c.state).where(tables.OPEN, _DEBTS.c.attention),
    select(_DEBTS.c.state).where(tables.OPEN, _DEBTS.c.phase == DebtPhase.REVOKE),
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


def that_may_wait(connection: Connection) -> tuple[list[Rotation], list[Debt]]:
    """Rotations and debts that stand until a person acts, or may wait for one, or of whose old key
    somebody may be without another: each once. Those that a newer rotator wrote are left to it.
    """
    return (
        _read(connection, _STATES, codec.rotation_of),
        _read(connection, _DEBT_STATES, codec.debt_of),
    )


def _read(
    connection: Connection, queries: Iterable[Select[Any]], decoded: Callable[[str], T]
) -> list[T]:
    found = []
    for text in sorted({row[0] for query in queries for row in connection.execute(query)}):
        with contextlib.suppress(ValueError):
            found.append(decoded(text))
    return found


def at_all(connection: Connection) -> set[str]:
    """Playbooks with a rotation that is under way, or a debt that is open."""
    return {name for query in _UNFINISHED for (name,) in connection.execute(query)}
