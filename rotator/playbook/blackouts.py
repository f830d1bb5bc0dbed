"""Blackouts beside those that a playbook writes out: calendars, and what the settings say for all
playbooks. One that cannot be read holds back for as long as that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rotator.errors import ConfigError
from rotator.integrations.calendar import reading
from rotator.schedules import blackouts
from rotator.schedules.blackouts import Always, Blackout, Entry

State = tuple[int, ...]  # of a file, by which a change is seen; empty where it is not there


@dataclass(frozen=True, slots=True)
class Blackouts:
    """`text` is another one where they are others."""

    found: tuple[Blackout, ...] = ()
    text: str = ""

    def __add__(self, other: Blackouts) -> Blackouts:
        return Blackouts((*self.found, *other.found), self.text + other.text)


NONE = Blackouts()


@dataclass(frozen=True, slots=True)
class ForAll:
    """What the settings say of blackouts: of every playbook that has a schedule."""

    entries: tuple[Entry, ...] = ()
    zone: str = "UTC"
    where: str = "rotator.toml"


class Reader:
    """Reads calendars for one set of playbooks, and knows which files these were."""

    def __init__(self) -> None:
        self.seen: dict[str, State] = {}

    def calendars(
        self, paths: Iterable[str], zone: str, wrong: Callable[[int, str, str], None]
    ) -> Blackouts:
        """`wrong` is told of each that cannot be read: which one it is, and why."""
        found = NONE
        for index, path in enumerate(paths):
            state = self.seen.setdefault(path, state_of(path))
            try:
                found += Blackouts((_read(path, zone, state),), _digest(path, zone, *state))
            except ConfigError as error:
                wrong(index, error.message, error.hint)
                name = f"{Path(path).name}, which cannot be read"
                found += Blackouts((Always(name),), _digest(path, "unread"))
        return found

    def for_all(self, said: ForAll, wrong: Callable[[str, str, str], None]) -> Blackouts:
        """Those of the settings. `wrong` gets the file, too."""
        paths = [str(Path(one).absolute()) for one in blackouts.calendars(said.entries)]
        written = tuple(
            _Named(one, said.where) for one in blackouts.of_entries(said.entries, said.zone)
        )
        text = _digest(repr(said)) if said.entries else ""
        return Blackouts(written, text) + self.calendars(
            paths, said.zone, lambda index, words, hint: wrong(paths[index], words, hint)
        )


@dataclass(frozen=True, slots=True)
class _Named:
    """A blackout that says where it was written."""

    blackout: Blackout
    where: str

    def name_at(self, at: float) -> str | None:
        name = self.blackout.name_at(at)
        return None if name is None else f"{name} ({self.where})"

    def edges(self, begin: float, end: float) -> Iterable[float]:
        return self.blackout.edges(begin, end)


def state_of(path: str) -> State:
    try:
        found = Path(path).stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


@lru_cache(maxsize=256)
def _read(path: str, zone: str, state: State) -> Blackout:
    """Once for as long as the file stays as it is. Raises ConfigError."""
    return reading.read(path, zone)


def _digest(*parts: object) -> str:
    return f" {hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
