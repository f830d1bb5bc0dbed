"""The one door to Vault and OpenBao: a server, and who asks it.

What a playbook does not say comes from VAULT_ADDR, VAULT_NAMESPACE and VAULT_CACERT, as Vault's
users expect it (https://developer.hashicorp.com/vault/docs/commands#environment-variables).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any

from rotator.errors import AccessDenied, NotFound
from rotator.integrations.vault import login
from rotator.integrations.vault.login import VaultAuth
from rotator.integrations.vault.wire import Answer, Wire
from rotator.plugin import setting

_MOUNT_KNOWN = 60.0  # seconds: `vault kv enable-versioning` is rare


@dataclass(frozen=True, kw_only=True)
class VaultConnection:
    """The settings that every plugin of Vault has: where to, and who asks."""

    address: str | None = setting(
        "Server, for instance https://vault:8200; else VAULT_ADDR", default=None, connection=True
    )
    namespace: str | None = setting(
        "Namespace; else VAULT_NAMESPACE", default=None, connection=True
    )
    ca_cert: str | None = setting(
        "File with the authority to trust; else VAULT_CACERT",
        default=None,
        connection=True,
        path=True,
    )
    auth: VaultAuth = setting(
        "How to log in: {token: {env: NAME}}, {file: PATH}, {approle: {role_id, secret_id}} or"
        " {kubernetes: {role}}; else VAULT_TOKEN or ~/.vault-token",
        default=VaultAuth(),
        connection=True,
    )

    @property
    def vault(self) -> Vault:
        return Vault(self.address, self.namespace, self.ca_cert, self.auth)

    def usual_address(self) -> str:
        """As the environment has it."""
        return "" if self.address else self.vault.url


_mounts: dict[tuple[Vault, str], tuple[str, int, float]] = {}


@dataclass(frozen=True, slots=True)
class Vault:
    """A server and who asks it; what is None comes from the environment at each call."""

    address: str | None = None
    namespace: str | None = None
    ca_cert: str | None = None
    auth: VaultAuth = field(default_factory=VaultAuth)

    @property
    def url(self) -> str:
        return (self.address or os.environ.get("VAULT_ADDR") or "https://127.0.0.1:8200").rstrip(
            "/"
        )

    @property
    def _wire(self) -> Wire:
        authority = self.ca_cert or os.environ.get("VAULT_CACERT")
        checked = os.environ.get("VAULT_SKIP_VERIFY", "") not in ("1", "true")
        namespace = self.namespace or os.environ.get("VAULT_NAMESPACE")
        return Wire(self.url, namespace, authority or checked)

    def call(self, method: str, path: str, body: Any = None, *, safe: bool, **query: Any) -> Answer:
        """One request, sent once; a `body` that is a text is JSON already. `safe`: it may be sent
        twice.

        Raises TransientError (nothing happened), OutcomeUnknown (an unsafe one may have),
        AccessDenied, PermanentError (its message is the server's), ConfigError, LeaseLost.
        """
        send = self._wire.send
        token, given = login.token(self, self.auth, send)
        try:
            return send(token, method, path, body, safe=safe, query=query)
        except AccessDenied:
            if given or login.lives(token, send):
                raise
        login.forget(self)
        token, _ = login.token(self, self.auth, send)
        return send(token, method, path, body, safe=safe, query=query)

    def kv_mount(self, path: str) -> tuple[str, int]:
        """The mount of a secret with its final slash, and the version of its KV engine; as `vault
        kv` asks for it.

        Raises NotFound, and what `call` raises.
        """
        known = _mounts.get((self, path))
        if known is None or time.monotonic() > known[2]:
            answer = self.call("GET", f"sys/internal/ui/mounts/{path}", safe=True)
            if not answer.found or answer.data.get("type") not in ("kv", "generic"):
                raise NotFound(
                    f"there is no KV engine at {path}", "`vault secrets list` shows the mounts"
                )
            version = str((answer.data.get("options") or {}).get("version"))
            known = (
                str(answer.data["path"]),
                2 if version == "2" else 1,
                time.monotonic() + _MOUNT_KNOWN,
            )
            _mounts[self, path] = known
        return known[0], known[1]
