"""A secret in a KV engine of Vault or OpenBao: its versions, its metadata, and what we may do with
it.

Sources: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, …/secret/kv/kv-v1 and
https://developer.hashicorp.com/vault/api-docs/system/capabilities-self
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotator.clients import json_text
from rotator.errors import AccessDenied, PermanentError
from rotator.integrations.vault.server import Vault


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a secret. `number` 0: there never was one; `fields` None: deleted, or never
    there.

    `text`: the fields as JSON, as the server wrote them. `life`: seconds until this version is
    deleted by itself.
    """

    number: int
    fields: Mapping[str, Any] | None = None
    notes: Mapping[str, str] | None = None
    written_at: float | None = None
    text: str = ""
    life: float | None = None


@dataclass(frozen=True, slots=True)
class KvSecret:
    """Where a secret is. `path`: as `vault kv get` takes it, with its mount."""

    server: Vault
    path: str

    @property
    def engine(self) -> int:
        """The KV engine's version: 2 compares and sets, 1 has no versions of secrets."""
        return self.server.kv_mount(self.path)[1]

    @property
    def data_path(self) -> str:
        """Where its fields are read and written."""
        return self.path if self.engine == 1 else self._at("data")

    @property
    def metadata_path(self) -> str:
        return self._at("metadata")

    def _at(self, kind: str) -> str:
        mount, _ = self.server.kv_mount(self.path)
        return f"{mount}{kind}/{self.path.removeprefix(mount)}"

    def capabilities(self, path: str) -> set[str]:
        """What the token may do at a path of the API: "read", "update" …; "root" may all."""
        answer = self.server.call("POST", "sys/capabilities-self", {"paths": [path]}, safe=True)
        return set(answer.data.get(path) or answer.body.get(path) or ())

    # --- its versions ---
    def newest(self) -> Version:
        if self.engine == 2:
            return self.version(0)
        answer = self.server.call("GET", self.path, safe=True)
        if not answer.found:
            return Version(0)
        return Version(0, answer.data, text=json_text.part(answer.text, "data"))

    def version(self, number: int) -> Version:
        """One version; 0 is the newest."""
        answer = self.server.call(
            "GET", self._at("data"), safe=True, **({"version": number} if number else {})
        )
        about = answer.data.get("metadata") or {}
        fields = answer.data.get("data") if answer.found else None
        written_at = _moment(about.get("created_time"))
        ends_at = _moment(about.get("deletion_time"))
        return Version(
            int(about.get("version") or 0),
            fields,
            about.get("custom_metadata"),
            written_at,
            json_text.part(answer.text, "data", "data") if fields else "",
            ends_at - written_at if ends_at and written_at and answer.found else None,
        )

    def put(self, fields: str, expect: int) -> bool:
        """Write all fields, given as JSON, as version `expect` + 1; with an engine of version 1,
        whatever is there.

        False where somebody wrote since version `expect`.
        """
        if self.engine == 1:
            self.server.call("POST", self.path, fields, safe=False)
            return True
        try:
            body = f'{{"options": {{"cas": {expect}}}, "data": {fields}}}'
            self.server.call("POST", self._at("data"), body, safe=False)
        except PermanentError as error:
            if "check-and-set" not in error.message:
                raise
            return False
        return True

    def kept_versions(self) -> list[int]:
        """Numbers of the versions that are not destroyed, the newest last."""
        about = self.server.call("GET", self._at("metadata"), safe=True).data
        versions = about.get("versions") or {}
        return sorted(int(n) for n, version in versions.items() if not version.get("destroyed"))

    def destroy(self, numbers: Sequence[int]) -> None:
        self.server.call("PUT", self._at("destroy"), {"versions": list(numbers)}, safe=True)

    def deleted_after(self) -> str:
        """How long a new version lives, as Vault words it, '' for ever: as the secret has it, else
        its mount.
        """
        mount, _ = self.server.kv_mount(self.path)
        for path in (self._at("metadata"), f"{mount}config"):
            with contextlib.suppress(AccessDenied):
                about = self.server.call("GET", path, safe=True).data
                span = str(about.get("delete_version_after") or "")
                if re.search("[1-9]", span):
                    return span
        return ""

    # --- its notes ---
    def annotate(self, name: str, text: str, notes: Mapping[str, str] | None) -> None:
        """Leave a note in the custom metadata; `notes`: those that it has.

        Raises AccessDenied where the token may not.
        """
        if not self._patched({"custom_metadata": {name: text}}):
            merged = {"custom_metadata": {**(notes or {}), name: text}}
            self.server.call("POST", self._at("metadata"), merged, safe=True)

    def _patched(self, body: Mapping[str, Any]) -> bool:
        """Whether the metadata took it: not where the secret never was, nor at servers too old for
        patches.
        """
        try:
            return self.server.call("PATCH", self._at("metadata"), body, safe=True).found
        except AccessDenied:
            if "update" in self.capabilities(self._at("metadata")):
                return False
            raise
        except PermanentError:
            return False


def _moment(text: str | None) -> float | None:
    """Unix seconds; a time told in whole seconds may be almost one later."""
    return datetime.fromisoformat(text).timestamp() + (0 if "." in text else 1) if text else None
