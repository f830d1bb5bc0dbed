"""Restarter `process`: signal a process found by its pid file, and see that another one runs afterwards."""

from __future__ import annotations

import os
import signal as signals
import time
from dataclasses import dataclass
from pathlib import Path

from rotator import deadline
from rotator.clients import procfs
from rotator.errors import AccessDenied, NotFound, PermanentError, TransientError
from rotator.model import Change, Evidence, Finding, Instance, Level, Progress
from rotator.plugin import setting

_SLACK = 0.005
_TICKS = 0.05  # /proc counts start times in hundredths of a second: a successor must start clearly after the write


@dataclass(frozen=True, kw_only=True)
class ProcessRestarter:
    """Send a signal to the process in a pid file; it re-executes itself or its supervisor starts another one.

    Restarted means: the pid file names a process that started after the change; with `env`, one whose environment
    holds the key.
    """

    pid_file: str = setting("File with the process id, for instance /run/app.pid", path=True)
    signal: str = setting("HUP, USR2, TERM, …", default="HUP")
    env: str | None = setting(
        "Variable that holds the key in the process's environment, read from /proc as proof", default=None
    )

    def __post_init__(self) -> None:
        _number(self.signal)

    @property
    def name(self) -> str:
        return f"process {Path(self.pid_file).name.removesuffix('.pid')}"

    @property
    def evidence(self) -> Evidence:
        return Evidence.READ if self.env else Evidence.STARTED

    @property
    def keeps_mounts(self) -> bool:
        """A process that re-executes itself sees the files that it saw before; one that ends may be started anew."""
        return _number(self.signal) not in (signals.SIGTERM, signals.SIGKILL, signals.SIGINT, signals.SIGQUIT)

    @property
    def _path(self) -> Path:
        return Path(self.pid_file)

    def preflight(self) -> list[Finding]:
        _number(self.signal)
        if procfs.from_pid_file(self._path) is None:
            return [Finding(Level.ERROR, f"{self.pid_file} names no running process", "start the service first")]
        return []

    def restart(self, change: Change) -> None:
        found = procfs.from_pid_file(self._path)
        if found is None:
            raise NotFound(f"{self.pid_file} names no running process", "is its supervisor running?")
        if self._runs_with_it(found, change):
            return
        if (early := change.since + _TICKS - time.time()) > 0:
            raise TransientError("too soon after the write to tell processes apart", retry_in=early)
        deadline.check()
        try:
            os.kill(found.pid, _number(self.signal))
        except ProcessLookupError:
            return
        except PermissionError as error:
            raise AccessDenied(f"process {found.pid} may not be signalled", "run rotator as its user") from error

    def progress(self, change: Change) -> Progress:
        found = procfs.from_pid_file(self._path)
        if found is None:
            return Progress(1, 0, False, text=f"{self.pid_file} names no running process")
        holds = procfs.variable(found.pid, self.env) if self.env else None
        right = self._runs_with_it(found, change)
        return Progress(1, int(right), right, (Instance(str(found.pid), found.started_at, holds),))

    def _runs_with_it(self, found: procfs.Process, change: Change) -> bool:
        """What was read from its environment decides; where nothing can be read, when it started."""
        holds = procfs.variable(found.pid, self.env) if self.env else None
        if holds is not None and change.credential.values:
            return change.fits(holds)
        return found.started_at > change.since + _SLACK


def _number(name: str) -> signals.Signals:
    try:
        return signals.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError as error:
        raise PermanentError(f"there is no signal {name}", "for instance HUP, USR2 or TERM") from error
