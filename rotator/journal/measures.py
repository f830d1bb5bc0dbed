"""What is measured of a journal, in a few queries, however many playbooks there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select

from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.state import Cause, Phase
from rotator.journal import codec, tables

T = TypeVar("T")
_PLAYBOOKS, _ROTATIONS, _DEBTS = tables.playbooks.c, tables.rotations.c, tables.debts.c
# Where no success counts yet, it is due since somebody began it first.
_FIRST_BEGAN = (
    select(func.min(_ROTATIONS.began))
    .where((_ROTATIONS.playbook == _PLAYBOOKS.name) & _PLAYBOOKS.counts_from.is_(None))
    .scalar_subquery()
)
_KEYS = select(
    _PLAYBOOKS.name,
    _PLAYBOOKS.last_success,
    _PLAYBOOKS.counts_from,
    _PLAYBOOKS.due,
    _PLAYBOOKS.ends,
    _PLAYBOOKS.renew,
    _PLAYBOOKS.schedule,
    _FIRST_BEGAN,
)
_RUNNING = select(
    _ROTATIONS.playbook, _ROTATIONS.phase, _ROTATIONS.attention, _ROTATIONS.began
).where(tables.ACTIVE)
_OWED = select(_DEBTS.playbook, _DEBTS.phase, _DEBTS.attention).where(tables.OPEN)
_RECORDS = select(func.max(tables.audit.c.n))
_CHECKPOINT = select(tables.checkpoints.c.body).order_by(tables.checkpoints.c.n.desc()).limit(1)

# States are read of those alone that may be among them: a thousand that wait in grace are not.
_VERIFYING = select(_ROTATIONS.playbook, _ROTATIONS.state).where(
    tables.ACTIVE, _ROTATIONS.phase.in_((Phase.VERIFY, Phase.UNDO_VERIFY))
)
_WATCHED = select(_DEBTS.playbook, _DEBTS.state).where(
    tables.OPEN, _DEBTS.phase == DebtPhase.WATCH, _DEBTS.attention
)
_BEFORE_ITS_END = (
    DebtPhase.QUIET,
    DebtPhase.BASELINE,
    DebtPhase.LOOK,
    DebtPhase.LAST_LOOK,
    DebtPhase.HELD,
)
_WAITING = select(_DEBTS.playbook, _DEBTS.state).where(
    tables.OPEN, _DEBTS.phase.in_(_BEFORE_ITS_END)
)


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """Of the key of one playbook, in Unix seconds; None where it is not known.

    `schedule` is what `due` was reckoned with. `first_began`: its first rotation, where none has
    succeeded.
    """

    playbook: str
    last_success: float | None = None
    counts_from: float | None = None
    due: float | None = None
    ends: float | None = None
    renew: float | None = None
    schedule: str | None = None
    first_began: float | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """A rotation that is under way."""

    playbook: str
    phase: str
    attention: bool
    began: float


@dataclass(frozen=True, slots=True)
class Owed:
    """An old key."""

    playbook: str
    phase: str
    attention: bool


@dataclass(frozen=True, slots=True)
class Since:
    """Of a playbook, a moment in Unix seconds."""

    playbook: str
    at: float


@dataclass(frozen=True, slots=True)
class Measures:
    """`records` are those of the audit log; `signed_at` is when the last checkpoint was made.

    `failing`: probes fail in a verification or a watch that began then; `failing_after` are those
    that fail since a revocation, a monitor included. `in_use`: old keys that are
    still used or held, with the moment for which their revocation was planned. `unread`: playbooks
    of states that a newer rotator wrote.
    """

    keys: tuple[KeyTimes, ...]
    running: tuple[Running, ...]
    owed: tuple[Owed, ...]
    failing: tuple[Since, ...]
    in_use: tuple[Since, ...]
    records: int
    signed_at: float | None
    failing_after: tuple[Since, ...] = ()
    unread: frozenset[str] = frozenset()


def keys(connection: Connection) -> tuple[KeyTimes, ...]:
    """Of each playbook that was ever begun or adopted. Raises JournalError."""
    return tuple(KeyTimes(*row) for row in connection.execute(_KEYS))


def read(connection: Connection) -> Measures:
    """Raises JournalError."""
    body, unread = connection.execute(_CHECKPOINT).scalar(), set[str]()
    return Measures(
        keys(connection),
        tuple(
            Running(one, phase, bool(attention), began)
            for one, phase, attention, began in connection.execute(_RUNNING)
        ),
        tuple(Owed(one, phase, bool(it)) for one, phase, it in connection.execute(_OWED)),
        tuple(_failing(connection, unread)),
        tuple(_in_use(connection, unread)),
        connection.execute(_RECORDS).scalar() or 0,
        datetime.fromisoformat(json.loads(body)["time"]).timestamp() if body else None,
        tuple(_watched(connection, unread)),
        frozenset(unread),
    )


def _states(
    connection: Connection, query: Any, decoded: Callable[[str], T], unread: set[str]
) -> Iterator[T]:
    for playbook, text in connection.execute(query):
        try:
            yield decoded(text)
        except ValueError:  # of a newer rotator: it knows what this one does not
            unread.add(playbook)


def _failing(connection: Connection, unread: set[str]) -> Iterator[Since]:
    for rotation in _states(connection, _VERIFYING, codec.rotation_of, unread):
        if rotation.tries:
            yield Since(rotation.playbook, rotation.since)
    yield from _watched(connection, unread)


def _watched(connection: Connection, unread: set[str]) -> Iterator[Since]:
    for debt in _states(connection, _WATCHED, codec.debt_of, unread):
        yield Since(debt.playbook, debt.since)


def _in_use(connection: Connection, unread: set[str]) -> Iterator[Since]:
    for debt in _states(connection, _WAITING, codec.debt_of, unread):
        # What was about to end it already is held up by its provider, and stands for a person.
        if not (debt.revoke_intended or debt.deactivate_intended or debt.person):
            yield Since(debt.playbook, _planned(debt))


def _planned(debt: Debt) -> float:
    """When an old key was to be revoked if nobody used it: it does not move while somebody does."""
    policy = debt.plan.policy
    return debt.born + (policy.grace + policy.quiet if debt.cause is Cause.ROTATED else 0.0)
