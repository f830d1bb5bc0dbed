"""Provider `memory`: issues keys in this process, with every kind of overlap and recovery."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rotator.durations import Seconds
from rotator.errors import QuotaExceeded, Rejected, Unsupported
from rotator.integrations.memory.world import WORLD, IssuedKey, Issuer
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    NotYet,
    Overlap,
    Recovery,
    single,
)
from rotator.plugin import ProviderDefaults, setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class MemoryProvider(ProviderDefaults):
    """Issue keys from an issuer that lives in this process; for rehearsals and tests."""

    issuer: str = setting("Name of the issuer")
    overlap: Overlap = setting("many, two slots or none", default=Overlap.MANY)
    recovery: Recovery = setting("label, reread, difference or none", default=Recovery.LABEL)
    can_deactivate: bool = setting("Whether keys can be switched off and on again", default=False)
    can_list: bool = setting("Whether keys can be listed", default=True)
    list_lag: Seconds = setting("How long a listing may lag", default=0.0)
    quota: int = setting("How many keys there can be; 0 = any number", default=0)
    tells_use: bool = setting("Whether the last use of keys is told", default=True)
    propagation: Seconds = setting(
        "How long until a new key, or the end of one, is known everywhere", default=0.0
    )
    life: Seconds = setting("How long its keys live; 0 = without end", default=0.0)
    supplied: bool = False

    @property
    def _issuer(self) -> Issuer:
        return WORLD.issuer(self.issuer, self.overlap)

    def preflight(self) -> list[Finding]:
        return []

    def _slot(self, like: Credential | None) -> int:
        current = self._issuer.by_value(like.primary.reveal()) if like else None
        return 1 - current.slot if current else 0

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        slot = self._slot(like) if self.overlap is Overlap.TWO_SLOTS else 0
        if (
            self.quota
            and sum(key.state != "dead" for key in self._issuer.keys.values()) >= self.quota
        ):
            raise QuotaExceeded(f"{self.issuer} has {self.quota} keys already")
        text = label.text if self.recovery is Recovery.LABEL else ""
        issued = self._issuer.create(text, slot)
        ends = (issued.record.created_at or 0.0) + self.life if self.life else None
        return replace(_credential(issued), expires_at=ends)

    def reread(self, like: Credential | None) -> Credential | None:
        slot = self._slot(like) if self.overlap is Overlap.TWO_SLOTS else 0
        live = [
            key for key in self._issuer.keys.values() if key.state == "live" and key.slot == slot
        ]
        return _credential(live[-1]) if live else None

    def inventory(self) -> list[KeyRecord]:
        if not self.can_list:
            raise Unsupported("this issuer cannot list its keys")
        issuer = self._issuer
        return [
            replace(key.record, active=key.state == "live")
            for key_id, key in issuer.keys.items()
            if key.state != "dead" and key_id not in issuer.hidden
        ]

    def deactivate(self, credential: Credential) -> None:
        self._switch(credential, "off")

    def reactivate(self, credential: Credential) -> None:
        self._switch(credential, "live")

    def _switch(self, credential: Credential, state: str) -> None:
        if not self.can_deactivate:
            raise Unsupported("this issuer cannot switch its keys off and on")
        self._set(credential, state)

    def revoke(self, credential: Credential) -> None:
        self._set(credential, "dead")

    def _set(self, credential: Credential, state: str) -> None:
        found = self._issuer.keys.get(credential.id)
        if found is None and credential.values:
            found = self._issuer.by_value(credential.primary.reveal())
        if found is not None and found.state != "dead":
            found.state = state

    def probe(self, credential: Credential) -> Identity:
        if not self._issuer.accepts(credential.primary.reveal()):
            raise Rejected(f"{self.issuer} refuses this key")
        return Identity({"issuer": self.issuer})

    def looks_right(self, value: Secret) -> str:
        return "" if value.reveal().startswith("mem-") else "keys of this issuer begin with mem-"


def _credential(issued: IssuedKey) -> Credential:
    return single(issued.value, key_id=issued.record.id, hint=f"…{issued.value[4:-20]}")
