"""Restarts that serve several playbooks: who is about to restart a thing, and what was ordered.

What is restarted has a name (`Restarter.shared_as`). The order of roll-outs is that of their
numbers, which are given under one lock over all machines, never that of clocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from rotator.core.state import Phase, Rotation
from rotator.journal import codec, leases, tables

_ROLL_OUTS, _SHARERS, _ROTATIONS = tables.roll_outs, tables.sharers, tables.rotations
_COMING = frozenset(
    {
        Phase.PREFLIGHT,
        Phase.SNAPSHOT,
        Phase.GENERATE,
        Phase.RECOVER,
        Phase.DISCARD,
        Phase.REVIVE,
        Phase.RECOGNISE,
        Phase.CHECK,
        Phase.READ,
        Phase.WRITE,
    }
)
_LONGEST = 300  # characters of a name
_RESTARTING = frozenset({Phase.RESTART, Phase.ACCEPT, Phase.CONVERGE})


class Stage(Enum):
    """How far a rotation is, as far as others must know who restart the same."""

    COMING = "its stores are not all written, and will be"
    WRITTEN = "its stores are written, and its consumers are being restarted"
    PAST = "it needs no restart, or one of its own"


@dataclass(frozen=True, slots=True)
class Sharer:
    """A rotation that restarts the thing. `since`: when its last store was written (Unix seconds).

    `roll_out` is the first one that serves it in its present round. `works`: a process has its
    lease. `wakes`: until when it waits, 0.0 where it does not. `orders`: it is at its restart, and
    not on its way back.
    """

    rotation: str
    playbook: str
    stage: Stage
    since: float = 0.0
    round: int = 0
    roll_out: int | None = None
    works: bool = True
    wakes: float = 0.0
    orders: bool = False


@dataclass(frozen=True, slots=True)
class RollOut:
    """One restart of the thing, by `rotation`. `ordered`: the restarter has answered that it is."""

    n: int
    change: str
    rotation: str
    playbook: str
    since: float
    shared: bool = False
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """All that is known of one thing. Roll-outs are in their order."""

    sharers: tuple[Sharer, ...]
    roll_outs: tuple[RollOut, ...]

    def sharer(self, rotation: str) -> Sharer:
        """Raises StopIteration for one that never joined."""
        return next(one for one in self.sharers if one.rotation == rotation)

    def roll_out(self, n: int | None) -> RollOut | None:
        return next((one for one in self.roll_outs if one.n == n), None)


def short(text: str) -> str:
    """As it stands in the journal: a name of hundreds of workloads fits neither a column nor an
    index of PostgreSQL. Another text has another one.
    """
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST - 65]}…{hashlib.sha256(text.encode()).hexdigest()}"


def join(connection: Connection, name: str, rotation: Rotation, consumer: str) -> None:
    """The rotation will restart the thing, its consumer. What ended is forgotten, whatever it
    restarted: a name may never come again. In a transaction that has come by `serialise`.
    """
    active = select(_ROTATIONS.c.id).where(tables.ACTIVE)
    connection.execute(delete(_SHARERS).where(_SHARERS.c.rotation.not_in(active)))
    shared, last = select(_SHARERS.c.name), select(func.max(_ROLL_OUTS.c.n)).scalar_subquery()
    connection.execute(
        delete(_ROLL_OUTS).where(_ROLL_OUTS.c.name.not_in(shared), _ROLL_OUTS.c.n < last)
    )
    needed = select(func.min(_SHARERS.c.roll_out)).where(_SHARERS.c.name == name).scalar_subquery()
    newest = select(func.max(_ROLL_OUTS.c.n)).where(_ROLL_OUTS.c.name == name).scalar_subquery()
    connection.execute(
        delete(_ROLL_OUTS).where(
            _ROLL_OUTS.c.name == name, _ROLL_OUTS.c.n < func.coalesce(needed, newest)
        )
    )
    known = _SHARERS.c.name == name, _SHARERS.c.rotation == rotation.id
    row = connection.execute(select(_SHARERS.c.round).where(*known)).first()
    of_now = {"round": rotation.round, "roll_out": None}
    if row is None:
        fixed = {
            "name": name,
            "rotation": rotation.id,
            "playbook": rotation.playbook,
            "consumer": short(consumer),
        }
        connection.execute(insert(_SHARERS).values({**fixed, **of_now}))
    elif row.round != rotation.round:
        connection.execute(update(_SHARERS).where(*known).values(of_now))


def board(connection: Connection, name: str) -> Board:
    """How it stands with the thing now; nobody else changes it in a transaction that has come by
    `serialise`.
    """
    of = _SHARERS.c
    rows = connection.execute(
        select(of.rotation, of.playbook, of.round, of.roll_out, _ROTATIONS.c.state)
        .join(_ROTATIONS, _ROTATIONS.c.id == _SHARERS.c.rotation)
        .where(_SHARERS.c.name == name, tables.ACTIVE)
        .order_by(_SHARERS.c.rotation)
    ).all()
    sharers = tuple(_sharer(connection, row) for row in rows)
    query = select(_ROLL_OUTS).where(_ROLL_OUTS.c.name == name).order_by(_ROLL_OUTS.c.n)
    return Board(sharers, tuple(_roll_out(row) for row in connection.execute(query)))


def _sharer(connection: Connection, row: Any) -> Sharer:
    """One whose state a newer rotator wrote is left to itself: nobody fails for it."""
    try:
        rotation = codec.rotation_of(row.state)
    except ValueError:
        return Sharer(row.rotation, row.playbook, Stage.PAST, works=False)
    holding = leases.holding(connection, rotation.playbook)
    stage = Stage.PAST
    if rotation.phase in _COMING:
        stage = Stage.COMING
    elif rotation.phase in _RESTARTING:
        stage = Stage.WRITTEN
    return Sharer(
        rotation.id,
        rotation.playbook,
        stage,
        rotation.restart_since,
        rotation.round,
        row.roll_out if row.round == rotation.round else None,
        holding is not None and not holding.expired,
        rotation.wake or 0.0,
        rotation.phase is Phase.RESTART,
    )


def _roll_out(row: Row[Any]) -> RollOut:
    found = row._mapping
    return RollOut(
        found["n"],
        found["change"],
        found["rotation"],
        found["playbook"],
        found["since"],
        found["shared"],
        found["ordered"],
    )


def decide(
    connection: Connection, name: str, roll_out: RollOut, serves: Iterable[Sharer]
) -> RollOut:
    """This one is about to be ordered, for these rotations; it gets its number."""
    values = {
        "name": name,
        "change": roll_out.change,
        "playbook": roll_out.playbook,
        "rotation": roll_out.rotation,
        "since": roll_out.since,
        "shared": roll_out.shared,
        "ordered": False,
    }
    made = connection.execute(insert(_ROLL_OUTS).values(values).returning(_ROLL_OUTS.c.n))
    decided = replace(roll_out, n=made.scalar_one())
    for one in serves:
        connection.execute(
            update(_SHARERS)
            .where(_SHARERS.c.name == name, _SHARERS.c.rotation == one.rotation)
            .values(round=one.round, roll_out=decided.n)
        )
    return decided


def ordered(connection: Connection, n: int) -> None:
    """The restarter has answered that it is."""
    connection.execute(update(_ROLL_OUTS).where(_ROLL_OUTS.c.n == n).values(ordered=True))


def move(connection: Connection, playbook: str, by: float) -> None:
    """The wall clock was set by so many seconds: those that this playbook orders are for what began
    before a moment of the clock that it is now.
    """
    mine = (_ROLL_OUTS.c.playbook == playbook) & (_ROLL_OUTS.c.since > 0)
    connection.execute(update(_ROLL_OUTS).where(mine).values(since=_ROLL_OUTS.c.since + by))


def newest(connection: Connection, rotation: Rotation, consumer: str) -> RollOut | None:
    """The newest roll-out of this consumer that was ordered and serves the rotation in its round;
    None where none does.
    """
    row = connection.execute(
        select(_ROLL_OUTS)
        .join(_SHARERS, _SHARERS.c.name == _ROLL_OUTS.c.name)
        .where(
            _SHARERS.c.rotation == rotation.id,
            _SHARERS.c.consumer == short(consumer),
            _SHARERS.c.round == rotation.round,
            _ROLL_OUTS.c.n >= _SHARERS.c.roll_out,
            _ROLL_OUTS.c.ordered,
        )
        .order_by(_ROLL_OUTS.c.n.desc())
        .limit(1)
    ).first()
    return None if row is None else _roll_out(row)
