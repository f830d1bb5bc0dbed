"""What systemd is told of a service (sd_notify(3)); nothing where no supervisor listens."""

from __future__ import annotations

import contextlib
import os
import socket
import time

_PATIENCE = 0.5  # seconds that it may be busy: the loop must turn


class Supervisor:
    """The datagram socket that `Type=notify` names in the environment.

    What names it is taken out of the environment, so that no program we start speaks for us.
    """

    def __init__(self) -> None:
        place = os.environ.pop("NOTIFY_SOCKET", "")
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        for name in ("WATCHDOG_PID", "WATCHDOG_USEC"):  # a sign of life is given at each turn
            os.environ.pop(name, None)

    def tell(self, *lines: str) -> None:
        if not self._place:
            return
        with (
            contextlib.suppress(OSError),  # it has gone: nobody is left to be told
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
        ):
            sender.settimeout(_PATIENCE)
            sender.sendto("\n".join(lines).encode(), self._place)

    def reloading(self) -> None:
        """`ready` must follow."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def ready(self, status: str) -> None:
        self.tell("READY=1", f"STATUS={status}")

    def stopping(self, status: str, seconds: float) -> None:
        """It takes up to so long, counted from now."""
        self.tell("STOPPING=1", f"STATUS={status}", f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def alive(self, status: str) -> None:
        self.tell("WATCHDOG=1", f"STATUS={status}")
