"""Where it listens: a port of an address, or a Unix socket."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from rotator.errors import ConfigError

DEFAULT = "127.0.0.1:9187"
OFF = "off"
_PATIENCE = 2.0  # seconds
_HOW = f"HOST:PORT, as {DEFAULT} or [::1]:9187, the absolute path of a socket, or {OFF}"


@dataclass(frozen=True, slots=True)
class Place:
    """`path` is '' for a port."""

    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def local(self) -> bool:
        """Whether only this machine reaches it."""
        return bool(self.path) or self.host in ("127.0.0.1", "::1", "localhost")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


def place_of(text: str) -> Place | None:
    """What `--listen` says; None where it says off. Raises ConfigError."""
    if text == OFF:
        return None
    path = text.removeprefix("unix:")
    if path.startswith("/"):
        return Place(path=path)
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise ConfigError(f"--listen {text} is no place to listen at", _HOW)
    return Place(host.removeprefix("[").removesuffix("]"), int(port))


def listening(place: Place) -> socket.socket:
    """Bound and listening. Raises ConfigError, with what is in the way."""
    try:
        return _socket_file(place.path) if place.path else _port(place)
    except (OSError, UnicodeError) as error:  # the latter of a name that no host can have
        words = getattr(error, "strerror", "") or str(error)
        hint = "another process listens there, or --listen names another machine's address"
        raise ConfigError(f"cannot listen at {place}: {words}", f"{hint}; {_HOW}") from error


def _port(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    return socket.create_server((place.host, place.port), family=family, backlog=128)


def _socket_file(path: str) -> socket.socket:
    """For its owner and group. What a daemon left that was killed is taken away, a socket on which
    somebody answers is not.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(Path(path).lstat().st_mode) and not _answers(path):
            Path(path).unlink()
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        found.bind(path)
        found.listen(128)
    except BaseException:
        found.close()
        raise
    finally:
        os.umask(before)
    return found


def file_of(place: Place) -> tuple[int, int] | None:
    """Which file a socket has; None where it has none."""
    try:
        found = Path(place.path).lstat() if place.path else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found is not None else None


def remove(place: Place, file: tuple[int, int] | None) -> None:
    """Nobody is to knock where nobody is; another daemon's socket of this path stays."""
    if file is not None and file_of(place) == file:
        with contextlib.suppress(OSError):
            Path(place.path).unlink()


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trying:
        try:
            trying.settimeout(_PATIENCE)  # who is stopped takes no connection
            trying.connect(path)
        except ConnectionRefusedError:
            return False
    return True
