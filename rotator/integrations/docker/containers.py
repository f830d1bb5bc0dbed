"""What the restarters of containers have in common: what one holds, by what evidence, and when it
is ready.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from rotator.durations import Seconds
from rotator.errors import PermanentError
from rotator.integrations.docker import client as docker
from rotator.integrations.docker.client import EngineConnection
from rotator.integrations.docker.container import Container
from rotator.model import Change, Evidence, Finding, Instance, Level, Progress
from rotator.plugin import Address, beside_settings, setting

PAUSE = 0.5  # seconds between two looks at whether those that the next ones wait for are ready


@dataclass(frozen=True, kw_only=True)
class ContainerSettings(EngineConnection):
    env: str | None = setting(
        "Variable that holds the key in the containers' environment, read from the engine as proof",
        default=None,
    )
    settle: Seconds = setting(
        "How long one without a health check must run to count as ready", default=2.0
    )
    overrides: bool = setting(
        "The program's reader of .env files lets the file win over its environment"
        " (python-dotenv: override=True)",
        default=False,
    )
    file_variables: tuple[str, ...] = beside_settings()

    def beside(self, addresses: Sequence[Address]) -> Self:
        """With the variables of .env files, which may stand in a container's environment, too.

        On any host: the engine may be another machine's.
        """
        files = [one for one in addresses if one.system == "dotenv"]
        return replace(self, file_variables=tuple(one.fields[0] for one in files))

    @property
    def evidence(self) -> Evidence:
        return Evidence.READ if self.env else Evidence.STARTED

    @property
    def recreates(self) -> bool:
        """Whether containers are made anew."""
        return True

    def began(self, container: Container) -> float:
        """Since when it has what it has: an environment is as old as its container, however often
        that started.
        """
        return container.made_at if self.recreates else container.started_at

    def check(self, container: Container) -> list[Finding]:
        """What speaks against restarting it now."""
        if not container.running:
            hint = (
                "start it, or take it out of the playbook: it would start with the old key one day"
            )
            return [
                Finding(
                    Level.ERROR,
                    f"{container.name} does not run ({container.state.get('Status')})",
                    hint,
                )
            ]
        if container.health == "unhealthy":
            hint = (
                "a rotation needs to see it become healthy: `docker inspect` shows its health"
                " check's words"
            )
            return [Finding(Level.ERROR, f"{container.name} is unhealthy already", hint)]
        if self.env and container.variable(self.env) is None:
            hint = "is it in the env file that the container was made with?"
            return [Finding(Level.ERROR, f"{container.name} has no variable {self.env}", hint)]
        return []

    def has(self, container: Container, change: Change) -> bool:
        """What its environment holds decides; where that is not known, when it began."""
        if not container.running:
            return False
        holds = container.variable(self.env) if self.env else None
        if holds is not None and change.credential.values:
            return change.fits(holds)
        if self._kept(container, change):
            return False
        return change.since < self.began(container) <= time.time() + 1

    def _kept(self, container: Container, change: Change) -> str:
        """A file's variable that its environment has with another value: with most readers that
        value wins. '' where there is none. That one fits is no proof: the file may win all the
        same.
        """
        if self.env or self.overrides or not change.credential.values:
            return ""
        for name in self.file_variables:
            value = container.variable(name)
            if value is not None and not change.fits(value):
                return name
        return ""

    def ready(self, container: Container) -> bool:
        return docker.ready(self, container, self.settle)

    def serves(self, container: Container, change: Change) -> bool:
        """False where it is down, unhealthy, or starts with the change: it goes first, and is
        waited for, before one that serves is taken.
        """
        if self.has(container, change):
            return self.ready(container)
        if container.state.get("Status") != "running" or container.health == "unhealthy":
            return False
        settled = time.time() - container.started_at >= self.settle
        return settled or not container.raw.get("RestartCount")

    def needs_restart(self, container: Container, change: Change) -> bool:
        """Raises PermanentError for one that was restarted for the change and has ended, with its
        own words, or has the old key.
        """
        if self.has(container, change):
            return False
        self._must_not_be_in_vain(container, change)
        return True

    def _must_not_be_in_vain(self, container: Container, change: Change) -> None:
        if self.began(container) <= change.since:
            return
        if not container.running:
            self.ready(container)
        elif kept := self._kept(container, change):
            raise PermanentError(
                f"{container.name} has another {kept} in its environment than in the file, and"
                " with most readers that one wins",
                "take it out where the container is made, or say `overrides: true` where its"
                " reader lets the file win",
            )

    def far(
        self, containers: Iterable[Container], change: Change, missing: Iterable[str] = ()
    ) -> Progress:
        """How many hold the change and are ready.

        Raises PermanentError with a failed container's own words.
        """
        waiting, instances, current = [f"{name} does not exist" for name in missing], [], 0
        total = len(waiting)
        for container in containers:
            total += 1
            if self.has(container, change) and self.ready(container):
                current += 1
            else:
                self._must_not_be_in_vain(container, change)
                waiting.append(
                    f"{container.name} is {'starting' if container.running else 'not running'}"
                )
            holds = container.variable(self.env) if self.env else None
            began = self.began(container) if container.running else 0.0
            instances.append(Instance(f"{container.name}@{container.id[:12]}", began, holds))
        return Progress(total, current, current == total, tuple(instances), ", ".join(waiting))
