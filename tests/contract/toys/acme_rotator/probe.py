"""Probe `acme`."""

from __future__ import annotations

from dataclasses import dataclass

from acme_rotator.service import Service
from rotator.errors import Rejected
from rotator.model import Credential
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class AcmeProbe:
    """Ask Acme whether it accepts the key."""

    folder: str = setting("Folder of the service", path=True)

    @property
    def name(self) -> str:
        return f"acme {self.folder}"

    def probe(self, credential: Credential) -> None:
        value = credential.primary.reveal()
        keys = Service(self.folder).load("keys").values()
        if not any(key["value"] == value and key["state"] == "live" for key in keys):
            raise Rejected("acme refuses this key")
