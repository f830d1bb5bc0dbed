"""Provider `acme`."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from acme_rotator.service import Service
from rotator.errors import Rejected, Unsupported
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    Level,
    Overlap,
    Recovery,
    single,
)
from rotator.plugin import ProviderDefaults, setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class AcmeProvider(ProviderDefaults):
    """Issue keys of Acme."""

    folder: str = setting("Folder of the service", path=True)

    overlap = Overlap.MANY
    recovery = Recovery.LABEL
    supplied = False
    can_list = True
    can_deactivate = True
    list_lag = 0.0

    @property
    def _service(self) -> Service:
        return Service(self.folder)

    def preflight(self) -> list[Finding]:
        return [Finding(Level.OK, f"acme: {len(self._service.load('keys'))} keys")]

    def generate(self, label: Label, like: Credential | None) -> Credential:
        keys = self._service.load("keys")
        key_id, value = f"key_{len(keys)}", f"acme-{secrets.token_hex(16)}"
        hint = f"acme-…{value[-6:]}"
        keys[key_id] = {"label": label.text, "hint": hint, "value": value, "state": "live"}
        self._service.save("keys", keys)
        return single(value, key_id=key_id, hint=hint)

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("acme shows a key once")

    def inventory(self) -> list[KeyRecord]:
        return [
            KeyRecord(key_id, key["label"], key["hint"], active=key["state"] == "live")
            for key_id, key in self._service.load("keys").items()
            if key["state"] != "dead"
        ]

    def deactivate(self, credential: Credential) -> None:
        self._set(credential, "off")

    def reactivate(self, credential: Credential) -> None:
        self._set(credential, "live")

    def revoke(self, credential: Credential) -> None:
        self._set(credential, "dead")

    def _set(self, credential: Credential, state: str) -> None:
        keys = self._service.load("keys")
        if credential.id in keys:
            keys[credential.id]["state"] = state
            self._service.save("keys", keys)

    def probe(self, credential: Credential) -> Identity:
        value = credential.primary.reveal()
        keys = self._service.load("keys").values()
        if not any(key["value"] == value and key["state"] == "live" for key in keys):
            raise Rejected("acme refuses this key")
        return Identity({"customer": self.folder})

    def looks_right(self, value: Secret) -> str:
        right = value.reveal().startswith("acme-")
        return "" if right else "keys of Acme begin with acme-"
