"""What is measured of a journal, in a few queries, however many playbooks there are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from rotator.journal import tables

_PLAYBOOKS, _ROTATIONS, _DEBTS = tables.playbooks.c, tables.rotations.c, tables.debts.c
_KEYS = select(
    _PLAYBOOKS.name,
    _PLAYBOOKS.last_success,
    _PLAYBOOKS.counts_from,
    _PLAYBOOKS.due,
    _PLAYBOOKS.ends,
    _PLAYBOOKS.renew,
)
_RUNNING = select(_ROTATIONS.playbook, _ROTATIONS.phase, _ROTATIONS.attention).where(tables.ACTIVE)
_OWED = select(_DEBTS.playbook, _DEBTS.phase, _DEBTS.attention).where(tables.OPEN)
_RECORDS = select(func.max(tables.audit.c.n))
_CHECKPOINT = select(tables.checkpoints.c.body).order_by(tables.checkpoints.c.n.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """Of the key of one playbook, in Unix seconds; None where it is not known."""

    playbook: str
    last_success: float | None
    counts_from: float | None
    due: float | None
    ends: float | None
    renew: float | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A rotation that is under way, or an old key (a debt)."""

    playbook: str
    phase: str
    attention: bool


@dataclass(frozen=True, slots=True)
class Measures:
    """`records` are those of the audit log; `signed_at` is when the last checkpoint was made."""

    keys: tuple[KeyTimes, ...]
    running: tuple[Unfinished, ...]
    owed: tuple[Unfinished, ...]
    records: int
    signed_at: float | None


def read(connection: Connection) -> Measures:
    """Raises JournalError."""
    body = connection.execute(_CHECKPOINT).scalar()
    return Measures(
        tuple(KeyTimes(*row) for row in connection.execute(_KEYS)),
        tuple(Unfinished(one, phase, bool(it)) for one, phase, it in connection.execute(_RUNNING)),
        tuple(Unfinished(one, phase, bool(it)) for one, phase, it in connection.execute(_OWED)),
        connection.execute(_RECORDS).scalar() or 0,
        datetime.fromisoformat(json.loads(body)["time"]).timestamp() if body else None,
    )
