"""The channels that rotator.toml names, for all playbooks: `[notify.NAME]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rotator.errors import ConfigError
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.places import Places, absolute, working_directory
from rotator.playbook.playbook import ChannelEntry
from rotator.playbook.registry import CHANNEL, Registry
from rotator.playbook.yaml import Document, Path_

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def checked(found: Any, file: Path, foreign: str = "") -> dict[str, Any]:
    """The tables of a settings file, with absolute paths. `foreign`: why it is somebody else's
    word, who may name no program.

    Raises ConfigError with the first mistake.
    """

    def wrong(path: Path_, text: str, hint: str) -> None:
        raise ConfigError(f"{file}: {'.'.join(map(str, path))}: {text}", hint)

    if not isinstance(found, Mapping):
        wrong(("notify",), "it is a table of channels", "[notify.ops], then its settings")
    registry = Registry()
    places = Places(absolute(file.parent, working_directory()), wrong, foreign=foreign)
    tables = {}
    for name, data in found.items():
        where = ("notify", name)
        if not _NAME.fullmatch(name):
            wrong(where, "that cannot be a channel's name", "use a-z, 0-9, - and _")
        if not isinstance(data, Mapping):
            wrong(where, "a channel is a table", f"[notify.{name}], then its settings")
        plugin = registry.find(CHANNEL, str(data.get("uses")))
        tables[name] = places.settings(plugin, data, where) if plugin is not None else dict(data)
    try:
        made(tables)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", error.hint) from error
    return tables


def made(tables: Mapping[str, Any]) -> tuple[ChannelEntry, ...]:
    """Each table as an entry of `notify:`. Raises ConfigError with the first mistake."""
    mistakes: list[Mistake] = []
    loader = Loader(Registry(), Document("rotator.toml", dict(tables), {}), mistakes)
    entries = []
    for name, data in tables.items():
        entries.append(loader.channel(dict(data), name, ("notify", name)))
        if mistakes:
            raise ConfigError(mistakes[0].text, mistakes[0].hint)
    return tuple(one for one in entries if one is not None)
