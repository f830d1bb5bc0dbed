"""Restarter `docker`: containers of an engine, made anew with the same configuration, or just
restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rotator import plain
from rotator.errors import NotFound, PermanentError, RotatorError
from rotator.integrations.docker import client as docker
from rotator.integrations.docker import recreate
from rotator.integrations.docker.container import Container
from rotator.integrations.docker.containers import PAUSE, ContainerSettings
from rotator.model import Change, Finding, Level, NotYet, Progress
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class DockerRestarter(ContainerSettings):
    """Recreate containers one after the other, each ready before the next: `docker restart` alone
    keeps the old key.

    Without `env_file` they are restarted only, which is enough where the key is in a mounted file.
    """

    containers: list[str] = setting(
        "Names of the containers, in the order in which they are restarted"
    )
    env_file: str | None = setting(
        "The file of `docker run --env-file`, usually the one that a dotenv store writes: it is"
        " read only when a container is made, so they are made anew, with the same image, networks,"
        " mounts and limits",
        default=None,
        path=True,
    )

    def __post_init__(self) -> None:
        if self.env and not self.env_file:
            raise PermanentError(
                "env needs env_file", "a container that is only restarted keeps its environment"
            )

    @property
    def name(self) -> str:
        return "docker " + ", ".join(self.containers)

    def shared_as(self) -> str:
        how = f"anew with {plain.real(self._env_file)}" if self._env_file else "restarted"
        return f"docker {', '.join(sorted(self.containers))} {how} by {docker.engine_id(self)}"

    @property
    def recreates(self) -> bool:
        return self.env_file is not None

    @property
    def _env_file(self) -> Path | None:
        return Path(self.env_file) if self.env_file else None

    def env_reader(self, host: str | None, path: str) -> str:
        mine = (
            self._env_file is not None
            and not host
            and plain.real(self._env_file) == plain.real(Path(path))
        )
        return "docker" if mine else ""

    def preflight(self) -> list[Finding]:
        found = [finding for name in self.containers for finding in self._check(name)]
        if self._env_file is not None and not self._env_file.is_file():
            found.append(
                Finding(
                    Level.ERROR, f"{self.env_file} is not there", "the file that `--env-file` named"
                )
            )
        return found

    def _check(self, name: str) -> list[Finding]:
        container = docker.inspect(self, name) or recreate.interrupted(self, name)
        if container is None:
            return [
                Finding(
                    Level.ERROR, f"there is no container {name}", "`docker ps -a` shows their names"
                )
            ]
        for label, other in (
            ("com.docker.compose.project", "compose"),
            ("com.docker.swarm.service.id", "swarm"),
        ):
            if label in container.labels:
                hint = f"use the restarter {other} for it"
                return [Finding(Level.ERROR, f"{name} belongs to {container.labels[label]}", hint)]
        found = [*self.check(container), *self._stays(container)]
        if self.env_file and (users := docker.users_of_namespaces(self, container)):
            names = ", ".join(users)
            text = f"{names} would end with {name}, whose namespace they use"
            found.append(Finding(Level.ERROR, text, "give each its own network, or use Compose"))
        return found

    def _stays(self, container: Container) -> list[Finding]:
        """A variable of a .env file that the container would keep with the old value."""
        if self.env or self.overrides:
            return []
        given: dict[str, str] = {}
        if self._env_file is not None and self._env_file.is_file():
            try:
                given = recreate.read_env_file(self._env_file)
            except RotatorError as error:
                return [Finding(Level.ERROR, error.message, error.hint)]
        return [
            Finding(
                Level.ERROR,
                f"{container.name} has {name} in its environment, where the old key would stay:"
                " with most readers it wins over the file",
                "name the file of `docker run --env-file` as `env_file:`, or take the variable out"
                " where the container is made; `overrides: true` where its reader lets the file"
                " win",
            )
            for name in self.file_variables
            if name not in given and container.variable(name) is not None
        ]

    def restart(self, change: Change) -> NotYet | None:
        for name in self.containers:
            recreate.put_back(self, name)
        names = sorted(self.containers, key=lambda name: self.serves(self._required(name), change))
        for name in names:
            container = self._required(name)
            if self.needs_restart(container, change):
                if self._env_file is not None:
                    recreate.anew(self, container, self._env_file, change.id)
                else:
                    recreate.restart(self, container)
                container = self._required(name)
            recreate.tidy(self, name)
            if name != names[-1] and not self.ready(container):
                return NotYet(PAUSE, text=f"{name} is starting")
        return None

    def progress(self, change: Change) -> Progress:
        found = {name: docker.inspect(self, name) for name in self.containers}
        missing = [name for name, container in found.items() if container is None]
        return self.far(filter(None, found.values()), change, missing)

    def shown(self, change: Change) -> Progress:
        """What is read of a container does not depend on a restart.

        Raises PermanentError, with its own words, for one that has ended or is unhealthy.
        """
        return self.progress(change)

    def _required(self, name: str) -> Container:
        container = docker.inspect(self, name)
        if container is None:  # one made with --rm is removed a moment after it has ended
            recreate.put_back(self, name)
            container = docker.inspect(self, name)
        if container is None:
            raise NotFound(f"there is no container {name}", "`docker ps -a` shows their names")
        return container
