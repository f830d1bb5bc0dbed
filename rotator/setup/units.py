"""Units of systemd: which files they have their variables from.

Source: systemd.exec(5), `EnvironmentFile=`, `Environment=`, `LoadCredential=`; systemd.unit(5) for
drop-ins.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator import plain
from rotator.errors import PermanentError
from rotator.setup.found import User

FOLDERS = (Path("/etc/systemd/system"), Path("/usr/local/lib/systemd/system"))
_LINE = re.compile(
    r"^[ \t]*(EnvironmentFile|Environment|LoadCredential)[ \t]*=[ \t]*(.*?)[ \t]*$", re.M
)


@dataclass(frozen=True, slots=True)
class Unit:
    """`files`: of its EnvironmentFile=; `credentials`: names of its LoadCredential= with their
    files; `written`: variables whose values stand in the unit itself.
    """

    name: str
    path: Path
    files: tuple[str, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()
    written: tuple[str, ...] = ()

    @property
    def user(self) -> User:
        return User({"uses": "systemd", "units": [self.name]})

    @property
    def reads_credentials(self) -> User:
        return User({"uses": "systemd", "units": [self.name]}, by_env=False)


def is_one(path: Path) -> bool:
    return path.suffix == ".service" or (
        path.suffix == ".conf" and path.parent.name.endswith(".service.d")
    )


def read(path: Path) -> Unit:
    """A unit's file, or a drop-in of it. Raises OSError, PermanentError, UnicodeDecodeError."""
    name = path.parent.name.removesuffix(".d") if path.suffix == ".conf" else path.name
    if name.endswith("@.service"):  # a template: all of its instances
        name = name.replace("@.service", "@*.service")
    files: list[str] = []
    credentials: list[tuple[str, str]] = []
    written: list[str] = []
    every: dict[str, list[Any]] = {"EnvironmentFile": files, "LoadCredential": credentials}
    for word, value in _LINE.findall(plain.text(path).replace("\\\n", " ")):
        if not value:  # it takes back what stood before
            every.get(word, written).clear()
        elif word == "EnvironmentFile":
            files.append(value.strip("\"'").removeprefix("-"))
        elif word == "LoadCredential":
            called, _, place = value.partition(":")
            if place.startswith("/"):  # else it is looked for in systemd's own folders
                credentials.append((called, place))
        else:
            written += [one.partition("=")[0] for one in _words(value)]
    return Unit(name, path, tuple(files), tuple(credentials), tuple(written))


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def installed(folders: Sequence[Path] = FOLDERS) -> Iterator[Unit]:
    """The units of this machine that an administrator put there; what cannot be read is passed
    over.
    """
    for folder in folders:
        for path in (*sorted(folder.glob("*.service")), *sorted(folder.glob("*.service.d/*.conf"))):
            try:
                yield read(path)
            except (OSError, PermanentError, UnicodeDecodeError):
                continue
