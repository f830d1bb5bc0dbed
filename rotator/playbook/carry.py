"""A rotation keeps the playbook it began with; its connections (credentials, addresses) come from
today's.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.errors import ConfigError, RotatorError
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.places import PARTS, Places, absolute, file_from_here, working_directory
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry, settings_of
from rotator.playbook.yaml import Document, Path_


def kept(playbook: Playbook) -> str:
    """What a rotation keeps of its playbook, as JSON."""
    return json.dumps(
        {"file": playbook.file, "folder": playbook.folder, "data": playbook.definition}
    )


def said(playbook: Playbook) -> str:
    """What it says, as JSON: the same wherever rotator was started, by which a file's name goes."""
    return json.dumps({"folder": playbook.folder, "data": playbook.definition})


def is_of(definition: str, playbook: Playbook) -> bool:
    """Whether what a rotation kept is this playbook as it is."""
    found = json.loads(definition)
    then = {"folder": found.get("folder"), "data": found.get("data")}
    return json.dumps(then) == said(playbook)


def playbook_of(name: str, definition: str, today: Playbook | None, registry: Registry) -> Playbook:
    """The playbook that a rotation began with, connected as today.

    Raises ConfigError if it loads no more, or if it is from before paths were kept absolute and
    nobody can be certain which files it means.
    """
    found = json.loads(definition)
    data, folder = copy.deepcopy(found["data"]), found.get("folder")
    from_before = folder is None
    if today is not None and (from_before or not Path(folder).is_dir()):
        folder = today.folder  # where it was moved, programs run there, too
    folder = folder or absolute(Path(found["file"]).parent, working_directory())
    if today is not None and data != today.definition:
        _connect(data, today.definition, registry)
    if from_before:
        data = _from_before(name, data, folder, today, registry)
    if today is not None and data == today.definition:
        return today
    mistakes: list[Mistake] = []
    loaded = Loader(registry, Document(found["file"], data, {}, folder), mistakes, kept=True).load(
        name
    )
    if mistakes or not loaded:
        why = f"{mistakes[0].place}: {mistakes[0].text}" if mistakes else "it is empty"
        hint = mistakes[0].hint if mistakes else ""
        raise ConfigError(
            f"the playbook that {name} was begun with does not load any more: {why}",
            hint or "is a plugin or a catalog file gone? Put it right, then the same again",
        )
    return loaded[0]


def _connect(data: dict[str, Any], today: Mapping[str, Any], registry: Registry) -> None:
    for part, kind in PARTS.items():
        for then, now in zip(_entries(data.get(part)), _entries(today.get(part)), strict=False):
            plugin = (
                registry.find(kind, str(then.get("uses")))
                if then.get("uses") == now.get("uses")
                else None
            )
            if plugin is not None:
                _connect_entry(then, now, plugin)
    for then, now in zip(
        _entries(data.get("monitor")), _entries(today.get("monitor")), strict=False
    ):
        if then.get("uses") == now.get("uses"):
            _connect_entry(then, now, PrometheusMonitor)


def _connect_entry(then: dict[str, Any], now: Mapping[str, Any], plugin: type[Any]) -> None:
    for setting in settings_of(plugin):
        if setting.connection and setting.name in now:
            then[setting.name] = now[setting.name]


def _entries(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]


def _from_before(
    name: str, data: dict[str, Any], folder: str, today: Playbook | None, registry: Registry
) -> dict[str, Any]:
    """A definition with paths as they were written, each made absolute where it is certain what it
    means.
    """

    def unfit(where: Path_, text: str, hint: str) -> None:
        raise ConfigError(f"{name} was begun with {text}", hint)

    def find(kind: str, uses: str) -> type[Any] | None:
        try:
            return registry.find(kind, uses)
        except RotatorError:
            return None  # said when it is loaded

    return _Before(folder, unfit, False, name=name, today=today).playbook(data, find)


@dataclass(frozen=True)
class _Before(Places):
    """A rotation from before: a relative path began wherever rotator was started, and nobody wrote
    down where.

    It is certain where both readings are one place, or where a person has said by now which one it
    is.
    """

    name: str = ""
    today: Playbook | None = None

    def _found(self, value: str, expanded: str, where: Path_) -> str:
        path, here = absolute(expanded, self.folder), absolute(expanded, working_directory())
        if os.path.realpath(path) == os.path.realpath(here):
            return path
        if said := self._said(value, expanded, where):
            return said
        raise ConfigError(
            f"the rotation of {self.name} was begun with the relative path {value}: "
            f"is it {path}, by the playbook's folder, or {here}, by the working directory?",
            f"write the absolute path into the playbook in place of {value}, then order the same"
            " again",
        )

    def _argument(self, word: Any, where: Path_) -> Any:
        here = file_from_here(word) if isinstance(word, str) else ""
        same = (
            os.path.realpath(here) == os.path.realpath(absolute(word, self.folder))
            if here
            else True
        )
        return word if same else self._found(word, word, where)

    def _said(self, value: str, path: str, where: Path_) -> str:
        """What today's playbook means at the same place, where a person wrote something else there
        since; or ''.

        It must end as the old path does: another file is not the one that the rotation began with.
        """
        if self.today is None or _at(self.today.written, where) == value:
            return ""
        said = _at(self.today.definition, where)
        ending = tuple(part for part in Path(path).parts if part != "..")
        return (
            str(said)
            if isinstance(said, str) and Path(said).parts[-len(ending) :] == ending
            else ""
        )


def _at(data: Any, where: Path_) -> Any:
    """What stands at a place of a playbook's data; None where there is no such place."""
    for step in where:
        try:
            data = data[step]
        except (LookupError, TypeError):
            return None
    return data
