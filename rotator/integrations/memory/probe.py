"""Probe `memory`: asks an issuer of this process."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.errors import Rejected
from rotator.integrations.memory.world import WORLD
from rotator.model import Credential
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class MemoryProbe:
    """Ask an issuer that lives in this process whether it accepts the key; for rehearsals and
    tests.
    """

    issuer: str = setting("Name of the issuer")

    @property
    def name(self) -> str:
        return f"memory {self.issuer}"

    asks_with_key = True

    def probe(self, credential: Credential) -> None:
        if not WORLD.issuer(self.issuer).accepts(credential.primary.reveal()):
            raise Rejected(f"{self.issuer} refuses the key")
