"""What is due: asked of the journal in a few queries, however many playbooks there are.

A due time stands beside each playbook's last success. It is reckoned anew after a success, and
where the playbook has another schedule by now; that is looked at once for each set of playbooks
that is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from rotator.engine import retries
from rotator.journal import due as due_times
from rotator.journal import strays, unfinished
from rotator.journal.journal import Journal
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import EARLIEST, FOREVER

RECONCILE_EVERY = 86_400.0  # seconds


@dataclass
class Agenda:
    """Of one process: which playbooks it has seen in the journal."""

    journal: Journal
    _seen: Loaded | None = None
    _never: set[str] = field(
        default_factory=set
    )  # with a schedule, and not in the journal: due at once

    def due(self, loaded: Loaded, now: float) -> set[str]:
        """Playbooks that a timer begins or carries on now. Raises JournalError."""
        with self.journal.database.read() as connection:
            unreckoned = self._unreckoned(connection, loaded, now)
        if unreckoned:
            with self.journal.database.write() as connection:
                due_times.reckon(connection, unreckoned)
        with self.journal.database.read() as connection:
            names = {
                *unfinished.that_can_act(connection, now),
                *strays.playbooks(connection),
            }
            self._never -= due_times.begun(connection, self._never)
            put_off = []
            for row in due_times.before(connection, now + EARLIEST):
                playbook = loaded.playbooks.get(row.name)
                if playbook is None:
                    continue
                again = _reckoned(playbook, row, now)
                if playbook.is_due(row.counts_from, now, row.renew):
                    retry = retries.retry_at(connection, row.name, playbook)
                    if retry <= now:
                        names.add(row.name)
                        continue
                    text = retries.after_failure(playbook)
                    again = replace(_reckoned(playbook, row, retry), schedule=text)
                if (again.due, again.schedule) != (row.due, row.schedule):
                    put_off.append(again)  # its window closed before any timer came, or it failed
        if put_off:
            with self.journal.database.write() as connection:
                due_times.reckon(connection, put_off)
        never = {name for name in self._never if loaded.playbooks[name].is_due(None, now)}
        return names | never

    def _unreckoned(
        self, connection: Connection, loaded: Loaded, now: float
    ) -> list[due_times.Reckoned]:
        """What is to be reckoned: of all playbooks once, then of those alone that
        succeeded since.
        """
        first = loaded is not self._seen
        rows = due_times.known(connection, all_of_them=first)
        if first:
            known = {row.name for row in rows}
            books = loaded.playbooks.items()
            self._never = {
                name
                for name, book in books
                if book.shape.schedule is not None and name not in known
            }
            self._seen = loaded
        found = []
        for row in rows:
            playbook = loaded.playbooks.get(row.name)
            if playbook is None or (row.due is not None and _stands(row, playbook)):
                continue
            found.append(_reckoned(playbook, row, now))
        return found

    def to_reconcile(self, loaded: Loaded, now: float) -> list[str]:
        """Playbooks of which strays are looked for: each once a day."""
        with self.journal.database.read() as connection:
            found = due_times.not_reconciled(connection, now - RECONCILE_EVERY)
        return sorted(found & loaded.playbooks.keys())

    def reconciled(self, name: str, now: float) -> None:
        with self.journal.database.write() as connection:
            due_times.reconciled(connection, name, now)


def _stands(row: due_times.Known, playbook: Playbook) -> bool:
    """Whether its due time was reckoned with the playbook as it is."""
    return row.schedule == playbook.when or row.schedule == retries.after_failure(playbook)


def _reckoned(playbook: Playbook, row: due_times.Known, now: float) -> due_times.Reckoned:
    """From when on a timer may begin it."""
    due = playbook.due(row.counts_from, now, row.renew)
    return due_times.Reckoned(row.name, playbook.when, FOREVER if due is None else due.begins)
