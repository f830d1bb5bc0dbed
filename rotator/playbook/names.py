"""The names that a file gives to playbooks, told without loading them: a shell that completes a
word waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rotator import plain
from rotator.errors import RotatorError
from rotator.playbook.template import member_name
from rotator.playbook.yaml import load

_SEVERAL = re.compile(r"^(?:pool|for_each)\s*:", re.M)
_BIGGEST = 1_000_000


def names_in(path: Path) -> list[str]:
    """Its own, and those of its members or entries; of a file that cannot be read, its own."""
    try:
        text = plain.text(path, _BIGGEST)
    except (OSError, UnicodeDecodeError, RotatorError):
        return [path.stem]
    if not _SEVERAL.search(text):
        return [path.stem]
    data = load(path, path.name)[0].data
    return list(_names(path.stem, data)) if isinstance(data, dict) else [path.stem]


def _names(name: str, data: dict[str, object]) -> Iterator[str]:
    yield name
    for one in _list(data.get("for_each")):
        if isinstance(one, dict) and "name" in one:
            yield f"{name}-{one['name']}"
    for one in _list(data.get("pool")):
        if isinstance(one, str):
            yield member_name(name, one)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
