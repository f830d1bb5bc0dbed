"""Store `aws-secrets-manager`: a secret as a whole, or fields of a JSON secret.

Source: Secrets Manager API reference (PutSecretValue, UpdateSecretVersionStage). A new version is
made as AWSPENDING and becomes AWSCURRENT by one call that names the version it takes the label
from: a compare-and-set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from rotator.clients import around, json_text
from rotator.clients.json_text import NoText
from rotator.errors import ConfigError, Conflict, NotFound, PermanentError
from rotator.integrations.aws import client as aws
from rotator.integrations.aws.client import AwsConnection
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import Address, setting

_SERVICE = "secretsmanager"
_CURRENT, _PENDING, _PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
_OURS = "rotator-"  # versions that rotator made, by their client token


@dataclass(frozen=True, kw_only=True)
class AwsSecretsManagerStore(AwsConnection):
    """Keep a credential in AWS Secrets Manager: the whole secret string, or one or several fields
    of a JSON object.

    Other fields stay as they are written. Consumers read AWSCURRENT; the version with a revoked key
    loses AWSPREVIOUS.
    """

    secret: str = setting("Name or ARN of the secret")
    key: str | None = setting(
        "Field of the JSON object; without it the secret string is the key", default=None
    )
    keys: Mapping[str, str] | None = setting(
        "Fields for credentials of several values: {FIELD: value}", default=None
    )

    compare_and_set = True
    write_only = False

    def __post_init__(self) -> None:
        if self.key is not None and self.keys is not None:
            raise ConfigError(
                "either `key` or `keys`", "`keys` is for credentials of several values"
            )

    @property
    def name(self) -> str:
        fields = self.key or ",".join(self.keys or ())
        return f"aws-secrets-manager {self.secret}" + (f"#{fields}" if fields else "")

    @property
    def writes(self) -> Address:
        """For a restarter that must know who takes a fixed version of it."""
        return Address("aws", self.secret)

    def _call(self, operation: str, *, safe: bool = True, **parameters: Any) -> dict[str, Any]:
        return aws.call(
            self.account, _SERVICE, operation, safe=safe, SecretId=self.secret, **parameters
        )

    def preflight(self) -> list[Finding]:
        try:
            found = self._call("describe_secret")
        except NotFound:
            return [
                Finding(
                    Level.ERROR, f"{self.name} does not exist", "aws secretsmanager create-secret"
                )
            ]
        if found.get("DeletedDate"):
            hint = f"aws secretsmanager restore-secret --secret-id {self.secret}"
            return [Finding(Level.ERROR, f"{self.name} is scheduled for deletion", hint)]
        told = []
        if found.get("RotationEnabled"):
            told.append(
                Finding(
                    Level.ERROR,
                    f"{self.name} has a rotation function of its own: two would rotate it",
                    f"aws secretsmanager cancel-rotate-secret --secret-id {self.secret}",
                )
            )
        lagging = [
            r["Region"] for r in found.get("ReplicationStatus", []) if r.get("Status") != "InSync"
        ]
        if lagging:
            told.append(
                Finding(Level.WARNING, f"{self.name} is not in sync in {', '.join(lagging)}")
            )
        if owner := found.get("OwningService"):
            hint = f"it is changed by {owner} alone: keep the key in a secret of your own"
            told.append(Finding(Level.ERROR, f"{self.name} belongs to {owner}", hint))
        pending = [
            v for v, stages in found.get("VersionIdsToStages", {}).items() if stages == [_PENDING]
        ]
        if pending and not pending[0].startswith(_OURS):
            told.append(
                Finding(
                    Level.WARNING, f"{self.name} has a pending version that rotator did not make"
                )
            )
        with contextlib.suppress(PermanentError):  # told when it is read
            texts = self._texts(
                self._call("get_secret_value", VersionStage=_CURRENT).get("SecretString")
            )
            told += [
                finding for text in texts.values() for finding in around.accidents(self.name, text)
            ]
        return told

    def read(self) -> Held | None:
        try:
            found = self._call("get_secret_value", VersionStage=_CURRENT)
        except NotFound:
            return None
        values, beside = split(self._held(found.get("SecretString")))
        written: Any = found.get("CreatedDate")
        at = float(written.timestamp()) if written is not None else None
        return Held(values, found["VersionId"], written_at=at, beside=beside) if values else None

    @property
    def _fields(self) -> Mapping[str, str]:
        """Without any, the secret string is the key."""
        return self.keys or ({self.key: "key"} if self.key is not None else {})

    def _texts(self, text: str | None) -> dict[str, str]:
        """What stands for each part of a credential in this secret string."""
        if text is None:
            raise PermanentError(
                f"{self.name} is binary", "rotator keeps keys in the secret string"
            )
        if not self._fields:
            return {"key": text}
        try:
            return {part: json_text.get(text, field) for field, part in self._fields.items()}
        except NoText as error:
            raise PermanentError(
                f"{self.name} {error}", "leave `key` out to keep the key as the whole"
            ) from error

    def _held(self, text: str | None) -> dict[str, str]:
        texts = {part: around.bare(text) for part, text in self._texts(text).items()}
        return {part: text for part, text in texts.items() if text}

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        current, text = self._current()
        if expect != (current if self._held(text) else ""):
            raise Conflict(f"{self.name} was changed by somebody else")
        made = f"{_OURS}{uuid4()}"
        wanted = {
            "ClientRequestToken": made,
            "SecretString": self._text(text, credential),
            "VersionStages": [_PENDING],
        }
        self._call("put_secret_value", safe=False, **wanted)
        self._promote(made, current)
        return made

    def _current(self) -> tuple[str, str | None]:
        """The present version and its secret string; empty where there is none yet.

        Raises NotFound.
        """
        try:
            found = self._call("get_secret_value", VersionStage=_CURRENT)
        except NotFound:
            self._call("describe_secret")
            return "", ""
        return str(found["VersionId"]), found.get("SecretString")

    def _text(self, before: str | None, credential: Credential) -> str:
        """The secret string with another key: all else in it stays as it is written."""
        texts, written = self._texts(before), before or ""
        if not self._fields:
            return around.like(texts["key"], credential.primary.reveal())
        for field, part in self._fields.items():
            new = credential.text(part) if self.keys else credential.primary.reveal()
            written = json_text.put(written, field, around.like(texts[part], new))
        return written

    def _promote(self, version: str, current: str) -> None:
        """The one step that consumers see. It fails if `current` is not AWSCURRENT any more."""
        take = {"RemoveFromVersionId": current} if current else {}
        try:
            self._call(
                "update_secret_version_stage",
                safe=False,
                VersionStage=_CURRENT,
                MoveToVersionId=version,
                **take,
            )
        except PermanentError as error:
            if "InvalidParameter" in error.message:
                self._unstage(_PENDING, version)
                raise Conflict(f"{self.name} was changed by somebody else") from error
            raise
        self._unstage(_PENDING, version)

    def _unstage(self, stage: str, version: str) -> None:
        """A label that is gone, or stands elsewhere, is as good as taken away."""
        try:
            self._call(
                "update_secret_version_stage", VersionStage=stage, RemoveFromVersionId=version
            )
        except PermanentError:
            return

    def retire(self, version: str) -> None:
        if version:
            self._unstage(_PREVIOUS, version)

    def tidy(self, expect: str) -> None:
        """A pending version that an interrupted write of ours left."""
        try:
            stages = self._call("describe_secret").get("VersionIdsToStages", {})
        except NotFound:
            return
        for version, labels in stages.items():
            if version.startswith(_OURS) and labels == [_PENDING]:
                self._unstage(_PENDING, version)
