"""References {vault: PATH#FIELD}; server and token come from the environment, as for `vault kv get
-field`.

Source: https://developer.hashicorp.com/vault/docs/commands/kv/get
"""

from __future__ import annotations

from rotator.errors import ConfigError, NotFound, PermanentError
from rotator.integrations.vault.server import Vault


def field(where: str | tuple[str, ...]) -> str:
    """One field of a KV secret, of either version of the engine."""
    path, _, name = str(where).partition("#")
    path = path.strip("/")
    if not name:
        raise ConfigError(
            f"{{vault: {path}}} names no field",
            "for instance {vault: secret/admin#OPENAI_ADMIN_KEY}",
        )
    server = Vault()
    mount, version = server.kv_mount(path)
    asked = f"{mount}data/{path.removeprefix(mount)}" if version == 2 else path
    answer = server.call("GET", asked, safe=True)
    fields = (answer.data.get("data") if version == 2 else answer.data) if answer.found else None
    if not fields or not fields.get(name):
        raise NotFound(f"{path} has no field {name}", f"`vault kv get -field={name} {path}`")
    if not isinstance(fields[name], str):
        raise PermanentError(
            f"{path} has a field {name} that is no text", "credentials are texts in JSON"
        )
    return str(fields[name])
