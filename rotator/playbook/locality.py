"""What of a playbook is on the machine where rotator runs: its plugins say so of themselves, and
references to files and programs are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rotator.plugin import Local, has
from rotator.reference import Reference

_HERE = ("file", "command")  # kinds of references that are resolved on this machine


def places(parts: Iterable[tuple[str, str, Any]]) -> tuple[str, ...]:
    """Of plugins, each with its kind and its name, those that are local."""
    return tuple(
        f"{kind} {name}" for kind, name, plugin in parts if has(plugin, Local) and plugin.local
    )


def secrets(plugins: Iterable[Any]) -> tuple[str, ...]:
    """References in their settings to what is on this machine, each once."""
    return tuple(dict.fromkeys(str(one) for plugin in plugins for one in _references(plugin)))


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        if value.kind in _HERE:
            yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _references(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            if field.init:
                yield from _references(getattr(value, field.name))
