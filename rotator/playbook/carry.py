"""A rotation keeps the playbook it began with; its connections (credentials, addresses) come from today's."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from rotator.errors import ConfigError
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry, settings_of
from rotator.playbook.yaml import Document

_KINDS = {"generate": "provider", "store": "store", "restart": "restarter", "verify": "probe"}


def kept(playbook: Playbook) -> str:
    """What a rotation keeps of its playbook, as JSON."""
    return json.dumps({"file": playbook.file, "data": playbook.definition})


def playbook_of(name: str, definition: str, today: Playbook | None, registry: Registry) -> Playbook:
    """The playbook that a rotation began with, connected as today. Raises ConfigError if it loads no more."""
    found = json.loads(definition)
    data = copy.deepcopy(found["data"])
    if today is not None:
        if data == dict(today.definition):
            return today
        _connect(data, today.definition, registry)
    mistakes: list[Mistake] = []
    loaded = Loader(registry, Document(found["file"], data, {}), mistakes).load(name)
    if mistakes or not loaded:
        why = mistakes[0].text if mistakes else "it is empty"
        raise ConfigError(
            f"the playbook that {name} was begun with does not load any more: {why}",
            "is a plugin or a catalog file gone?",
        )
    return loaded[0]


def _connect(data: dict[str, Any], today: Mapping[str, Any], registry: Registry) -> None:
    for part, kind in _KINDS.items():
        for then, now in zip(_entries(data.get(part)), _entries(today.get(part)), strict=False):
            plugin = registry.find(kind, str(then.get("uses"))) if then.get("uses") == now.get("uses") else None
            if plugin is None:
                continue
            for setting in settings_of(plugin):
                if setting.connection and setting.name in now:
                    then[setting.name] = now[setting.name]


def _entries(value: Any) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    return [entry for entry in found if isinstance(entry, dict)]
