"""By which clock a playbook's times were written: how far the wall clock was from one that never
jumps.

The times in the journal are the wall clock's. When that is set, they no longer compare with what
is read from the world now (when a process started, when a file was written): so they are moved
along. Which boot it was stands beside it, as each boot's clock begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from rotator.journal import tables

_PLAYBOOKS = tables.playbooks.c
_OF = _PLAYBOOKS.name == bindparam("of")
_LOAD = select(_PLAYBOOKS.boot, _PLAYBOOKS.wall_clock).where(_OF)
_SAVE = update(tables.playbooks).where(_OF)
# Seconds. A clock that is corrected slowly takes the boot's clock along (adjtimex(2)): they part
# only where it is set.
_AGREE = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """A boot, and how many seconds the wall clock was ahead of that boot's own clock."""

    boot: str
    ahead: float

    def jumped_since(self, before: Reading | None) -> float:
        """By how many seconds the wall clock was set since `before`.

        0.0 within one second, after another boot, and where nothing is known.
        """
        if before is None or before.boot != self.boot:
            return 0.0
        by = self.ahead - before.ahead
        return by if abs(by) > _AGREE else 0.0

    def follows(self, before: Reading | None) -> bool:
        """Whether it is to be remembered in place of `before`: of another boot, or the first."""
        return before is None or before.boot != self.boot


def load(connection: Connection, playbook: str) -> Reading | None:
    row = connection.execute(_LOAD, {"of": playbook}).first()
    return Reading(row.boot, row.wall_clock) if row is not None and row.boot else None


def save(connection: Connection, playbook: str, reading: Reading) -> None:
    connection.execute(_SAVE, {"of": playbook, "boot": reading.boot, "wall_clock": reading.ahead})
