"""A Compose project as the labels of its containers tell it, and Compose as it is installed here.

Source: the labels `com.docker.compose.*` of https://github.com/docker/compose
(`pkg/api/labels.go`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from rotator.clients import programs
from rotator.errors import NotFound
from rotator.integrations.docker.container import Container

LABEL = "com.docker.compose."


def arguments(container: Container, file: Path | None) -> list[str]:
    """The project as it was brought up: its name, directory, files and env file, from the
    container's labels; with `file` in place of those that they name.

    Raises NotFound.
    """
    labels = container.labels
    folder = labels.get(f"{LABEL}project.working_dir", "")
    files = (
        [str(file)]
        if file is not None
        else labels.get(f"{LABEL}project.config_files", "").split(",")
    )
    found = ["-p", labels[f"{LABEL}project"], "--project-directory", folder]
    for one in filter(None, files):
        path = Path(folder, one)
        if not path.is_file():
            raise NotFound(f"the Compose file {path} is not there", "say `file:`")
        found += ["-f", str(path)]
    for path in env_files(container):
        if not path.is_file():
            hint = "it was brought up with this --env-file; bring it up again as it is now"
            raise NotFound(f"the project's env file {path} is not there", hint)
        found += ["--env-file", str(path)]
    return found


def env_files(container: Container) -> list[Path]:
    """What the project was brought up with by `--env-file`, which may be said several times.

    The label joins them by commas, which a path may have itself. Source:
    https://github.com/docker/compose/blob/main/cmd/compose/compose.go (`EnvironmentFileLabel`).
    """
    label = container.labels.get(f"{LABEL}project.environment_file", "")
    folder = container.labels.get(f"{LABEL}project.working_dir", "")
    whole = Path(folder, label)
    files = [label] if whole.is_file() else label.split(",")
    return [Path(folder, file) for file in files if file]


def takes(text: str, name: str) -> bool:
    """`${NAME}`, `$NAME`, or the name alone in `environment:`."""
    return re.search(rf"\$\{{?{name}\b|^\s*-\s*{name}\s*$|^\s*{name}:\s*$", text, re.M) is not None


@cache
def installed() -> tuple[str, ...]:
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


def reader(version: str) -> str:
    """How the Compose that made a container reads files: the first one did so otherwise, and before
    1.26 line by line and verbatim, as docker itself does (but for blanks at a line's end).

    Source: docker-compose's compose/config/environment.py.
    """
    first, _, rest = version.partition(".")
    if first != "1":
        return "compose"
    minor = rest.partition(".")[0]
    return "docker" if minor.isdigit() and int(minor) < 26 else "compose-1"
