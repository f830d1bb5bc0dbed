"""The sealing key wrapped by AWS KMS: what lies on the disk opens nothing by itself.

Source: AWS KMS's API of GenerateDataKey and Decrypt.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from rotator.integrations.aws import client
from rotator.secret import Secret

_PREFIX = "aws-kms:"  # before what KMS wrapped: it is bytes, and says of itself nothing


@dataclass(frozen=True, slots=True)
class KmsWrapper:
    """`aws-kms:KEY_ID`; account and region are the environment's."""

    key: str

    def make(self) -> tuple[Secret, str]:
        """A new key (base64 of 32 bytes), and the same wrapped. Raises what KMS says."""
        made = client.call(
            client.Account(),
            "kms",
            "generate_data_key",
            safe=True,
            KeyId=self.key,
            KeySpec="AES_256",
        )
        plain = base64.b64encode(made["Plaintext"]).decode()
        return Secret(plain), _PREFIX + base64.b64encode(made["CiphertextBlob"]).decode()

    def open(self, wrapped: str) -> Secret:
        """The key itself. Raises what KMS says: AccessDenied, TransientError, PermanentError."""
        blob = base64.b64decode(wrapped.removeprefix(_PREFIX))
        found = client.call(
            client.Account(), "kms", "decrypt", safe=True, KeyId=self.key, CiphertextBlob=blob
        )
        return Secret(base64.b64encode(found["Plaintext"]).decode())
