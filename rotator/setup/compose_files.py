"""A Compose file, or a stack's: which services read which file, variable or secret.

Source: the Compose Specification (`env_file`, `environment`, `secrets`, interpolation),
https://github.com/compose-spec/compose-spec/blob/main/spec.md
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotator import plain
from rotator.errors import PermanentError
from rotator.secret import Secret
from rotator.setup.found import Source, User

_TAKEN = re.compile(r"\$\{?([A-Za-z_]\w*)")
_NAMES = re.compile(r"(?:.*[.-])?(?:docker-)?(?:compose|stack)(?:[.-].*)?\.ya?ml")


def looks_like_one(path: Path) -> bool:
    return _NAMES.fullmatch(path.name) is not None


@dataclass
class Compose:
    """What stands in one file. `env_files`: by file, the services that have all of its variables;
    `project`: by variable of the project's `.env`, what services call it; `said`: what cannot be a
    store.
    """

    path: Path
    is_stack: bool = False
    env_files: dict[Path, list[str]] = field(default_factory=dict)
    taken: dict[str, dict[str, str]] = field(default_factory=dict)  # service → variable → its name
    secrets: list[Source] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def project_file(self) -> Path:
        """What Compose fills `${NAME}` in from."""
        return self.path.parent / ".env"

    def users(self, env_file: Path) -> Iterator[User]:
        """Who reads this file, as restarters."""
        if self.is_stack:
            return
        if services := self.env_files.get(env_file):
            yield User(self._restarter(services))
        if env_file == self.project_file:
            for service, names in self.taken.items():
                if service not in (services or ()):
                    yield User(self._restarter([service]), variables=names)

    def _restarter(self, services: list[str]) -> dict[str, Any]:
        return {"uses": "compose", "file": str(self.path), "services": services}


def read(path: Path, data: Mapping[str, Any]) -> Compose:
    """The file's meaning. What has not the shape that it should have is passed over."""
    found = Compose(path, is_stack=_is_stack(path, data))
    for name, service in _maps(data.get("services")):
        for file in _env_files(service.get("env_file")):
            found.env_files.setdefault(_from(path, file), []).append(name)
        taken, written = _environment(service.get("environment"))
        if taken:
            found.taken[name] = taken
        if written:
            found.said.append(
                f"{path.name} gives {', '.join(written)} to {name} in its own text, which is no"
                " store: put the value into an env_file"
            )
    for name, secret in _maps(data.get("secrets")):
        services = [
            service
            for service, entry in _maps(data.get("services"))
            if name in _sources(entry.get("secrets"))
        ]
        found.secrets += _secret(found, name, secret, services)
    if found.is_stack and (found.env_files or found.taken):
        found.said.append(
            f"{path.name} is a stack: `docker stack deploy` alone hands its variables over, so a"
            " key in them is not rotated; make it a secret of the swarm"
        )
    return found


def _from(path: Path, file: str) -> Path:
    """A file as this one names it; by one name, else it would be two stores."""
    return Path(os.path.normpath(path.parent / file))


def _is_stack(path: Path, data: Mapping[str, Any]) -> bool:
    """By its name, or by a secret of the swarm that it only refers to."""
    return "stack" in path.name or any(
        secret.get("external") for _, secret in _maps(data.get("secrets"))
    )


def _secret(
    found: Compose, name: str, secret: Mapping[str, Any], services: list[str]
) -> Iterator[Source]:
    if secret.get("external"):
        called = str(secret.get("name") or name)
        store = {"uses": "swarm", "secret": called}
        user = User({"uses": "swarm", "services": "discover"}, by_env=False)
        yield Source(f"the swarm's secret {called}", store, {called: None}, (user,), whole=True)
    elif secret.get("file") and not found.is_stack:
        path = _from(found.path, str(secret["file"]))
        user = User(found._restarter(services), by_env=False)
        yield file_source(path, name, (user,) if services else ())
    elif secret.get("file"):
        found.said.append(
            f"{found.path.name} makes the secret {name} of a file, and a secret of a swarm never"
            " changes: declare it `external: true`, and rotator makes its successors"
        )


def file_source(path: Path, name: str, users: tuple[User, ...]) -> Source:
    """A file that holds one key and nothing else."""
    try:
        value = Secret(plain.text(path).strip())
    except (OSError, UnicodeDecodeError, PermanentError):  # a pipe would be waited for
        value = None
    store = {"uses": "file", "path": str(path)}
    known_as = {name: path.stem}
    return Source(str(path), store, {name: value}, users, True, path=path, known_as=known_as)


def _maps(data: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Its entries that are mappings."""
    return [
        (str(name), entry)
        for name, entry in (data.items() if isinstance(data, Mapping) else ())
        if isinstance(entry, Mapping)
    ]


def _env_files(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        path = one.get("path") if isinstance(one, Mapping) else one
        if isinstance(path, str):
            yield path


def _environment(value: Any) -> tuple[dict[str, str], list[str]]:
    """By variable of the project: what the service calls it; and the names of those whose value
    is written out.
    """
    pairs: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        pairs = [(str(name), text) for name, text in value.items()]
    elif isinstance(value, list):
        parts = [str(one).partition("=") for one in value]
        pairs = [(name, text if sign else None) for name, sign, text in parts]
    taken: dict[str, str] = {}
    written: list[str] = []
    for name, text in pairs:
        if text is None:
            taken[name] = name
        elif isinstance(text, str) and (names := _TAKEN.findall(text)):
            taken.update(dict.fromkeys(names, name))
        elif isinstance(text, str) and text and looks_secret(name):
            written.append(name)
    return taken, written


def looks_secret(name: str) -> bool:
    """Whether a variable's name says that it is a key."""
    return re.search(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)(?:_|$)", name.upper()) is not None


def _sources(value: Any) -> set[str]:
    """Which secrets a service names, in short or long form."""
    every = value if isinstance(value, list) else []
    return {str(one.get("source") if isinstance(one, Mapping) else one) for one in every}
