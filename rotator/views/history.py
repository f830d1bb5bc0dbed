"""Rotations, under way and over, with who ordered them and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from rotator.audit import chain
from rotator.audit.record import Actor
from rotator.core.debt_state import Debt
from rotator.core.order import Order
from rotator.core.state import Rotation
from rotator.errors import ConfigError
from rotator.journal import cases
from rotator.usecases.service import Service

_ID_LENGTH = 26  # characters of a ULID (github.com/ulid/spec)


@dataclass(frozen=True, slots=True)
class RecordedRotation:
    """A rotation, and what the journal keeps of it besides its state. Times are Unix seconds."""

    rotation: Rotation
    actor: str
    reason: str
    began: float
    ended: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any], rotation: Rotation | None = None) -> RecordedRotation:
        """`rotation`: the state in this row, where it was read already."""
        state = rotation if rotation is not None else cases.state_of(row)
        return cls(state, row["actor"], row["reason"], row["began"], row["ended"])


@dataclass(frozen=True, slots=True)
class RotationDetails:
    """One rotation with its audit records, oldest first, and its old keys, open or not."""

    recorded: RecordedRotation
    records: tuple[Mapping[str, Any], ...]
    old_keys: tuple[Debt, ...]


def history(service: Service, name: str = "", limit: int = 20) -> tuple[RecordedRotation, ...]:
    """The last rotations, newest first; of one playbook, if it is named.

    Raises ConfigError for a name that neither the journal nor a file knows.
    """
    with service.journal.database.read() as connection:
        rows = cases.rotation_rows(connection, name, limit)
        unknown = name and not rows and cases.playbook_row(connection, name) is None
    if unknown:
        service.playbooks().get(name)
    return tuple(RecordedRotation.of(row) for row in rows)


def details(service: Service, which: str) -> RotationDetails:
    """`which`: a rotation's id, its short id (r-…), or a playbook's name for its last one.

    Raises ConfigError where there is none.
    """
    with service.journal.database.read() as connection:
        row = None
        if which.startswith("r-") or len(which) == _ID_LENGTH:
            row = cases.find_rotation(connection, which)
        if row is None:
            row = next(iter(cases.rotation_rows(connection, which, 1)), None)
        if row is None:
            raise ConfigError(f"there is no rotation {which}", "`rotator history` lists them")
        records = tuple(chain.records(connection, row["id"]))
        old_keys = tuple(cases.debts_of(connection, row["id"]))
    return RotationDetails(RecordedRotation.of(row), records, old_keys)


def recorded(service: Service, rotations: Iterable[Rotation]) -> dict[str, RecordedRotation]:
    """Of these rotations, in these states, those that the journal has, by their ids."""
    with service.journal.database.read() as connection:
        found = (recorded_in(connection, rotation) for rotation in rotations)
        return {one.rotation.id: one for one in found if one is not None}


def recorded_in(connection: Connection, rotation: Rotation) -> RecordedRotation | None:
    """This rotation, in this state; None where the journal has it not."""
    row = cases.find_rotation(connection, rotation.id)
    return RecordedRotation.of(row, rotation) if row is not None else None


def undone_by(connection: Connection, recorded: RecordedRotation) -> str:
    """Who undid this rotation: of one that goes back after the pivot, who ordered it."""
    if recorded.rotation.back:
        return recorded.actor
    orders = [  # by another person, where it was handed to the holder of the lease
        one.get("by") or Actor(**one["actor"]).text
        for one in chain.records(connection, recorded.rotation.id)
        if one["event"] == "order" and one["order"] == Order.UNDO
    ]
    return orders[-1] if orders else ""
