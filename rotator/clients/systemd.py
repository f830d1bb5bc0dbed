"""The one door to systemd: systemctl and journalctl, on this machine or by ssh with the user's own configuration."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rotator.clients import programs
from rotator.errors import AccessDenied, OutcomeUnknown, PermanentError, TransientError
from rotator.plugin import setting
from rotator.secret import Secret, redact

_TIMEOUT = 30.0
_UNREACHED = 255  # ssh's own exit status
_DENIED = ("authentication required", "Access denied", "a password is required")  # polkit, D-Bus, sudo
_OWN_LINES = ("Main process exited", "Failed with result", "Started ", "Scheduled restart", "Stopped ", "Starting ")
_SHOWN = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "ActiveEnterTimestampMonotonic",
    "ExecMainStartTimestampMonotonic",
    "MainPID",
    "CanReload",
)


@dataclass(frozen=True, kw_only=True)
class HostConnection:
    """The settings of every plugin that works on hosts."""

    host: str | list[str] | None = setting(
        "Hosts as ssh knows them, one after the other; without any, this machine", default=None, connection=True
    )
    ssh_config: str | None = setting("Configuration file of ssh; else the user's own", default=None, connection=True)
    sudo: bool = setting("Ask for it by `sudo -n`", default=False, connection=True)

    @property
    def hosts(self) -> list[Host]:
        names = [self.host] if isinstance(self.host, str) else self.host or [""]
        return [Host(name, self.ssh_config, self.sudo) for name in names]


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as its host shows it. `started_at`: Unix seconds by this machine's clock, at the earliest; 0 if never."""

    shown: Mapping[str, str]
    active_for: float  # seconds since it became active
    started_at: float

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
class Host:
    """A machine, '' this one."""

    name: str = ""
    ssh_config: str | None = None
    sudo: bool = False

    def run(self, script: str, *, check: bool = True) -> str:
        """What a shell says there. Raises TransientError (not reached), AccessDenied, PermanentError (it failed)."""
        argv = self._argv(script)
        try:
            ended = programs.run(argv, timeout=_TIMEOUT)
        except OutcomeUnknown as error:
            raise TransientError(f"{self} did not answer: {error.message}") from error
        if self.name and ended.code == _UNREACHED:
            raise _unreached(self, ended.words)
        if any(words in ended.err for words in _DENIED):
            hint = "run rotator as root there, or `sudo: true` with a rule in sudoers, or a polkit rule"
            raise AccessDenied(f"{self}: {ended.words}", hint)
        if check and ended.code != 0:
            raise PermanentError(f"{self}: {ended.words}")
        return ended.out

    def _argv(self, script: str) -> list[str]:
        if not self.name:
            return ["sh", "-c", script]
        config = ["-F", self.ssh_config] if self.ssh_config else []
        return ["ssh", *config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "--", self.name, script]

    def systemctl(self, user: bool, *words: str) -> str:
        """The command as it is written in a script."""
        command = [*(["sudo", "-n"] if self.sudo else []), "systemctl", *(["--user"] if user else []), *words]
        return shlex.join(command)

    def units(self, names: Sequence[str], user: bool) -> list[Unit]:
        """The units of these names; patterns mean those that are loaded."""
        show = self.systemctl(user, "show", "--no-pager", f"--property={','.join(_SHOWN)}", "--", *names)
        before = time.time()
        told = self.run(f"{show} && echo && echo uptime && cat /proc/uptime")
        blocks, _, uptime = told.rpartition("uptime\n")
        return list(_units(blocks, float(uptime.split()[0]), before))

    def files(self, unit: str, user: bool) -> str:
        """Its unit file with all drop-ins."""
        return self.run(self.systemctl(user, "cat", "--", unit), check=False)

    def variable(self, pid: int, name: str) -> Secret | None:
        """A variable of a process's environment, None where it has none, or we may not look."""
        sudo = "sudo -n " if self.sudo else ""
        script = f"{sudo}cat /proc/{pid}/environ 2>/dev/null | tr '\\0' '\\n' | grep -e {shlex.quote(f'^{name}=')}"
        told = self.run(script, check=False)
        return Secret(told.strip("\n").partition("=")[2]) if told.strip() else None

    def last_words(self, unit: str, user: bool) -> str:
        """The last line of its journal, redacted; '' where we may not read it."""
        sudo, mine = ("sudo -n " if self.sudo else ""), ("--user " if user else "")
        told = self.run(f"{sudo}journalctl {mine}-q -o cat --no-pager -n 20 -u {shlex.quote(unit)}", check=False)
        lines = [line.strip() for line in told.splitlines() if line.strip() and not _by_systemd(line)]
        return redact(lines[-1])[:300] if lines else ""

    def __str__(self) -> str:
        return self.name or "this machine"


def _units(text: str, uptime: float, before: float) -> Iterator[Unit]:
    for block in text.strip().split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" not in shown:
            continue
        active = int(shown.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        started = int(shown.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
        yield Unit(shown, uptime - active if active else 0.0, before - (uptime - started) if started else 0.0)


def _by_systemd(line: str) -> bool:
    """Systemd's own lines in a unit's journal say what its properties say."""
    return any(words in line for words in _OWN_LINES)


def _unreached(host: Host, words: str) -> AccessDenied | TransientError:
    if "Permission denied" in words or "Host key verification failed" in words:
        return AccessDenied(
            f"{host}: {words}", f"`ssh {host.name} true` must work as rotator's user, without a question"
        )
    return TransientError(f"{host} is not reached: {words}", f"ssh {host.name} true")
