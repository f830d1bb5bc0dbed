"""The loop: it wakes when anything is due, begins what is due, and ends in order.

Correctness never rests on it: leases and the journal decide, as for `rotate --due`. So any number
of daemons, timers and commands work side by side.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rotator import deadline
from rotator.daemon.log import Log
from rotator.daemon.reloads import Reload, Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.engine.fleet import REPORT_EVERY
from rotator.engine.pool import Pool
from rotator.engine.stopping import PATIENCE, Stopping
from rotator.errors import BusyError, LeaseLost, RotatorError
from rotator.journal.failures import JournalAway
from rotator.playbook.directory import Loaded
from rotator.usecases import due
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.rotate import THREADS, groups, rotating
from rotator.usecases.runtime import Runtime

LOOK = 1.0  # seconds between two looks whether anything is due, or was changed by others
LONGEST = 60.0  # seconds without a tick at most, whatever nothing says
_CUT = 3.0  # and in which what was cut is written down
_BUSY = 1.0  # seconds until a playbook is asked for again on which another process works
_FIRST, _MOST = 60.0, 3600.0  # seconds until it is tried again after an error without a rotation
_JOURNAL = 15.0  # seconds between two tries at most while the journal cannot be had
_SHARE = 50  # looks at what stands due and does not begin take a fiftieth of the time at most
_RECONCILE = 300.0  # seconds between two looks for playbooks that are looked through once a day


@dataclass
class _Wait:
    """Why a playbook is not begun again at once: an error that no rotation tells of."""

    until: float  # monotonic
    times: int = 0


class Loop:
    """One process's work. `run` and `pause` are for the thread that runs it, `stop` ends it."""

    def __init__(
        self, runtime: Runtime, reloads: Reloads, log: Log, supervisor: Supervisor
    ) -> None:
        self.runtime, self.reloads, self.log = runtime, reloads, log
        self._supervisor = supervisor
        self.pool = Pool(runtime.clock, THREADS)
        self.turned = time.monotonic()  # when the loop last went round
        self.ticked: float | None = None  # Unix seconds: the last tick that was good
        self.tick_error = ""  # why the last one was not
        self._under_way: set[str] = set()
        self._waits: dict[str, _Wait] = {}
        self._lock = threading.Lock()  # of these two: works end in other threads
        # Filled by signals, too: no lock that the loop may hold just then stands in their way
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asked = False  # to read all again
        self._stopped = 0.0  # monotonic: when it was told to stop
        self._unread = self._unexported = ""  # what was told of files, and of the audit log
        self._next_tick = self._next_look = self._next_reconcile = 0.0  # monotonic
        self._next_report = 0.0  # monotonic, too
        self._told_of: Loaded | None = None  # the playbooks that this node said it has read
        self._tries = 0

    # --- from other threads, and from signals ---
    def stop(self) -> None:
        """Nothing new is begun; `run` returns once what is in hand has ended."""
        self._stopped = time.monotonic()
        self.runtime.stopping.set()
        self._wake.put(None)

    def read_again(self) -> None:
        """As a signal asks for it: at the next turn."""
        self._asked = True
        self._wake.put(None)

    def reload(self) -> Reload:
        """Read all again, now; whether it is good stands in the answer."""
        self.reloads.again()
        self._reloaded()
        self._next_tick = 0.0
        self._wake.put(None)
        return self.reloads.last

    @property
    def under_way(self) -> int:
        """How many playbooks are worked on."""
        return len(self._under_way)

    # --- the thread that runs it ---
    def run(self) -> None:
        """Until `stop`."""
        threading.Thread(target=self.pool.run, name="pool", daemon=True).start()
        self._reloaded()
        while not self.runtime.stopping.is_set():
            self.turned = time.monotonic()
            self._look_at_files()
            self._tick_if_due()
            self._tell_of_export()
            self._supervisor.alive(self._status())
            self.pause()
        self._drain()
        if self._told_of is not None:
            with contextlib.suppress(RotatorError):  # the others find out by themselves
                self.runtime.fleet.leave()

    def pause(self) -> None:
        """Until something asks for it, a second at most."""
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=LOOK)

    def _look_at_files(self) -> None:
        asked, self._asked = self._asked, False
        tells = asked and self.ticked is not None
        if tells:
            self._supervisor.reloading()
        try:
            if asked:
                self.reload()
            elif self.reloads.look():
                self._reloaded()
                self._next_tick = 0.0
        except Exception as error:  # what was read last holds on
            words, hint = _in_words(error)
            if words != self._unread:
                self.log.error("files were not read again", error=words, hint=hint)
            self._unread = words
        else:
            self._unread = ""
        if tells:
            self._supervisor.ready(self._status())

    def _tick_if_due(self) -> None:
        try:
            if time.monotonic() >= self._next_tick or self._is_due():
                begun = time.monotonic()
                self._next_tick = begun + LONGEST  # first: a reload meanwhile asks for another one
                begins = self._tick()
                took = 0.0 if begins else time.monotonic() - begun
                self._next_look = time.monotonic() + took * _SHARE
                self._ticked()
            elif time.monotonic() >= self._next_report and not self.tick_error:
                self._report()
        except Exception as error:
            words, hint = _in_words(error)
            if words != self.tick_error:
                self.log.error("no look at what is due", error=words, hint=hint)
            self.tick_error = words
            self._tries += 1
            self._next_tick = time.monotonic() + min(2.0**self._tries, _JOURNAL)

    def _ticked(self) -> None:
        was, self.tick_error, self._tries = self.tick_error, "", 0
        if was:
            self.log.info("it looks again what is due", after=was)
            with self._lock:
                self._waits.clear()  # works failed for the same cause
        if self.ticked is None:
            self._supervisor.ready(self._status())
        self.ticked = self.runtime.clock.now()

    def _is_due(self) -> bool:
        if self.tick_error or time.monotonic() < self._next_look:
            return False
        now = self.runtime.clock.now()
        at = self.runtime.agenda.earliest()
        return at is not None and at <= now

    def _tick(self) -> bool:
        """Begin what is due now; whether anything was. Raises JournalError."""
        runtime, loaded = self.runtime, self.reloads.last.loaded
        runtime.keeper  # noqa: B018  (opened once, before the threads)
        runtime.journal.database.must_be_known()
        due.ticked(runtime)
        if loaded is not self._told_of or time.monotonic() >= self._next_report:
            self._report()  # before anything is begun: others must know of this node
        request = Request(only_if_due=True)
        begun = self._free(due.names_due(runtime, loaded, exactly=True), loaded)
        for name, group in begun:
            work = rotating(runtime, name, request, loaded)
            self.pool.add(work, group, self._reported, partial(self._failed, name))
        if time.monotonic() < self._next_reconcile:
            return bool(begun)
        self._next_reconcile = time.monotonic() + _RECONCILE
        looked = self._free(due.to_reconcile(runtime, loaded), loaded)
        for name, group in looked:
            looking = due.reconciling(runtime, name, loaded)
            self.pool.add(looking, group, partial(self._looked, name), partial(self._failed, name))
        return bool(begun or looked)

    def _report(self) -> None:
        """That this node is alive, and what it has read. Raises JournalError."""
        loaded = self.reloads.last.loaded
        self.runtime.fleet.report(loaded, self.runtime.clock.now())
        self._told_of, self._next_report = loaded, time.monotonic() + REPORT_EVERY

    def _free(self, wanted: Iterable[str], loaded: Loaded) -> list[tuple[str, str]]:
        """Those that may be begun, under way from here on, each with its group."""
        names = [name for name in sorted(wanted) if self._may_begin(name)]
        found = list(zip(names, groups(names, loaded), strict=True))
        with self._lock:
            self._under_way.update(names)
        return found

    def _may_begin(self, name: str) -> bool:
        with self._lock:
            wait = self._waits.get(name)
            waits = wait is not None and wait.until > time.monotonic()
            return name not in self._under_way and not waits

    # --- the threads of the pool ---
    def _reported(self, report: Report) -> None:
        error = report.error
        if error is None:
            self._over(report.playbook)
        elif isinstance(error, BusyError | LeaseLost | Stopping | JournalAway):
            # Of a database that is away, the loop tells.
            self._over(report.playbook, _BUSY)
        else:
            self._failed(report.playbook, error)

    def _looked(self, name: str, _: None) -> None:
        self._over(name)

    def _failed(self, name: str, error: BaseException) -> None:
        """Told each time that it is tried, so that it is never silent."""
        wait = self._over(name, _FIRST)
        told = f"tried again in {wait:.0f} s"
        words, hint = _in_words(error)
        self.log.error(words, playbook=name, hint=hint, then=told)

    def _over(self, name: str, wait: float = 0.0) -> float:
        """It may be begun again after so many seconds, more each time in a row; how many."""
        with self._lock:
            self._under_way.discard(name)
            if not wait:
                self._waits.pop(name, None)
                return 0.0
            before = self._waits.get(name)
            times = before.times if before and wait == _FIRST else 0
            seconds = min(wait * 2.0**times, _MOST)
            again = times + 1 if wait == _FIRST else times
            self._waits[name] = _Wait(time.monotonic() + seconds, again)
            return seconds

    # --- what it tells, and how it ends ---
    def _reloaded(self) -> None:
        now = self.reloads.last
        with self._lock:
            self._waits.clear()
        told = {"playbooks": len(now.loaded.playbooks)}
        if now.good:
            self.log.info("playbooks read", **told)
        for mistake in now.mistakes:
            self.log.error(mistake.text, place=mistake.place, hint=mistake.hint)
        if now.of_settings:
            self.log.error(now.of_settings, hint=now.hint)
        if now.restart:
            names = ", ".join(now.restart)
            self.log.warning(f"settings were changed that hold from the next start: {names}")

    def _status(self) -> str:
        playbooks, mistakes = len(self.reloads.last.loaded.playbooks), self.reloads.last.mistakes
        words = f"{playbooks} playbooks, {self.under_way} under way"
        if mistakes:
            words += f", {len(mistakes)} mistakes"
        return f"{words}; {self.tick_error}" if self.tick_error else words

    def _tell_of_export(self) -> None:
        """Each new reason why the command of `audit_export` does not take the audit log."""
        why = self.runtime.not_exported
        if why and why != self._unexported:
            self.log.error("the audit log was not taken outside", error=why)
        self._unexported = why

    def _drain(self) -> None:
        """What is in hand ends; what does not in time is cut, and its outcome is not known."""
        self._supervisor.stopping("stopping", PATIENCE + _CUT + 2)
        self.pool.close()
        if self.pool.drained(self._stopped + PATIENCE - time.monotonic()):
            return
        self.log.warning(
            "calls that did not end in time are cut: the next holder looks what became of them",
            under_way=self.under_way,
        )
        deadline.cut()
        self.pool.drained(_CUT)


def _in_words(error: BaseException) -> tuple[str, str]:
    """What is told of it, and what to do."""
    if isinstance(error, RotatorError):
        return error.message, error.hint
    at = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({Path(one.filename).name}:{one.lineno})" for one in at)
    return f"internal: {type(error).__name__}: {error}{where}", "please report it"
