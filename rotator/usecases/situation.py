"""How it stands with one playbook: all that the journal knows of it, read in one transaction.

A use case reads it once before it takes the playbook's lease, to refuse what makes no sense, and
once under the lease, where nobody else changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from rotator.core.debt_state import DebtPhase
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.engine import retries
from rotator.journal import cases, codec, killed, leases, pauses
from rotator.journal.cases import Case
from rotator.journal.leases import Holding
from rotator.journal.pauses import Pause
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook


@dataclass(frozen=True, slots=True)
class Situation:
    """`playbook` is today's, None where it does not load; the rest is from the journal.

    `row` is the playbook's own row, None where this journal never saw it. `without` is the key in
    force where it was ordered to die and consumers have no other one.
    """

    name: str
    playbook: Playbook | None
    row: Mapping[str, Any] | None
    case: Case
    pause: Pause | None
    holding: Holding | None
    without: Key | None
    retry: float = 0.0  # Unix seconds: it failed, and no timer tries again before that

    @property
    def unfinished(self) -> Rotation | None:
        """The rotation that is under way, or stuck."""
        return self.case.unfinished

    @property
    def can_go_on(self) -> bool:
        """Whether something goes on by the last version of the playbook, whatever today's says."""
        return self.row is not None and bool(self.unfinished or self.case.debts)

    @property
    def urgent(self) -> bool:
        """Whether no pause suspends it: a leak, or a key that was made in vain."""
        if (rotation := self.unfinished) is not None:
            return rotation.compromised or rotation.phase is Phase.SETTLE
        return any(debt.open and debt.urgent for debt in self.case.debts)

    @property
    def waits_for_resume(self) -> bool:
        """Whether something has stopped until a person looks."""
        stuck = self.unfinished is not None and self.unfinished.phase is Phase.STUCK
        stopped = any(debt.open and debt.phase is DebtPhase.HELD for debt in self.case.debts)
        return stuck or stopped or self.without is not None

    def is_due(self, now: float) -> bool:
        """Whether today's schedule, or the end of the key in force, asks for a rotation.

        `now` is in Unix seconds.
        """
        if self.playbook is None or self.retry > now:
            return False
        row = self.row or {"counts_from": None, "renew": None}
        return self.playbook.is_due(row["counts_from"], now, row["renew"])

    @property
    def current(self) -> Key | None:
        """The key in force, as far as the journal knows."""
        row = self.row
        return codec.key_of(row["current_key"]) if row and row["current_key"] else None

    @property
    def counts_from(self) -> float | None:
        """The moment from which the schedule counts, in Unix seconds."""
        return self.row["counts_from"] if self.row is not None else None


def read(
    connection: Connection,
    name: str,
    playbook: Playbook | None,
    now: float,
    standing: Iterable[Pause] | None = None,
) -> Situation:
    """How it stands with the playbook `name` at `now` (Unix seconds).

    `standing` spares reading the pauses again for each of many playbooks. Raises JournalError.
    """
    if standing is None:
        standing = pauses.standing(connection, now)
    pause = pauses.covering(standing, name, playbook.shape.tags if playbook is not None else ())
    without, case = killed.in_force(connection, name), cases.load(connection, name)
    retry = (
        retries.retry_at(connection, name, playbook, now, without is not None, case.rotation)
        if playbook is not None
        else 0.0
    )
    return Situation(
        name,
        playbook,
        cases.playbook_row(connection, name),
        replace(case, paused=pause is not None),
        pause,
        leases.holding(connection, name),
        without,
        retry,
    )


def expected(present: Situation, loaded: Loaded) -> Playbook | None:
    """Today's playbook; None where something goes on by its last version alone.

    Raises ConfigError for a name that was mistyped, and for a playbook that is broken.
    """
    if present.playbook is not None or present.can_go_on:
        return present.playbook
    return loaded.get(present.name)
