"""Who wraps the sealing key: a keeper from which no key can be taken.

Integrations say how (`wrappers`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from rotator.errors import ConfigError
from rotator.secret import Secret

_NO_WAY = "ROTATOR_SEAL_WITH (or `seal_with` in rotator.toml) is no way to wrap the sealing key"
_WAYS = "vault-transit:MOUNT/KEY, or aws-kms:KEY_ID"


class Wrapper(Protocol):
    """What lies on the disk is the wrapped key; it is unwrapped once, when the journal
    is opened.
    """

    def make(self) -> tuple[Secret, str]:
        """A new key (base64 of 32 bytes), and the same wrapped."""

    def open(self, wrapped: str) -> Secret:
        """The key itself.

        Raises what the keeper says: AccessDenied, TransientError, PermanentError.
        """


@dataclass(frozen=True, slots=True)
class Way:
    """How a wrapped key begins on the disk, and who opens it, made from what follows the way's
    name.
    """

    prefix: str
    wrapper: Callable[[str], Wrapper]


@dataclass(frozen=True)
class Ways:
    """All known ways, by name."""

    by_name: Mapping[str, Way]

    def parse(self, text: str) -> Wrapper:
        """`vault-transit:MOUNT/KEY`, `aws-kms:KEY`. Raises ConfigError."""
        name, _, key = text.partition(":")
        way = self.by_name.get(name)
        if way is None or not key:
            raise ConfigError(_NO_WAY, _WAYS)
        try:
            return way.wrapper(key)
        except ConfigError as error:  # of another form than this way has
            raise ConfigError(_NO_WAY, _WAYS) from error

    def wrapped(self, text: str) -> bool:
        return any(text.startswith(way.prefix) for way in self.by_name.values())
