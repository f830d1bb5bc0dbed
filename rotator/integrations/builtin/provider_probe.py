"""Probe `provider`: the provider's own cheapest authenticated call; the engine hands it the
provider.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rotator.model import Credential


@dataclass(frozen=True, kw_only=True)
class ProviderProbe:
    """Ask the provider itself, for instance GET /v1/models; the new key must see what the old one
    saw.
    """

    provider: Any = field(
        default=None, repr=False
    )  # a plugin.Provider, handed over when the playbook is loaded

    name = "provider"

    def probe(self, credential: Credential) -> None:
        self.provider.probe(credential)
