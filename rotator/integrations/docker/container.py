"""A container as the engine tells it.

Source: https://docs.docker.com/reference/api/engine/ (containers).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotator.secret import Secret


@dataclass(frozen=True, slots=True)
class Container:
    """One container as the engine tells it.

    `skew`: seconds by which the engine's clock is ahead of ours.
    """

    raw: Mapping[str, Any]
    skew: float = 0.0

    @property
    def id(self) -> str:
        return str(self.raw["Id"])

    @property
    def name(self) -> str:
        return str(self.raw["Name"]).lstrip("/")

    @property
    def labels(self) -> Mapping[str, str]:
        return self.raw["Config"].get("Labels") or {}

    @property
    def state(self) -> Mapping[str, Any]:
        return self.raw["State"]  # type: ignore[no-any-return]

    @property
    def running(self) -> bool:
        return bool(self.state.get("Running")) and not self.state.get("Restarting")

    @property
    def health(self) -> str:
        """'healthy', 'starting', 'unhealthy', or '' without a health check."""
        found = (self.state.get("Health") or {}).get("Status", "")
        return "" if found == "none" else str(found)

    @property
    def started_at(self) -> float:
        """Its last start, in Unix seconds by this machine's clock; 0 for one that never ran."""
        return max(0.0, moment(self.state.get("StartedAt", "")) - self.skew)

    @property
    def made_at(self) -> float:
        """When it was made, and with it its environment; the same clock."""
        return max(0.0, moment(self.raw.get("Created", "")) - self.skew)

    def variable(self, name: str) -> Secret | None:
        """A variable of the environment that the container was made with."""
        start = f"{name}="
        found = next(
            (entry for entry in self.raw["Config"].get("Env") or () if entry.startswith(start)),
            None,
        )
        return Secret(found[len(start) :]) if found is not None else None


def moment(text: str) -> float:
    """Unix seconds of an engine's time; 0 for its zero time ('0001-01-01T00:00:00Z')
    and for none.
    """
    found = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if found is None or text.startswith("0001"):
        return 0.0
    whole = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00")).timestamp()
    return whole + float(found[2] or 0)
