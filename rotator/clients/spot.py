"""A file's place, opened once: what is done there afterwards cannot be led elsewhere by a link.

Sources: openat(2), symlink(7).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rotator import trust
from rotator.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class Spot:
    """A file's place: its directory, opened, and its name there. No link leads on from here."""

    directory: int
    name: str
    path: str  # for people

    def status(self, name: str = "") -> os.stat_result | None:
        try:
            return os.stat(name or self.name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.directory)

    def remove(self, name: str) -> None:
        os.unlink(name, dir_fd=self.directory)


@contextmanager
def at(path: Path) -> Iterator[Spot]:
    """The place behind `path`, links followed but for those of other users: they could lead to any
    file of ours.

    One that leads to what is that user's own leads nowhere else than he could go. What becomes a
    link after it was looked at is refused as well. Raises OSError, AccessDenied.
    """
    real, strangers = trust.followed(path)
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        for part in real.parts[1:-1]:
            above, directory = (
                directory,
                os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory),
            )
            os.close(above)
        place = Spot(directory, real.name, str(real))
        owners = {
            status.st_uid for status in (os.fstat(directory), place.status()) if status is not None
        }
        if strangers and not (len(strangers) == 1 and owners <= strangers.keys()):
            owner, link = next(iter(strangers.items()))
            hint = (
                f"whoever made it could lead us to any file: name {real} itself, or make the link"
                " rotator's user's"
            )
            raise AccessDenied(f"{path} is reached by {link}, a link of {trust.user(owner)}", hint)
        yield place
    finally:
        os.close(directory)


def beside_name(name: str, tag: str) -> str:
    """The 0600 file that is renamed over the file of this name."""
    return f".{name}.rotator-{tag}"
