"""Restarter `compose`: services of a Compose project, by `up -d --force-recreate` (a restart reads
no env file).

Source: https://docs.docker.com/reference/cli/docker/compose/up/ and the labels
`com.docker.compose.*` of https://github.com/docker/compose (`pkg/api/labels.go`).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import yaml

from rotator import environment, plain
from rotator.clients import programs
from rotator.durations import Seconds
from rotator.errors import NotFound, OutcomeUnknown, PermanentError, RotatorError, TransientError
from rotator.integrations.docker import client as docker
from rotator.integrations.docker.client import Container
from rotator.integrations.docker.containers import PAUSE, ContainerSettings
from rotator.model import Change, Finding, Level, NotYet, Progress
from rotator.plugin import own_variables, playbook_folder, setting

_LABEL = "com.docker.compose."


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
            each.labels[f"{_LABEL}project"]
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
                self._where(container)
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
                        return _reader(container.labels.get(f"{_LABEL}version", ""))
        return ""

    def _env_files(self, service: str, container: Container) -> Iterator[Path]:
        folder = container.labels.get(f"{_LABEL}project.working_dir", "")
        yield from map(plain.real, _project_env_files(container) or [Path(folder, ".env")])
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
            name for name in names if any(_takes(text, name) for text in self._texts(container))
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
                for flag, file in pairwise(self._where(container))
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
        wanted = {f"{_LABEL}service": service, f"{_LABEL}oneoff": "False"}
        if self.project:
            wanted[f"{_LABEL}project"] = self.project
        found = docker.labelled(self, wanted)
        if self.file and not self.project:
            folder = str(self._file.parent)
            found = [
                each for each in found if each.labels.get(f"{_LABEL}project.working_dir") == folder
            ]
        projects = sorted({each.labels[f"{_LABEL}project"] for each in found})
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
            *self._where(containers[0]),
            "up",
            "-d",
            "--force-recreate",
            "--no-deps",
            "--no-build",
        ]
        numbers = {each.labels.get(f"{_LABEL}container-number", each.id) for each in containers}
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

    def _where(self, container: Container) -> list[str]:
        """The project as it was brought up: its name, directory, files and env file, from the
        container's labels.
        """
        labels = container.labels
        folder = labels.get(f"{_LABEL}project.working_dir", "")
        files = (
            [str(self._file)]
            if self.file
            else labels.get(f"{_LABEL}project.config_files", "").split(",")
        )
        found = ["-p", labels[f"{_LABEL}project"], "--project-directory", folder]
        for file in filter(None, files):
            path = Path(folder, file)
            if not path.is_file():
                raise NotFound(f"the Compose file {path} is not there", "say `file:`")
            found += ["-f", str(path)]
        for path in _project_env_files(container):
            if not path.is_file():
                hint = "it was brought up with this --env-file; bring it up again as it is now"
                raise NotFound(f"the project's env file {path} is not there", hint)
            found += ["--env-file", str(path)]
        return found

    def _compose(self) -> tuple[str, ...]:
        return tuple(self.command) if self.command else _installed()


def _project_env_files(container: Container) -> list[Path]:
    """What the project was brought up with by `--env-file`, which may be said several times.

    The label joins them by commas, which a path may have itself. Source:
    https://github.com/docker/compose/blob/main/cmd/compose/compose.go (`EnvironmentFileLabel`).
    """
    label = container.labels.get(f"{_LABEL}project.environment_file", "")
    folder = container.labels.get(f"{_LABEL}project.working_dir", "")
    whole = Path(folder, label)
    files = [label] if whole.is_file() else label.split(",")
    return [Path(folder, file) for file in files if file]


def _takes(text: str, name: str) -> bool:
    """`${NAME}`, `$NAME`, or the name alone in `environment:`."""
    return re.search(rf"\$\{{?{name}\b|^\s*-\s*{name}\s*$|^\s*{name}:\s*$", text, re.M) is not None


@cache
def _installed() -> tuple[str, ...]:
    """Compose as it is installed here. Raises NotFound."""
    for candidate in (("docker", "compose"), ("docker-compose",)):
        try:
            if programs.run([*candidate, "version"], timeout=30).code == 0:
                return candidate
        except NotFound:
            continue
    raise NotFound(
        "neither `docker compose` nor docker-compose is installed here",
        "say `command:`, or install it",
    )


def _reader(version: str) -> str:
    """How the Compose that made a container reads files: the first one did so otherwise, and before
    1.26 line by line and verbatim, as docker itself does (but for blanks at a line's end).

    Source: docker-compose's compose/config/environment.py.
    """
    first, _, rest = version.partition(".")
    if first != "1":
        return "compose"
    minor = rest.partition(".")[0]
    return "docker" if minor.isdigit() and int(minor) < 26 else "compose-1"
