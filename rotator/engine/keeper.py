"""Taking, renewing and giving back leases. One thread renews all that this process holds."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rotator.counting import span
from rotator.engine.lock import HostLock, lock_for
from rotator.errors import BusyError, JournalError
from rotator.journal import leases
from rotator.journal.journal import Journal
from rotator.journal.leases import Holding, Lease

_RENEW_EVERY = leases.SECONDS / 4
_MARGIN = 2.0  # an answer must be in before the lease ends


@dataclass
class Held:
    lease: Lease
    lock: HostLock
    good_until: float  # monotonic

    def seconds_left(self) -> float:
        """How long a call may still take before the lease could be another's."""
        return self.good_until - time.monotonic() - _MARGIN


class Keeper:
    """The leases of this process."""

    def __init__(
        self, journal: Journal, lock_folder: Path, who: str, renewing: bool = True
    ) -> None:
        self._journal = journal
        self._folder = lock_folder
        self._holder = f"{who}/{os.getpid()}@{socket.gethostname()}"
        self._held: dict[str, Held] = {}
        self._mutex = threading.Lock()
        self._renewing = renewing
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, playbook: str, purpose: str = "rotation") -> Held:
        """The lease of a playbook. Raises BusyError saying who holds it."""
        lock = lock_for(self._folder, playbook)
        free = lock.take()
        try:
            with self._journal.database.write() as connection:
                present = leases.locked(connection, playbook)
                if not present.expired and not (free and present.lock == lock.identity):
                    raise _busy(playbook, present)
                if not free:
                    lock.replace()
                begun = time.monotonic()
                lease = leases.take(
                    connection,
                    playbook,
                    self._holder,
                    lock=lock.identity,
                    purpose=purpose,
                    since=time.time(),
                )
        except BaseException:
            lock.release()
            raise
        held = Held(lease, lock, begun + leases.SECONDS)
        with self._mutex:
            self._held[playbook] = held
        self._start()
        return held

    def holds(self, playbook: str) -> bool:
        """Whether this process works on it."""
        with self._mutex:
            return playbook in self._held

    def give_back(self, held: Held) -> None:
        with self._mutex:
            self._held.pop(held.lease.playbook, None)
        # A call that is still under way, because a person interrupted, sends nothing more
        held.good_until = 0.0
        try:
            with self._journal.database.write() as connection:
                leases.give_back(connection, held.lease)
        finally:
            held.lock.release()

    def _start(self) -> None:
        if self._renewing and self._thread is None:
            self._thread = threading.Thread(
                target=self._renew_all, name="lease keeper", daemon=True
            )
            self._thread.start()

    def _renew_all(self) -> None:
        while not self._wake.wait(_RENEW_EVERY):
            with self._mutex:
                held = [
                    self._held[name] for name in sorted(self._held)
                ]  # as others who renew some of them
            self._renew(held)

    def _renew(self, held: list[Held]) -> None:
        """All in one transaction.

        A failed renewal is not told here: the next fenced write, or the deadline, stops.
        """
        begun = time.monotonic()
        try:
            with self._journal.database.write() as connection:
                renewed = [leases.renew(connection, one.lease) for one in held]
        except JournalError:
            return
        for one, good in zip(held, renewed, strict=True):
            one.good_until = begun + leases.SECONDS if good else 0.0

    def close(self) -> None:
        self._wake.set()
        with self._mutex:
            held = list(self._held.values())
        for one in held:
            with contextlib.suppress(JournalError):  # the lease ends by itself
                self.give_back(one)


def who_works_on(playbook: str, present: Holding) -> str:
    """A sentence to go on with: which process works on this playbook, and on what."""
    rotation = f" ({short(present.rotation)})" if present.rotation else ""
    verb = "is being rotated" if present.purpose == "rotation" else "has a debt that is being paid"
    return f"{playbook} {verb} by {present.holder}{rotation}"


def _busy(playbook: str, present: Holding) -> BusyError:
    since = span(max(0.0, time.time() - present.since))
    return BusyError(
        f"{who_works_on(playbook, present)}, since {since}",
        f"watch it with `rotator show {short(present.rotation) or playbook}`",
        brief=present.purpose == "debt",
    )


def short(rotation: str) -> str:
    """An id as people see it: r- and its last five characters."""
    return f"r-{rotation[-5:].lower()}" if rotation else ""
