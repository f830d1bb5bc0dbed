"""The sealing key wrapped by Vault's transit engine: what lies on the disk opens nothing by itself.

Source: Vault's API of transit/datakey and transit/decrypt.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.errors import ConfigError, NotFound
from rotator.integrations.vault.server import Vault
from rotator.secret import Secret


@dataclass(frozen=True, slots=True)
class TransitWrapper:
    """`vault-transit:MOUNT/KEY`; where Vault is, the environment says.

    Raises ConfigError for another form.
    """

    key: str

    def __post_init__(self) -> None:
        if "/" not in self.key:
            raise ConfigError(f"vault-transit:{self.key} names no mount", "vault-transit:MOUNT/KEY")

    def make(self) -> tuple[Secret, str]:
        """A new key (base64 of 32 bytes), and the same wrapped.

        Raises what Vault says, NotFound.
        """
        answer = Vault().call("POST", self._path("datakey/plaintext"), {"bits": 256}, safe=True)
        if not answer.found:
            raise self._missing()
        return Secret(str(answer.data["plaintext"])), str(answer.data["ciphertext"])

    def open(self, wrapped: str) -> Secret:
        """The key itself.

        Raises what Vault says: AccessDenied, TransientError, PermanentError, NotFound.
        """
        answer = Vault().call("POST", self._path("decrypt"), {"ciphertext": wrapped}, safe=True)
        if not answer.found:
            raise self._missing()
        return Secret(str(answer.data["plaintext"]))

    def _path(self, operation: str) -> str:
        mount, _, key = self.key.rpartition("/")
        return f"{mount}/{operation}/{key}"

    def _missing(self) -> NotFound:
        mount, _, key = self.key.rpartition("/")
        return NotFound(
            f"there is no transit key {self.key}", f"`vault write -f {mount}/keys/{key}`"
        )
