"""The sealing key wrapped by a key that never leaves its keeper: Vault's transit engine, or AWS KMS.

What lies on the disk is the wrapped key; it is unwrapped once, when the journal is opened. Sources: Vault's API for
transit/datakey and transit/decrypt, AWS KMS's for GenerateDataKey and Decrypt.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from rotator.errors import ConfigError, NotFound
from rotator.secret import Secret

_WAYS = ("vault-transit", "aws-kms")
_KMS = "aws-kms:"  # before a key that KMS wrapped; Vault's begin with vault:v1:


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Who wraps: `vault-transit:MOUNT/KEY` or `aws-kms:KEY`; where they are, the environment says."""

    way: str
    key: str

    @staticmethod
    def parse(text: str) -> Wrapper:
        """Raises ConfigError."""
        way, _, key = text.partition(":")
        if way not in _WAYS or not key or (way == "vault-transit" and "/" not in key):
            raise ConfigError(
                "ROTATOR_SEAL_WITH (or `seal_with` in rotator.toml) is no way to wrap the sealing key",
                "vault-transit:MOUNT/KEY, or aws-kms:KEY_ID",
            )
        return Wrapper(way, key)

    def make(self) -> tuple[Secret, str]:
        """A new key (base64 of 32 bytes), and the same wrapped."""
        if self.way == "vault-transit":
            from rotator.clients.vault import Vault

            answer = Vault().call("POST", self._transit("datakey/plaintext"), {"bits": 256}, safe=True)
            if not answer.found:
                raise self._missing()
            return Secret(str(answer.data["plaintext"])), str(answer.data["ciphertext"])
        from rotator.clients import aws

        made = aws.call(aws.Account(), "kms", "generate_data_key", safe=True, KeyId=self.key, KeySpec="AES_256")
        plain = base64.b64encode(made["Plaintext"]).decode()
        return Secret(plain), _KMS + base64.b64encode(made["CiphertextBlob"]).decode()

    def open(self, wrapped: str) -> Secret:
        """The key itself. Raises what the keeper says: AccessDenied, TransientError, PermanentError."""
        if self.way == "vault-transit":
            from rotator.clients.vault import Vault

            answer = Vault().call("POST", self._transit("decrypt"), {"ciphertext": wrapped}, safe=True)
            if not answer.found:
                raise self._missing()
            return Secret(str(answer.data["plaintext"]))
        from rotator.clients import aws

        blob = base64.b64decode(wrapped.removeprefix(_KMS))
        found = aws.call(aws.Account(), "kms", "decrypt", safe=True, KeyId=self.key, CiphertextBlob=blob)
        return Secret(base64.b64encode(found["Plaintext"]).decode())

    def _transit(self, operation: str) -> str:
        mount, _, key = self.key.rpartition("/")
        return f"{mount}/{operation}/{key}"

    def _missing(self) -> NotFound:
        mount, _, key = self.key.rpartition("/")
        return NotFound(f"there is no transit key {self.key}", f"`vault write -f {mount}/keys/{key}`")


def is_wrapped(text: str) -> bool:
    return text.startswith(("vault:v", _KMS))
