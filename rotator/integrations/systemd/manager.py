"""The one door to systemd: systemctl and journalctl of a host.

Source: systemctl(1) (`show`, `restart`, `reload`), journalctl(1).
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rotator.clients import procfs
from rotator.clients.hosts import Host
from rotator.clients.procfs import Missing
from rotator.secret import Secret, last_line

_RECENT = 60.0  # seconds in which a reading of a host's clock is of use
_PARTS = 0.001  # seconds by which clocks of two machines may part in each second
_BOOT = "/proc/uptime /proc/sys/kernel/random/boot_id"  # a line each
_USERS_OWN = 'XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/run/user/$(id -u)}"'
_OWN_LINES = (
    "Main process exited",
    "Failed with result",
    "Started ",
    "Scheduled restart",
    "Stopped ",
    "Starting ",
    "Stopping ",
    "Failed to start ",  # of one that must say when it is ready
    "Consumed ",
)
_SHOWN = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "ActiveEnterTimestampMonotonic",
    "ActiveExitTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "StateChangeTimestampMonotonic",
    "MainPID",
    "CanReload",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as its host shows it.

    Times are Unix seconds by this machine's clock, at the earliest; 0 if never.
    """

    shown: Mapping[str, str]
    active_for: float  # seconds since it became active
    started_at: float  # its main process
    changed_at: float  # its state
    left_at: float  # when it last stopped being active: it ended, or was told to

    @property
    def name(self) -> str:
        return self.shown["Id"]

    @property
    def state(self) -> str:
        return f"{self.shown['ActiveState']}/{self.shown['SubState']}"

    @property
    def pid(self) -> int:
        return int(self.shown.get("MainPID") or 0)

    @property
    def restarts(self) -> int:
        """By systemd itself, since a person last started it."""
        return int(self.shown.get("NRestarts") or 0)


@dataclass(frozen=True, slots=True)
class Manager:
    """systemd of a host: the system's, or the user's own."""

    host: Host
    user: bool = False

    def systemctl(self, *words: str) -> str:
        """The command as it is written in a script."""
        if self.user:  # a daemon or cron has no session that would say where the user's manager is
            return f"{_USERS_OWN} {self.host.command('systemctl', '--user', *words)}"
        return self.host.command("systemctl", *words)

    def units(self, names: Sequence[str]) -> list[Unit]:
        """The units of these names; patterns mean those that are loaded."""
        show = self.systemctl("show", "--no-pager", f"--property={','.join(_SHOWN)}", "--", *names)
        before = _clock()
        told, _, rest = self.host.run(f"cat {_BOOT} && {show}").partition("\n")
        boot, _, blocks = rest.partition("\n")
        uptime = float(told.split()[0])
        which = (self.host.name, self.host.ssh_config or "", boot)
        booted = _BOOTS.at_the_earliest(which, before, before - uptime)
        return list(_units(blocks, uptime, booted + time.time() - _clock()))

    def order(self, action: Literal["restart", "reload"], names: Sequence[str]) -> None:
        """Restart or reload units; the former returns at once."""
        if action == "reload":
            self.host.run(self.systemctl("reload", "--", *names))
            return
        # one that failed too often is not started again before that is forgotten
        forget = self.systemctl("reset-failed", "--", *names)
        self.host.run(f"{forget}; {self.systemctl('restart', '--no-block', '--', *names)}")

    def files(self, unit: str) -> str:
        """Its unit file with all drop-ins."""
        return self.host.run(self.systemctl("cat", "--", unit), check=False)

    def variable(self, pid: int, name: str) -> Secret | Missing:
        """A variable of the environment that a process was started with, or why it is not known."""
        if (found := self.shows(pid, name)) is not None:
            return found
        first = self.host.run(
            f"{self._environment(pid)} | tr '\\0' '\\n' | sed -e 's/=.*/=/' -e 1q", check=False
        )  # a name alone
        return procfs.missing(first.encode()) if first else Missing.UNREADABLE

    def shows(self, pid: int, name: str) -> Secret | None:
        """As `variable`, without a reason where it is not known."""
        told = self.host.run(
            f"{self._environment(pid)} | tr '\\0' '\\n' | grep -e {shlex.quote(f'^{name}=')}",
            check=False,
        )
        return Secret(told.strip("\n").partition("=")[2]) if told.strip() else None

    def _environment(self, pid: int) -> str:
        return f"{self.host.command('cat', f'/proc/{pid}/environ')} 2>/dev/null"

    def last_words(self, unit: str) -> str:
        """The last line of its journal, redacted; '' where we may not read it."""
        mine = ["--user"] if self.user else []
        command = self.host.command(
            "journalctl", *mine, "-q", "-o", "cat", "--no-pager", "-n", "20", "-u", unit
        )
        lines = self.host.run(command, check=False).splitlines()
        return last_line(line for line in lines if not _by_systemd(line))

    def __str__(self) -> str:
        return str(self.host)


def _clock() -> float:
    """Seconds by this machine's clock that nobody sets."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Boots:
    """When hosts booted, at the earliest, by this machine's clock that nobody sets.

    A boot lies at `before - uptime` or later, where `before` was read first: whatever time passes
    until the host reads its own makes its processes look older than they are, and one that has
    just started look as if it held the old key. So the latest of some readings is nearest. They
    are of one boot: behind a name another machine may answer by now, and by that one's boot a
    process would look younger than the key that it still holds.
    """

    def __init__(self) -> None:
        self._readings: dict[tuple[str, ...], list[tuple[float, float]]] = {}
        self._mutex = threading.Lock()

    def at_the_earliest(self, which: tuple[str, ...], now: float, booted: float) -> float:
        """With this reading of a host's boot, taken at `now`, and those of the last minute."""
        with self._mutex:
            kept = [one for one in self._readings.get(which, ()) if now - one[0] < _RECENT]
            self._readings[which] = kept = [*kept, (now, booted)]
        return max(found - (now - at) * _PARTS for at, found in kept)


_BOOTS = _Boots()


def _units(text: str, uptime: float, booted: float) -> Iterator[Unit]:
    """`booted` is in Unix seconds."""
    for block in text.strip().split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" not in shown:
            continue
        active, *times = (
            int(shown.get(f"{name}TimestampMonotonic") or 0) / 1e6
            for name in ("ActiveEnter", "ExecMainStart", "StateChange", "ActiveExit")
        )
        yield Unit(
            shown,
            max(0.0, uptime - active) if active else 0.0,
            *(booted + at if at else 0.0 for at in times),
        )


def _by_systemd(line: str) -> bool:
    """Systemd's own lines in a unit's journal say what its properties say."""
    return any(words in line for words in _OWN_LINES)
