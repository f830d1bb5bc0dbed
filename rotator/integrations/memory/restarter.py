"""Restarter `memory`: consumers of this process, which read their cell when they start."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rotator.errors import NotFound
from rotator.integrations.memory.world import WORLD
from rotator.model import Change, Evidence, Finding, Instance, Progress
from rotator.plugin import setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class MemoryRestarter:
    """Restart consumers that live in this process; for rehearsals and tests."""

    consumers: list[str] = setting("Names of the consumers")
    evidence: Evidence = setting("What they can show", default=Evidence.STARTED)

    @property
    def name(self) -> str:
        return "memory " + ", ".join(self.consumers)

    def shared_as(self) -> str:
        return f"memory {os.getpid()} " + ", ".join(sorted(self.consumers))

    def preflight(self) -> list[Finding]:
        return []

    def restart(self, change: Change) -> None:
        for name in self.consumers:
            if name not in WORLD.consumers:
                raise NotFound(f"there is no consumer {name}")
            if not change.since < WORLD.consumers[name].started_at <= WORLD.now():
                WORLD.start(name)

    def progress(self, change: Change) -> Progress:
        instances = self._instances()
        current = sum(
            change.since < (instance.started_at or 0.0) <= WORLD.now() for instance in instances
        )
        return Progress(len(instances), current, current == len(instances), instances)

    def shown(self, change: Change) -> Progress:
        instances = self._instances()
        return Progress(len(instances), len(instances), True, instances)

    def _instances(self) -> tuple[Instance, ...]:
        read = self.evidence is Evidence.READ
        return tuple(
            Instance(name, consumer.started_at, Secret(consumer.holds) if read else None)
            for name in self.consumers
            if (consumer := WORLD.consumers.get(name)) is not None
        )
