"""An engine behind ssh, reached as docker itself does: by `docker system dial-stdio` there.

The package docker would want another package (paramiko) for that, and start ssh with all of
rotator's environment, its credentials included.
Source: https://docs.docker.com/engine/security/protect-access/ (ssh://), docker/cli connhelper.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from rotator.clients import hosts, programs, watcher
from rotator.clients.hosts import Host
from rotator.errors import (
    AccessDenied,
    ConfigError,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
)

_NOT_THERE = (126, 127)  # of a shell: it cannot execute docker, or does not find it


class Tunnel:
    """A socket of this machine, each connection to which is one to the engine, by an ssh of its
    own.

    Each ssh ends after `seconds` at the latest, and with the block.
    """

    def __init__(self, address: str, seconds: float) -> None:
        """Raises ConfigError for an address that names no host."""
        self._host, self._argv, self._seconds = *_command(address), seconds
        self._ends: list[watcher.Ends] = []
        self.failure: RotatorError | None = None  # why the last ssh ended that failed

    @contextlib.contextmanager
    def open(self) -> Iterator[str]:
        """The address of the socket."""
        with (
            tempfile.TemporaryDirectory(prefix="rotator-") as folder,
            socket.socket(socket.AF_UNIX) as listening,
        ):
            path = str(Path(folder) / "engine")
            listening.bind(path)
            listening.listen()
            threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
            try:
                yield f"unix://{path}"
            finally:
                with contextlib.suppress(OSError):
                    listening.shutdown(socket.SHUT_RDWR)  # so that nobody waits there any more
                for ends in self._ends:
                    watcher.end(ends.watcher)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=self._carry, args=(connection,), daemon=True).start()

    def _carry(self, connection: socket.socket) -> None:
        try:
            with watcher.started(
                self._argv, programs.environment({}), self._seconds, "", connection
            ) as ends:
                self._ends.append(ends)
                told, _, said = ends.follow(b"", self._seconds)
        except RotatorError as error:
            self.failure = error
        else:
            if told.startswith("ended ") and told != "ended 0":
                ended = programs.Ended("ssh", int(told.split()[1]), said.text(), "")
                self.failure = _failure(self._host, ended)
            elif told.startswith("refused"):
                self.failure = PermanentError("ssh cannot be started", "is it installed here?")
        finally:
            connection.close()  # only now: whoever waits for an answer finds the reason


def _command(address: str) -> tuple[Host, list[str]]:
    """The host, and what reaches its engine, or the one at the socket that the address names."""
    try:
        found = urlsplit(address)
        port = found.port
    except ValueError as error:
        raise ConfigError(f"{address} is no address of an engine", "ssh://user@host") from error
    if not found.hostname:
        raise ConfigError(f"{address} names no host", "ssh://user@host")
    user = ["-l", found.username] if found.username else []
    to = ["-p", str(port)] if port else []
    docker = ["docker", *(["--host", f"unix://{found.path}"] if found.path.strip("/") else [])]
    there = shlex.join([*docker, "system", "dial-stdio"])
    quietly = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]
    return Host(found.hostname), ["ssh", *quietly, *user, *to, "--", found.hostname, there]


def _failure(host: Host, ended: programs.Ended) -> RotatorError:
    if ended.code == hosts.UNREACHED:
        error = hosts.unreached(host, ended)
        if isinstance(error, OutcomeUnknown):
            return TransientError(error.message, error.hint)
        return error
    if ended.code in _NOT_THERE:
        return PermanentError(
            f"{host} has no docker for ssh's user: {ended.words}", f"`ssh {host} docker version`"
        )
    if "permission denied" in ended.err.lower():
        return AccessDenied(f"{host}: {ended.words}", "is ssh's user in the group docker there?")
    return TransientError(f"the container engine of {host}: {ended.words}", "does it run there?")
