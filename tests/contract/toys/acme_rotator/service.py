"""Acme's service: JSON files of a folder; it does not answer where the folder is not there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.errors import TransientError


@dataclass(frozen=True)
class Service:
    """Keys, secrets and programs of one customer."""

    folder: str

    def load(self, name: str) -> dict[str, Any]:
        """What is there under this name, {} where there is nothing."""
        if not Path(self.folder).is_dir():
            raise TransientError(f"acme does not answer: {self.folder} is not there")
        path = Path(self.folder, f"{name}.json")
        loaded: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return loaded

    def save(self, name: str, content: dict[str, Any]) -> None:
        Path(self.folder, f"{name}.json").write_text(json.dumps(content))
