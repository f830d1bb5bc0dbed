"""Time as the engine sees it; simulation brings its own."""

from __future__ import annotations

import time
from typing import Protocol

from rotator.journal import leases


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds."""

    def boot(self) -> tuple[str, float]:
        """Which boot this is, and its clock: seconds that never jump."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def boot(self) -> tuple[str, float]:
        return leases.boot_id(), leases.boot_clock()

    def wait(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))  # a signal's handler that raises ends it at once
