"""Restarter `acme`."""

from __future__ import annotations

import time
from dataclasses import dataclass

from acme_rotator.service import Service
from rotator.errors import NotFound
from rotator.model import Change, Evidence, Finding, Instance, Level, Progress
from rotator.plugin import setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class AcmeRestarter:
    """Restart a program that Acme runs; it reads its secret when it starts."""

    folder: str = setting("Folder of the service", path=True)
    program: str = setting("Name of the program")

    evidence = Evidence.READ

    @property
    def name(self) -> str:
        return f"acme {self.folder}/{self.program}"

    @property
    def _service(self) -> Service:
        return Service(self.folder)

    def shared_as(self) -> str:
        """Of all playbooks that restart this program."""
        return f"acme program {self.folder}/{self.program}"

    def preflight(self) -> list[Finding]:
        if not self._service.load(self.program):
            return [Finding(Level.ERROR, f"acme runs no {self.program}")]
        return [Finding(Level.OK, f"restarts {self.program}")]

    def restart(self, change: Change) -> None:
        running = self._service.load(self.program)
        if not running:
            raise NotFound(f"acme runs no {self.program}")
        if running["started_at"] > change.since:
            return
        running["holds"] = self._service.load(running["secret"])["value"]
        running["started_at"] = time.time()
        self._service.save(self.program, running)

    def progress(self, change: Change) -> Progress:
        seen = self.shown(change)
        current = sum(one.holds is not None and change.fits(one.holds) for one in seen.instances)
        return Progress(seen.total, current, current == seen.total, seen.instances)

    def shown(self, change: Change) -> Progress:
        running = self._service.load(self.program)
        if not running:
            return Progress(0, 0, False)
        instance = Instance(self.program, running["started_at"], Secret(running["holds"]))
        return Progress(1, 1, True, (instance,))
