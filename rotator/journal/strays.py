"""Keys that a process made after it had lost its lease."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, String, bindparam, insert, select, update

from rotator.core.plan import Key
from rotator.journal import tables

_STRAYS = tables.strays
# Built once: building a statement costs more than SQLite takes to run it.
_OPEN = select(_STRAYS).where(
    (_STRAYS.c.playbook == bindparam("of", type_=String)) & ~_STRAYS.c.settled
)


@dataclass(frozen=True, slots=True)
class Stray:
    """A key that a process made after it had lost its lease."""

    n: int
    key: Key


def add(connection: Connection, playbook: str, rotation: str, key: Key, at: float) -> None:
    """Unfenced on purpose: a process that lost its lease says what it made, so that it is found."""
    connection.execute(
        insert(_STRAYS).values(
            playbook=playbook,
            rotation=rotation,
            key_id=key.id,
            fingerprint=key.fingerprint,
            hint=key.hint,
            at=at,
            settled=False,
        )
    )


def unsettled(connection: Connection, playbook: str) -> list[Stray]:
    found = connection.execute(_OPEN, {"of": playbook}).mappings()
    return [Stray(row["n"], Key(row["key_id"], row["fingerprint"], row["hint"])) for row in found]


def playbooks(connection: Connection) -> set[str]:
    query = select(_STRAYS.c.playbook).where(~_STRAYS.c.settled)
    return {row[0] for row in connection.execute(query)}


def settle(connection: Connection, number: int) -> None:
    connection.execute(update(_STRAYS).where(_STRAYS.c.n == number).values(settled=True))
