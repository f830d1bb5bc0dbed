"""Time as the engine sees it; simulation brings its own."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from rotator.journal import leases


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""

    def boot(self) -> tuple[str, float]:
        """Which boot this is, and its clock: seconds that never jump."""

    def wait(self, seconds: float) -> None:
        """Let time pass; `stop()` of the process may end it early."""


class SystemClock:
    """The machine's clock. Waiting is on a condition, so that a signal ends it at once."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> float:
        return time.time()

    def boot(self) -> tuple[str, float]:
        return leases.boot_id(), leases.boot_clock()

    def wait(self, seconds: float) -> None:
        self._stopped.wait(max(0.0, seconds))

    def stop(self) -> None:
        self._stopped.set()
