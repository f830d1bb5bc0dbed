"""From what a person names to places that hold keys, with who reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rotator import plain
from rotator.errors import ConfigError, PermanentError
from rotator.setup import compose_files, env_files, live, manifests, units
from rotator.setup.compose_files import Compose
from rotator.setup.found import Source, User
from rotator.setup.manifests import Manifests
from rotator.setup.units import Unit

_YAML = (".yaml", ".yml")
_READABLE = "a text file, readable here"


@dataclass
class Found:
    """`said`: plain sentences about what was left out, and why."""

    sources: list[Source] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def look(named: Sequence[str], unit_folders: Sequence[Path] = units.FOLDERS) -> Found:
    """Every place that these names mean; without any, the working directory.

    Raises ConfigError for what is not there, and what a cluster or Vault raises.
    """
    found = Found()
    files: list[Path] = []
    for name in named or (".",):
        if name.startswith(live.KUBERNETES):
            found.sources.append(live.secret_of_cluster(name.removeprefix(live.KUBERNETES)))
        elif name.startswith(live.VAULT):
            found.sources.append(live.path_of_vault(name.removeprefix(live.VAULT)))
        else:
            files += _files(Path(name).expanduser().absolute())
    _read(list(dict.fromkeys(files)), list(units.installed(unit_folders)), found)
    return found


def _files(path: Path) -> Iterator[Path]:
    """The file; or what in a directory is worth reading. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(
            f"{path} does not exist",
            "a file, a directory, kubernetes:NAMESPACE/SECRET or vault:PATH",
        )
    if not path.is_dir():
        yield path
        return
    for one in sorted(path.iterdir()):
        is_env = env_files.looks_like_one(one) and not env_files.is_example(one)
        if one.is_file() and (is_env or one.suffix in _YAML or units.is_one(one)):
            yield one


def _read(files: Sequence[Path], installed: list[Unit], found: Found) -> None:
    env: list[Path] = []
    composes: list[Compose] = []
    objects = Manifests()
    for path in files:
        if units.is_one(path):
            installed.append(_unit(path))
        elif path.suffix in _YAML:
            documents = manifests.documents(path, _text(path))
            if manifests.are_some(documents):
                _merge(objects, manifests.read(documents))
            elif documents and isinstance(documents[0], Mapping) and "services" in documents[0]:
                composes.append(compose_files.read(path, documents[0]))
        else:
            env.append(path)
    for compose in composes:
        env += [path for path in compose.env_files if path.is_file()]
        if compose.taken and compose.project_file.is_file():
            env.append(compose.project_file)
    named = {path for path in files if units.is_one(path)}
    ours = [unit for unit in installed if unit.path in named]
    env += [Path(file) for unit in ours for file in unit.files if Path(file).is_file()]
    pids = live.pid_files(env)
    for path in dict.fromkeys(env):
        users = [*_of_composes(composes, path), *_of_units(installed, path)]
        one = env_files.source(path, users)
        found.sources.append(_with_processes(one, pids))
    found.sources += [source for compose in composes for source in compose.secrets]
    found.sources += _credentials(ours)
    found.sources += objects.sources()
    found.said += [text for compose in composes for text in compose.said]
    found.said += [*objects.unread(), *_missing(ours, composes)]
    for unit in ours:
        found.said += [
            f"{unit.name} has {name} in its own text, which is no store: put it into an"
            " EnvironmentFile"
            for name in unit.written
            if compose_files.looks_secret(name)
        ]


def _text(path: Path) -> str:
    """Raises ConfigError for what is no text."""
    try:
        return plain.text(path)
    except (OSError, UnicodeDecodeError, PermanentError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", _READABLE) from error


def _unit(path: Path) -> Unit:
    """Raises ConfigError for what is no text."""
    try:
        return units.read(path)
    except (OSError, UnicodeDecodeError, PermanentError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", _READABLE) from error


def _merge(into: Manifests, more: Manifests) -> None:
    """What one file says of a Secret adds to what another one does; a value that is known stays."""
    for secret, keys in more.keys.items():
        known = into.keys.setdefault(secret, {})
        for key, value in keys.items():
            known[key] = known.get(key) or value
    for secret, names in more.known_as.items():
        into.known_as.setdefault(secret, {}).update(names)
    for secret, workloads in more.whole.items():
        into.whole.setdefault(secret, []).extend(workloads)


def _of_composes(composes: Iterable[Compose], path: Path) -> Iterator[User]:
    for compose in composes:
        yield from compose.users(path)


def _of_units(installed: Iterable[Unit], path: Path) -> Iterator[User]:
    seen: set[str] = set()
    for unit in installed:
        if str(path) in unit.files and unit.name not in seen:
            seen.add(unit.name)
            yield unit.user


def _with_processes(source: Source, pids: list[Path]) -> Source:
    """What no other restarter reaches: a process with a pid file."""
    if source.users:
        return source
    users = [user for user, _ in live.processes(source.values, pids)]
    return replace(source, users=(*source.users, *users))


def _credentials(units_: Iterable[Unit]) -> Iterator[Source]:
    for unit in units_:
        for name, place in unit.credentials:
            yield compose_files.file_source(Path(place), name, (unit.reads_credentials,))


def _missing(units_: Iterable[Unit], composes: Iterable[Compose]) -> Iterator[str]:
    """Files that somebody names and that are not here."""
    named: list[tuple[str, Any]] = [(unit.name, file) for unit in units_ for file in unit.files]
    named += [(compose.path.name, file) for compose in composes for file in compose.env_files]
    for who, file in named:
        if not Path(file).is_file():
            yield f"{who} reads {file}, which is not here"
