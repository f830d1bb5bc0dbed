"""Restarter `compose`: services of a Compose project, by `up -d --force-recreate` (a restart reads
no env file).

Source: https://docs.docker.com/reference/cli/docker/compose/up/ and the labels
`com.docker.compose.*` of https://github.com/docker/compose (`pkg/api/labels.go`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml

from rotator import environment, plain
from rotator.clients import programs
from rotator.durations import Seconds
from rotator.errors import NotFound, OutcomeUnknown, PermanentError, RotatorError, TransientError
from rotator.integrations.docker import client as docker
from rotator.integrations.docker import compose_project
from rotator.integrations.docker.compose_project import LABEL
from rotator.integrations.docker.container import Container
from rotator.integrations.docker.containers import PAUSE, ContainerSettings
from rotator.model import Change, Finding, Level, NotYet, Progress
from rotator.plugin import own_variables, playbook_folder, setting


@dataclass(frozen=True, kw_only=True)
class ComposeRestarter(ContainerSettings):
    """Recreate services of a Compose project one after the other, each ready before the next."""

    services: list[str] = setting("Names of the services, in the order in which they are recreated")
    file: str | None = setting(
        "The Compose file, where the containers' own labels do not tell it", default=None, path=True
    )
    project: str | None = setting("The project, where several have such a service", default=None)
    command: list[str] | None = setting(
        "How Compose is called; else `docker compose`, or docker-compose where that is not there",
        default=None,
        program=True,
    )
    timeout: Seconds = setting("How long one service may take to be recreated", default=120.0)
    inherit: list[str] = own_variables()
    folder: str = playbook_folder()

    @property
    def name(self) -> str:
        return "compose " + ", ".join(self.services)

    def shared_as(self) -> str:
        projects = {
            each.labels[f"{LABEL}project"]
            for service in self.services
            for each in self._containers(service)
        }
        what = f"{', '.join(sorted(self.services))} of {', '.join(sorted(projects))}"
        by = f" as {self._file} says" if self.file else ""
        return f"compose {what}{by} by {docker.engine_id(self)}"

    def preflight(self) -> list[Finding]:
        found = [finding for service in self.services for finding in self._check(service)]
        try:
            self._compose()
        except RotatorError as error:
            found.append(Finding(Level.ERROR, error.message, error.hint))
        return found

    def _check(self, service: str) -> list[Finding]:
        try:
            containers = self._containers(service)
        except RotatorError as error:
            return [Finding(Level.ERROR, error.message, error.hint)]
        found: list[Finding] = []
        for container in containers:
            try:
                self._arguments(container)
            except NotFound as error:
                found.append(Finding(Level.ERROR, error.message, error.hint))
            found += [*self.check(container), *self._misses(container)]
            image = str(container.raw["Config"]["Image"])
            if docker.image_id(self, image) not in ("", container.raw["Image"]):
                hint = (
                    "recreating it deploys that one; `docker compose up -d` first, if that is right"
                )
                found.append(
                    Finding(
                        Level.WARNING, f"{image} is newer than what {container.name} runs", hint
                    )
                )
        return found

    def env_reader(self, host: str | None, path: str) -> str:
        """Compose where a service of these has the file as its `env_file`, or the project has it as
        its own.
        """
        if host:
            return ""
        with contextlib.suppress(RotatorError, OSError):
            for service in self.services:
                for container in self._containers(service):
                    if plain.real(Path(path)) in set(self._env_files(service, container)):
                        return compose_project.reader(container.labels.get(f"{LABEL}version", ""))
        return ""

    def _env_files(self, service: str, container: Container) -> Iterator[Path]:
        folder = container.labels.get(f"{LABEL}project.working_dir", "")
        yield from map(plain.real, compose_project.env_files(container) or [Path(folder, ".env")])
        for text in self._texts(container):
            try:
                named = yaml.safe_load(text)["services"][service]["env_file"]
            except (yaml.YAMLError, LookupError, TypeError):
                continue
            for one in named if isinstance(named, list) else [named]:
                found = one if isinstance(one, dict) else {"path": one}
                if found.get("format") != "raw":
                    yield plain.real(Path(folder, str(found.get("path"))))

    def _misses(self, container: Container) -> list[Finding]:
        """A variable that Compose would fill in as nothing: the container would come up
        without it.
        """
        names = [name for name in environment.withheld() if name not in self.inherit]
        wanted = [
            name
            for name in names
            if any(compose_project.takes(text, name) for text in self._texts(container))
        ]
        if not wanted:
            return []
        words = (
            f"the Compose file takes {', '.join(wanted)} from rotator's environment, which programs"
            " do not get"
        )
        return [
            Finding(
                Level.ERROR,
                words,
                f"say `inherit: [{', '.join(wanted)}]`, or put it into an env file",
            )
        ]

    def _texts(self, container: Container) -> list[str]:
        """The project's Compose files; none where they cannot be read, which Compose
        says itself.
        """
        try:
            return [
                Path(file).read_text()
                for flag, file in pairwise(self._arguments(container))
                if flag == "-f"
            ]
        except (NotFound, OSError, ValueError):
            return []

    def restart(self, change: Change) -> NotYet | None:
        services = sorted(
            self.services,
            key=lambda name: all(self.serves(each, change) for each in self._containers(name)),
        )
        for service in services:
            containers = self._containers(service)
            stale = [self.needs_restart(container, change) for container in containers]
            if any(stale):
                self._recreate(service, containers)
                containers = self._containers(service)
            ready = [self.ready(container) for container in containers]
            if service != services[-1] and not all(ready):
                return NotYet(PAUSE, text=f"{service} is starting")
        return None

    def progress(self, change: Change) -> Progress:
        return self.far(
            [each for service in self.services for each in self._containers(service)], change
        )

    def shown(self, change: Change) -> Progress:
        """What is read of a container does not depend on a restart.

        Raises PermanentError, with its own words, for one that has ended or is unhealthy.
        """
        return self.progress(change)

    def _containers(self, service: str) -> list[Container]:
        """All of one service.

        Raises NotFound where there is none, PermanentError where projects are several.
        """
        wanted = {f"{LABEL}service": service, f"{LABEL}oneoff": "False"}
        if self.project:
            wanted[f"{LABEL}project"] = self.project
        found = docker.labelled(self, wanted)
        if self.file and not self.project:
            folder = str(self._file.parent)
            found = [
                each for each in found if each.labels.get(f"{LABEL}project.working_dir") == folder
            ]
        projects = sorted({each.labels[f"{LABEL}project"] for each in found})
        if not projects:
            raise NotFound(
                f"there is no container of a service {service}", "`docker compose up -d` first"
            )
        if len(projects) > 1:
            raise PermanentError(
                f"several projects have a service {service}: {', '.join(projects)}",
                "say `project:`",
            )
        return found

    @property
    def _file(self) -> Path:
        return plain.real(Path(self.file or ""))

    def _recreate(self, service: str, containers: list[Container]) -> None:
        """As many as there are: a number that was scaled by hand is not in the file.

        What an interrupted Compose made and never started would be in its way: it ends with a
        conflict of names.
        """
        for each in containers:
            if each.state.get("Status") == "created":
                docker.remove(self, each.name)
        argv = [
            *self._compose(),
            *self._arguments(containers[0]),
            "up",
            "-d",
            "--force-recreate",
            "--no-deps",
            "--no-build",
        ]
        numbers = {each.labels.get(f"{LABEL}container-number", each.id) for each in containers}
        argv += ["--scale", f"{service}={len(numbers)}", service]
        given = {"DOCKER_HOST": self.host} if self.host else {}
        try:
            ended = programs.run(
                argv, env=given, own=self.inherit, timeout=self.timeout, cwd=self.folder
            )
        except OutcomeUnknown as error:
            raise TransientError(error.message) from error  # it is looked at, then done again
        if ended.code != 0:
            raise PermanentError(
                f"{' '.join(argv[:2])}: {ended.words}",
                f"in {argv[argv.index('--project-directory') + 1]}",
            )

    def _arguments(self, container: Container) -> list[str]:
        return compose_project.arguments(container, self._file if self.file else None)

    def _compose(self) -> tuple[str, ...]:
        return tuple(self.command) if self.command else compose_project.installed()
