"""By what the journal knows the stores of a playbook: each by a name of its own."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rotator.playbook.registry import settings_of

_LONGEST = 200  # characters of settings and name: the journal's column has 300


def told_apart(stores: Sequence[Any]) -> list[str]:
    """Of each store the name that it gives itself; where others of the playbook give themselves the
    same (a Secret of one name in two clusters), with the settings by which they differ. Whoever has
    all of these by default keeps its name. Two of one name are one store.
    """
    several = Counter(store.name for store in stores)
    names = []
    for store in stores:
        others = [one for one in stores if one.name == store.name]
        said = _distinguishing(store, others) if several[store.name] > 1 else ""
        if said and len(store.name) + len(said) > _LONGEST:
            said = hashlib.sha256(said.encode()).hexdigest()[:12]
        names.append(f"{store.name} ({said})" if said else store.name)
    return names


def _distinguishing(store: Any, others: Sequence[Any]) -> str:
    defaults = {setting.name: setting.default for setting in settings_of(type(store))}
    told = [(name, value) for name, value in _values(store).items() if value != defaults[name]]
    ways = [_values(other) for other in others]
    differ = [
        one for one in told if any(one[0] not in way or way[one[0]] != one[1] for way in ways)
    ]
    return ", ".join(f"{name} {_text(value)}" for name, value in differ)


def _values(store: Any) -> dict[str, Any]:
    return {setting.name: getattr(store, setting.field) for setting in settings_of(type(store))}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value))
    return str(value)
