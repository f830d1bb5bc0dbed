"""Vault and OpenBao: the KV engine, references, and the transit engine."""

from __future__ import annotations

from rotator.plugin import Integration, Wrapping

PLUGINS = Integration(
    stores={"vault": "store:VaultStore"},
    references={"vault": "references:field"},
    wrappers={"vault-transit": Wrapping("wrapper:TransitWrapper", "vault:v")},
    extra="vault",
)
