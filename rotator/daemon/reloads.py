"""Playbooks and settings as they are now, and whether all that a start would read is right."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from rotator import installed, settings
from rotator.daemon.log import LEVELS
from rotator.errors import ConfigError
from rotator.journal import address
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.mistakes import Mistake
from rotator.settings import Settings

_AT_ONCE = ("blackout", "blackout_timezone")
_FORMATS = ("text", "json")
_SHARE = 50  # looking whether files changed takes a fiftieth of the time at most
_SHARE_OF_READING = 10  # and reading those that change again and again a tenth


@dataclass(frozen=True, slots=True)
class Reload:
    """`at` is when it was read (Unix seconds), `good_at` when it last was without a mistake.

    `of_settings` is what is wrong with rotator.toml or the environment; `restart` are settings that
    were changed and hold from the next start: blackouts hold at once.
    """

    loaded: Loaded
    at: float
    good_at: float
    of_settings: str = ""
    hint: str = ""
    restart: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return not self.of_settings and not self.loaded.mistakes

    @property
    def mistakes(self) -> tuple[Mistake, ...]:
        return tuple(self.loaded.mistakes)


class Reloads:
    """Read again where files changed: not more often than their number allows. Thread-safe.

    A playbook with a mistake is not begun while it has one; what is under way goes on by the
    version that it began with.
    """

    def __init__(
        self,
        started_with: Settings,
        directory: Directory,
        now: Callable[[], float],
        read: Callable[[], Settings] = settings.load,
    ) -> None:
        self._started_with, self._directory = started_with, directory
        self._now, self._settings = now, read
        self._lock = threading.Lock()
        self._next = 0.0  # monotonic
        self.last = self._read(0.0)
        self._next = 0.0  # the first one reads all plugins, too: it tells nothing of the next

    def look(self) -> bool:
        """Whether something changed since the last look; at once again is no look."""
        if time.monotonic() < self._next:
            return False
        begun = time.monotonic()
        changed = self.again()
        share = _SHARE_OF_READING if changed else _SHARE
        self._next = begun + (time.monotonic() - begun) * share
        return changed

    def again(self) -> bool:
        """The same, now."""
        with self._lock:
            before, self.last = self.last, self._read(self.last.good_at)
        same = before.loaded is self.last.loaded and before.of_settings == self.last.of_settings
        return not same or before.restart != self.last.restart

    def _read(self, good_at: float) -> Reload:
        now = self._now()
        wrong, hint, changed = "", "", []
        try:
            today = self._settings()
            _refuse(today)
            self._directory.blackouts = today.blackouts
            changed = [
                one.name
                for one in fields(Settings)
                if one.name not in _AT_ONCE
                and getattr(today, one.name) != getattr(self._started_with, one.name)
            ]
        except ConfigError as error:
            wrong, hint = error.message, error.hint
        loaded = self._directory.load()
        good = not wrong and not loaded.mistakes
        return Reload(loaded, now, now if good else good_at, wrong, hint, tuple(changed))


def _refuse(found: Settings) -> None:
    """What the next start would not take, or not as it is meant. Raises ConfigError."""
    if found.log_level and found.log_level.lower() not in LEVELS:
        raise ConfigError(f"log_level: there is no '{found.log_level}'", ", ".join(LEVELS))
    if found.log_format not in _FORMATS:
        raise ConfigError(f"log_format: there is no '{found.log_format}'", ", ".join(_FORMATS))
    try:
        address.parse(found.url)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"database_url needs {error.name}", installed.way_to("postgres")
        ) from error
