"""Restarter `process`: signal a process found by its pid file, and see that another one runs afterwards."""

from __future__ import annotations

import os
import signal as signals
from dataclasses import dataclass
from pathlib import Path

from rotator import deadline
from rotator.clients import procfs
from rotator.errors import AccessDenied, NotFound, PermanentError
from rotator.model import Change, Evidence, Finding, Instance, Level, Progress
from rotator.plugin import setting

_SLACK = 0.02  # /proc counts in hundredths of a second


@dataclass(frozen=True, kw_only=True)
class ProcessRestarter:
    """Send a signal to the process in a pid file; it re-executes itself or its supervisor starts another one.

    Restarted means: the pid file names a process that started after the change. With `env` its environment is read, too.
    """

    pid_file: str = setting("File with the process id, for instance /run/app.pid")
    signal: str = setting("HUP, USR2, TERM, …", default="HUP")
    env: str | None = setting("Variable that holds the key in the process's environment, read from /proc as proof",
                              default=None)

    @property
    def name(self) -> str:
        return f"process {Path(self.pid_file).name.removesuffix('.pid')}"

    @property
    def evidence(self) -> Evidence:
        return Evidence.READ if self.env else Evidence.STARTED

    @property
    def _path(self) -> Path:
        return Path(self.pid_file).expanduser()

    def preflight(self) -> list[Finding]:
        _number(self.signal)
        if procfs.from_pid_file(self._path) is None:
            return [Finding(Level.ERROR, f"{self.pid_file} names no running process", "start the service first")]
        return []

    def restart(self, change: Change) -> None:
        found = procfs.from_pid_file(self._path)
        if found is None:
            raise NotFound(f"{self.pid_file} names no running process", "is its supervisor running?")
        if found.started_at > change.since + _SLACK:
            return
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
        fresh = found.started_at > change.since + _SLACK
        holds = procfs.variable(found.pid, self.env) if self.env else None
        instance = Instance(str(found.pid), found.started_at, holds)
        right = fresh and (holds is None or holds == change.credential.primary)
        return Progress(1, int(right), right, (instance,))


def _number(name: str) -> signals.Signals:
    try:
        return signals.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError as error:
        raise PermanentError(f"there is no signal {name}", "for instance HUP, USR2 or TERM") from error
