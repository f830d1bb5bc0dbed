"""Sealing credentials in the journal: AES-256-GCM, bound to playbook and field, under a key that
lives elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rotator import environment, plain
from rotator.clients import programs
from rotator.clients.wrapping import Ways
from rotator.errors import ConfigError, JournalError, OutcomeUnknown
from rotator.secret import Secret

_PREFIX = "aesgcm1:"


class Sealer(Protocol):
    """Seals and opens under a key; Vault transit and cloud KMS will be others."""

    @property
    def fingerprint(self) -> str:
        """Which key this is, without telling it."""

    def seal(self, text: Secret, context: str) -> str:
        """Sealed text, bound to `context`."""

    def open(self, sealed: str, context: str) -> Secret:
        """Raises JournalError if the key or the context is another one, or a bit was changed."""


@dataclass(frozen=True)
class AesGcmSealer:
    key: Secret  # base64 of 32 bytes

    @property
    def _bytes(self) -> bytes:
        return base64.b64decode(self.key.reveal())

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(
            b"rotator sealing key of an anchored journal" + self._bytes
        ).hexdigest()[:16]

    @property
    def fingerprint_before_anchors(self) -> str:
        """What stands in a journal from before it remembered its checkpoints; nobody can make it
        without the key.
        """
        return hashlib.sha256(b"rotator sealing key" + self._bytes).hexdigest()[:16]

    def seal(self, text: Secret, context: str) -> str:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        sealed = AESGCM(self._bytes).encrypt(nonce, text.reveal().encode(), context.encode())
        return _PREFIX + base64.b64encode(nonce + sealed).decode()

    def open(self, sealed: str, context: str) -> Secret:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        blob = base64.b64decode(sealed.removeprefix(_PREFIX))
        try:
            return Secret(
                AESGCM(self._bytes).decrypt(blob[:12], blob[12:], context.encode()).decode()
            )
        except InvalidTag as error:
            raise JournalError(
                "a sealed credential does not open", "is this the key that sealed it?"
            ) from error


@dataclass(frozen=True)
class KeySource:
    """Where the sealing key is: a file, or the environment, or the output of a command; `seal_with`
    wraps it there.
    """

    file: Path
    environment: str = "ROTATOR_KEY"
    command: str = ""
    seal_with: str = ""
    ways: Ways = field(default_factory=lambda: Ways({}), repr=False)

    def load(self) -> Secret | None:
        """The key, or None where the file does not exist.

        Raises ConfigError for an unsafe or unreadable one.
        """
        if value := os.environ.get(self.environment):
            return self._opened(value, f"${self.environment}")
        if self.command:
            return self._opened(self._asked(), "the key command")
        if not self.file.exists():
            return None
        _refuse_open_file(self.file)
        return self._opened(plain.text(self.file), str(self.file))

    def _asked(self) -> str:
        """What the key command prints. Raises ConfigError, JournalError (it does not end)."""
        try:
            ended = programs.run(["sh", "-c", self.command], own=environment.of_sdks(), timeout=30)
        except OutcomeUnknown as error:
            raise JournalError(
                f"the key command: {error.message}", "run it by hand to see why"
            ) from error
        if ended.code != 0:
            raise ConfigError(
                f"the key command ended with {ended.code}", "run it by hand to see why"
            )
        return ended.out

    def new_key(self) -> tuple[Secret, str]:
        """A new sealing key, and what is to be kept of it: wrapped where the settings
        say by whom.
        """
        if self.seal_with:
            return self.ways.parse(self.seal_with).make()
        text = base64.b64encode(secrets.token_bytes(32)).decode()
        return Secret(text), text

    def _opened(self, text: str, where: str) -> Secret:
        text = text.strip()
        if not self.ways.wrapped(text):
            return _checked(text, where)
        if not self.seal_with:
            raise ConfigError(
                f"{where} holds a wrapped key",
                "say by whom: `seal_with` in rotator.toml, ROTATOR_SEAL_WITH",
            )
        return _checked(self.ways.parse(self.seal_with).open(text).reveal(), where)

    def make(self) -> Secret:
        """Create the key file, readable by its owner only; whole, or not at all.

        Raises FileExistsError.
        """
        key, text = self.new_key()
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, beside = tempfile.mkstemp(dir=self.file.parent, prefix=f".{self.file.name}.")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            _put_in_place(Path(beside), self.file)
        finally:
            Path(beside).unlink(missing_ok=True)
        return key


def _put_in_place(made: Path, target: Path) -> None:
    """Raises FileExistsError where another process was faster."""
    try:
        os.link(made, target)
    except (
        OSError
    ):  # it is there already, which the next line says, too; or a file system has no hard links
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        made.rename(target)


def _refuse_open_file(path: Path) -> None:
    """World-readable or group-writable is refused; group-readable (Kubernetes' 0440 with fsGroup)
    is fine.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o027:
        raise ConfigError(
            f"the key file {path} is open to others (mode {mode:04o})", f"chmod 600 {path}"
        )


def _checked(text: str, where: str) -> Secret:
    text = text.strip()
    try:
        right = len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        right = False
    if not right:
        raise ConfigError(
            f"{where} does not hold a sealing key",
            "it is base64 of 32 bytes: openssl rand -base64 32",
        )
    return Secret(text)


def fingerprint(values: Mapping[str, Secret], key: str) -> str:
    """A keyed fingerprint of a credential, by its primary value: the same in one journal for the
    same value.
    """
    primary = next(iter(values.values()))
    return hmac.new(
        base64.b64decode(key), primary.reveal().encode() + b"\0", hashlib.sha256
    ).hexdigest()[:32]
