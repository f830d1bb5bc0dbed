"""Who will ever call `rotate --due`: a daemon, a systemd timer, a crontab; and who last did.

Only looks: at the journal, and at files of systemd and cron that may be read here. What calls from
elsewhere, a CronJob of Kubernetes, shows by its calls alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rotator.journal import ticks
from rotator.journal.ticks import Tick
from rotator.usecases.service import Service

ROOT = Path("/")
_UNITS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
_CRONTABS = (
    "etc/crontab",
    "etc/cron.d/*",
    "var/spool/cron/crontabs/*",
    "var/spool/cron/*",
    "etc/cron.daily/*",
    "etc/cron.hourly/*",
)
_DUE = re.compile(r"\brotate\b[^#\n]*\s--due\b")
_DAEMON = re.compile(r"\brotator\s+daemon\b")
_LONG = 86_400.0  # seconds without a call after which somebody must hear of it
_SOON = 300.0  # and within which a daemon that runs has looked


@dataclass(frozen=True, slots=True)
class Callers:
    """`last` is the newest call that the journal knows. `started` are units and crontabs that will
    call, `idle` units that would, and that nobody has started.
    """

    last: Tick | None
    started: tuple[str, ...]
    idle: tuple[str, ...]
    scheduled: int  # playbooks with a schedule
    now: float

    @property
    def nobody(self) -> bool:
        """Whether playbooks with a schedule wait for a call that nobody will make."""
        return bool(self.scheduled) and not self.started and not self._recent

    @property
    def silent(self) -> bool:
        """Whether somebody should call, and has not for more than a day."""
        return bool(self.scheduled and self.started) and self.last is not None and not self._recent

    @property
    def running(self) -> bool:
        """Whether a daemon has looked just now."""
        return self.last is not None and self.last.way == "daemon" and self._age < _SOON

    @property
    def _age(self) -> float:
        return self.now - self.last.at if self.last is not None else _LONG

    @property
    def _recent(self) -> bool:
        return self._age < _LONG


def callers(service: Service) -> Callers:
    """Raises JournalError."""
    with service.journal.database.read() as connection:
        known = ticks.load(connection)
    units = dict(_units(ROOT))
    started = [name for name, is_started in units.items() if is_started]
    idle = [name for name, is_started in units.items() if not is_started]
    books = service.playbooks().playbooks.values()
    scheduled = sum(book.shape.schedule is not None for book in books)
    return Callers(
        known[0] if known else None,
        (*started, *_crontabs(ROOT)),
        tuple(idle),
        scheduled,
        service.clock.now(),
    )


def _units(root: Path) -> Iterator[tuple[str, bool]]:
    """Timers of services that call `rotate --due`, services that are daemons; whether they are
    started with the machine.
    """
    seen: set[str] = set()
    for folder in _UNITS:
        for path in sorted((root / folder).glob("*.service")):
            text = _text(path)
            begins = path.name if _DAEMON.search(text) else ""
            if _DUE.search(text):
                begins = path.with_suffix(".timer").name
            if begins and begins not in seen and _exists(root, begins):
                seen.add(begins)
                yield begins, _enabled(root, begins)


def _exists(root: Path, name: str) -> bool:
    return any((root / folder / name).exists() for folder in _UNITS)


def _enabled(root: Path, name: str) -> bool:
    """As `systemctl enable` leaves it: a link in a target's directory."""
    return any(
        link.is_symlink() or link.exists()
        for folder in _UNITS[:2]
        for link in (root / folder).glob(f"*.wants/{name}")
    )


def _crontabs(root: Path) -> Iterator[str]:
    for pattern in _CRONTABS:
        for path in sorted(root.glob(pattern)):
            lines = (line for line in _text(path).splitlines() if not line.lstrip().startswith("#"))
            if any(_DUE.search(line) for line in lines):
                yield f"/{path.relative_to(root)}"


def _text(path: Path) -> str:
    """'' for what is no file, or may not be read."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.is_file():
            return path.read_text()
    return ""
