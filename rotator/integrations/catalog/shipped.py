"""The catalog files that come with rotator: where they are, and what keys look like.

Nothing here parses them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from pathlib import Path


def catalog() -> Path:
    """The directory of the files."""
    return Path(str(resources.files("rotator.integrations.catalog") / "entries"))


@lru_cache
def shipped() -> dict[str, Path]:
    """The files, by provider name."""
    return {path.stem: path for path in sorted(catalog().glob("*.yaml"))}


def key_patterns() -> list[str]:
    """Patterns of all these providers' keys, for the redactor: of their texts alone, which are
    written so.

    A user's own file, in whatever quotes, gives its pattern when it is loaded
    (rotator.playbook.catalog).
    """
    found = (
        re.search(r"^pattern: '(.*)'$", path.read_text(encoding="utf-8"), re.M)
        for path in shipped().values()
    )
    return [match[1] for match in found if match]
