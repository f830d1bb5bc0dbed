"""What is due: asked of the journal in a few queries, however many playbooks there are.

A due time stands beside each playbook's last success. It is reckoned anew after a success, and
where the playbook has another schedule by now; that is looked at once for each set of playbooks
that is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from sqlalchemy import Connection

from rotator.core.state import CLOCKS_AGREE
from rotator.engine import retries
from rotator.journal import due as due_times
from rotator.journal import moments, strays, unfinished
from rotator.journal.journal import Journal
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.schedules.retries import LONGEST
from rotator.schedules.rules import EARLIEST, FOREVER

RECONCILE_EVERY = 86_400.0  # seconds


@dataclass
class Agenda:
    """Of one process: which playbooks it has seen in the journal."""

    journal: Journal
    _seen: Loaded | None = None
    _latest: float = 0.0  # Unix seconds: when it was asked last
    # With a schedule, and not in the journal: from when on a timer begins each (Unix seconds)
    _never: dict[str, float] = field(default_factory=dict)

    def earliest(self) -> float | None:
        """When anything is to be done next (Unix seconds), as far as `due` has seen the playbooks;
        None where nothing ever is. Raises JournalError.
        """
        with self.journal.database.read() as connection:
            known = moments.earliest(connection)
        new = min(self._never.values(), default=None)
        return min((at for at in (known, new) if at is not None), default=None)

    def due(self, loaded: Loaded, now: float, exactly: bool = False) -> set[str]:
        """Playbooks that a timer begins or carries on now; `exactly`: none of them before its
        moment, as who asks comes at each. Raises JournalError.
        """
        if now < self._latest - CLOCKS_AGREE:
            self._seen = None  # the clock was set back: what was put off by it is looked at anew
        self._latest = now
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
            for name in due_times.begun(connection, self._never):
                del self._never[name]
            put_off = []
            for row in due_times.before(connection, now if exactly else now + EARLIEST):
                playbook = loaded.playbooks.get(row.name)
                if playbook is None:
                    continue
                again = _reckoned(playbook, row, now)
                if playbook.is_due(row.counts_from, now, row.renew, exactly):
                    retry = retries.retry_at(connection, row.name, playbook, now)
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
        return names | self._new(loaded, now)

    def _new(self, loaded: Loaded, now: float) -> set[str]:
        """Of those that were never begun, those that a timer begins now."""
        found = {name for name, begins in self._never.items() if begins <= now}
        for name in list(found):  # its window may have closed since that was reckoned
            self._never[name] = _begins(loaded.playbooks[name], None, now, None)
            found -= set() if self._never[name] <= now else {name}
        return found

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
                name: _begins(book, None, now, None)
                for name, book in books
                if book.shape.schedule is not None and name not in known
            }
            self._seen = loaded
        found = []
        for row in rows:
            playbook = loaded.playbooks.get(row.name)
            if playbook is None or (row.due is not None and _stands(row, playbook, now)):
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


def _stands(row: due_times.Known, playbook: Playbook, now: float) -> bool:
    """Whether its due time was reckoned with the playbook as it is, and by this clock."""
    if row.schedule == playbook.when:
        return True
    soon = row.due is not None and row.due <= now + LONGEST
    held = row.due is not None and row.due >= FOREVER
    return (soon or held) and retries.is_after_failure(row.schedule or "", playbook)


def _reckoned(playbook: Playbook, row: due_times.Known, now: float) -> due_times.Reckoned:
    """From when on a timer may begin it."""
    begins = _begins(playbook, row.counts_from, now, row.renew)
    return due_times.Reckoned(row.name, playbook.when, begins)


def _begins(
    playbook: Playbook, counts_from: float | None, now: float, renew: float | None
) -> float:
    due = playbook.due(counts_from, now, renew)
    return FOREVER if due is None else due.begins
