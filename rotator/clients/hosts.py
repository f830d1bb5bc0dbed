"""The one door to hosts: a shell, on this machine or by ssh with the user's own configuration.

Source: ssh(1), ssh_config(5) (BatchMode, ConnectTimeout).
"""

from __future__ import annotations

import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator import plain
from rotator.clients import programs
from rotator.errors import (
    AccessDenied,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
)
from rotator.plugin import setting
from rotator.secret import Secret, last_line, redact

_TIMEOUT = 30.0
UNREACHED = 255  # ssh's own exit status
_NEVER_BEGAN = ("ssh: connect to host", "ssh: Could not resolve hostname")
_DENIED = (
    "authentication required",
    "Access denied",
    "a password is required",
)  # polkit, D-Bus, sudo

_NO_NEW_PRIVILEGES = (  # sudo, under a unit's or container's NoNewPrivileges
    '"no new privileges" flag'
)


def ssh_config_file() -> Any:
    """The setting of every plugin that reaches hosts."""
    return setting(
        "Configuration file of ssh; else the user's own",
        default=None,
        connection=True,
        path=True,
        runs=True,
    )


@dataclass(frozen=True, kw_only=True)
class HostsConnection:
    """The settings of every plugin that works on hosts."""

    host: str | list[str] | None = setting(
        "Hosts as ssh knows them, one after the other; without any, this machine",
        default=None,
        connection=True,
    )
    ssh_config: str | None = ssh_config_file()
    sudo: bool = setting("Ask for it by `sudo -n`", default=False, connection=True)

    @property
    def local(self) -> bool:
        return not self.host

    @property
    def hosts(self) -> list[Host]:
        names = [self.host] if isinstance(self.host, str) else self.host or [""]
        return [Host(name, self.ssh_config, self.sudo) for name in names]


def this_machine() -> str:
    """What tells this machine, or container, from others. Another one after each boot."""
    try:
        boot = plain.text(Path("/proc/sys/kernel/random/boot_id")).strip()
    except (OSError, PermanentError):
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, '' this one."""

    name: str = ""
    ssh_config: str | None = None
    sudo: bool = False

    @property
    def told_apart(self) -> str:
        """What tells it from others: a name means what a configuration of ssh says."""
        if not self.name:
            return this_machine()
        return f"{self.name} by {self.ssh_config}" if self.ssh_config else self.name

    def run(self, script: str, *, check: bool = True) -> str:
        """What a shell says there; the same script again must do no harm.

        Raises TransientError (not reached), AccessDenied, PermanentError (it failed).
        """
        ended = self.repeated(script)
        if check and ended.code != 0:
            raise PermanentError(f"{self}: {ended.words}")
        return ended.out

    def repeated(self, script: str, stdin: Secret | None = None) -> programs.Ended:
        """As `ended`, for what can be run again: raises TransientError where the end is
        not known.
        """
        try:
            return self.ended(script, stdin)
        except OutcomeUnknown as error:
            raise TransientError(error.message, error.hint) from error

    def ended(self, script: str, stdin: Secret | None = None) -> programs.Ended:
        """How a shell ended there, which read `stdin`.

        Raises TransientError (it never began), OutcomeUnknown (it may have), AccessDenied.
        """
        try:
            ended = programs.run(self._argv(script), stdin=stdin, timeout=_TIMEOUT)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{self} did not answer: {error.message}") from error
        if self.name and ended.code == UNREACHED:
            raise unreached(self, ended)
        if _NO_NEW_PRIVILEGES in ended.err:
            hint = (
                "`NoNewPrivileges=no` in rotator's unit; or without `sudo: true`, as the owner of"
                " the file or unit"
            )
            raise AccessDenied(
                f"{self}: sudo does nothing where new privileges are forbidden", hint
            )
        # The line that says so: systemctl's last one only says where its log is
        said = redact(ended.err).splitlines()
        denied = [line for line in said if any(words in line for words in _DENIED)]
        if denied:
            hint = (
                "run rotator as root there, or `sudo: true` with a rule in sudoers, or a polkit"
                " rule"
            )
            raise AccessDenied(f"{self}: {last_line(denied)}", hint)
        return ended

    def _argv(self, script: str) -> list[str]:
        if not self.name:
            return ["sh", "-c", script]
        config = ["-F", self.ssh_config] if self.ssh_config else []
        return [
            "ssh",
            *config,
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=10",
            "--",
            self.name,
            script,
        ]

    def command(self, *words: str) -> str:
        """A command as it is written in a script."""
        return shlex.join([*(["sudo", "-n"] if self.sudo else []), *words])

    def __str__(self) -> str:
        return self.name or "this machine"


def unreached(host: Host, ended: programs.Ended) -> RotatorError:
    """What ssh itself said, which ended with UNREACHED."""
    words = ended.words
    if "Permission denied" in words or "Host key verification failed" in words:
        return AccessDenied(
            f"{host}: {words}",
            f"`ssh {host.name} true` must work as rotator's user, without a question",
        )
    told = f"{host} is not reached: {words}", f"ssh {host.name} true"
    return (
        TransientError(*told)
        if any(one in ended.err for one in _NEVER_BEGAN)
        else OutcomeUnknown(*told)
    )
