"""Store `vault`: fields of a secret in a KV engine of Vault or OpenBao, version 2 (or 1, without
compare-and-set).

Source: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2. A secret's version counts
every write, also of fields that are not ours. So that a colleague's edit of another field is no
change of the key, the version told here is the first one since which our fields stand as they are:
rotator notes it in the secret's custom metadata.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotator.clients import around, json_text, notes
from rotator.errors import AccessDenied, ConfigError, Conflict, PermanentError
from rotator.integrations.vault.kv import KvSecret, Version
from rotator.integrations.vault.server import VaultConnection
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import setting

_TRIES = 5  # a colleague may write other fields at the same moment
_FAR_BACK = 20  # versions that are compared before ours counts as changed


@dataclass(frozen=True, kw_only=True)
class VaultStore(VaultConnection):
    """Keep a credential in a KV secret of Vault or OpenBao: one or several of its fields.

    The other fields stay. Writing is compare-and-set on the secret's version; key id, installation
    and rotation are noted in its custom metadata. KV version 1 has neither.
    """

    path: str = setting("Mount and path as `vault kv get` takes them, for instance secret/paracle")
    key: str | None = setting("Field of the secret, for instance OPENAI_API_KEY", default=None)
    keys: Mapping[str, str] | None = setting(
        "Fields for credentials of several values: {FIELD: value}", default=None
    )
    destroy: bool = setting(
        "Destroy the versions that hold a revoked key (for all fields of the secret)", default=False
    )

    write_only = False

    def __post_init__(self) -> None:
        if (self.key is None) == (not self.keys):
            raise ConfigError(
                "a vault store has either `key` or `keys`", "for instance `key: OPENAI_API_KEY`"
            )

    @property
    def name(self) -> str:
        return f"vault {self.path}#{','.join(self._fields)}"

    @property
    def _fields(self) -> Mapping[str, str]:
        return self.keys if self.keys else {str(self.key): "key"}

    @property
    def _secret(self) -> KvSecret:
        return KvSecret(self.vault, self.path.strip("/"))

    @property
    def compare_and_set(self) -> bool:
        return self._secret.engine == 2

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        secret = self._secret
        lacking = self._lacking(secret.data_path)
        now = secret.newest() if not lacking else Version(0)
        findings = [*lacking, *self._accidents(now)]
        if secret.engine == 1:
            return [*findings, Finding(Level.WARNING, f"{self.name}: {_V1}", _V1_HINT)]
        may = secret.capabilities(secret.metadata_path)
        findings += self._ending(now, not {"read", "root"}.isdisjoint(may))
        if {"update", "patch", "root"}.isdisjoint(may):
            rule = f'path "{secret.metadata_path}" {{ capabilities = ["create","read","patch"] }}'
            findings.append(
                Finding(
                    Level.WARNING,
                    f"{self.name}: no note can be left beside the key",
                    f"add  {rule}",
                )
            )
        return findings

    def _accidents(self, now: Version) -> Iterator[Finding]:
        for name in self._fields:
            if isinstance(text := (now.fields or {}).get(name), str):
                yield from around.accidents(f"{self.name}", text)

    def _ending(self, now: Version, may_ask: bool) -> Iterator[Finding]:
        """A version that is deleted by itself takes the key from consumers that look
        for it then.
        """
        life = _span(now.life) if now.life else self._secret.deleted_after() if may_ask else ""
        if life:
            text = (
                f"{self.name}: each version is deleted {life} after it was written"
                " (delete_version_after)"
            )
            hint = (
                "rotate sooner than that, or `vault kv metadata put -delete-version-after=0s"
                f" {self._secret.path}`"
            )
            yield Finding(Level.WARNING, text, hint)

    def _lacking(self, path: str) -> list[Finding]:
        has = self._secret.capabilities(path)
        if "root" in has or {"read", "update"} <= has:
            return []
        rule = f'path "{path}" {{ capabilities = ["create","read","update"] }}'
        lacks = " and ".join(sorted({"read", "update"} - has))
        return [
            Finding(
                Level.ERROR,
                f"{self.name}: the token may not {lacks} {path}",
                f"add  {rule}  to its policy",
            )
        ]

    def read(self) -> Held | None:
        return self._held(self._secret.newest())

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        secret = self._secret
        for _ in range(_TRIES):
            now = secret.newest()
            if not self._stands(now, expect):
                break
            text = self._written(now, credential)
            if secret.engine == 2:
                self._leave(note, now)
            if secret.put(text, now.number):
                ours = self._ours(json.loads(text))
                return str(now.number + 1) if secret.engine == 2 else _fingerprint(ours)
        raise Conflict(f"{self.name} was changed by somebody else")

    def retire(self, version: str) -> None:
        """Destroy every version that holds what `version` holds, where the playbook asks for it."""
        if not self.destroy or not version.isdigit():
            return
        secret = self._secret
        dying = self._ours(secret.version(int(version)).fields)
        if not dying:
            return
        before = secret.kept_versions()[:-1]
        gone = [n for n in before if self._ours(secret.version(n).fields) == dying]
        if gone:
            secret.destroy(gone)

    def tidy(self, expect: str) -> None:
        """Nothing is left by an interrupted write."""

    # --- the secret ---
    def _held(self, now: Version) -> Held | None:
        ours = self._ours(now.fields)
        for name in self._fields:
            if not isinstance((now.fields or {}).get(name), str | None):
                raise PermanentError(
                    f"{self.name} is no text", 'keys are texts in JSON: "…", not numbers or objects'
                )
        values, beside = split({self._fields[name]: text for name, text in ours.items()})
        if not values:
            return None
        if not now.number:
            return Held(values, _fingerprint(ours), beside=beside)
        note, since = self._noted(now)
        first = self._first(now, since, ours) if since else now
        return Held(
            values,
            str(first.number),
            note if first.number == since else None,
            first.written_at,
            beside,
        )

    def _ours(self, fields: Mapping[str, Any] | None) -> dict[str, str]:
        texts = {
            name: around.bare(str(fields[name]))
            for name in self._fields
            if fields and fields.get(name)
        }
        return {name: text for name, text in texts.items() if text}

    def _first(self, now: Version, since: int, ours: Mapping[str, str]) -> Version:
        """The version `since`, if our fields have stood unchanged from then to now; else the
        present one.
        """
        if since == now.number or not 0 < now.number - since <= _FAR_BACK:
            return now
        between = [self._secret.version(number) for number in range(since, now.number)]
        return between[0] if all(self._ours(one.fields) == ours for one in between) else now

    def _stands(self, now: Version, expect: str) -> bool:
        """Whether our fields are as they were in version `expect`; '': there were none."""
        held, ours = self._held(now), self._ours(now.fields)
        if held is None or held.version == expect:
            return held is not None or not expect
        return (
            now.number > 0
            and expect.isdigit()
            and self._first(now, int(expect), ours).number == int(expect)
        )

    def _written(self, now: Version, credential: Credential) -> str:
        """All fields as JSON, with ours changed in the text: numbers stay as they are written."""
        text = now.text
        for name, value in self._fields.items():
            new = credential.primary.reveal() if self.keys is None else credential.text(value)
            text = json_text.put(
                text, name, around.like(str((now.fields or {}).get(name) or ""), new)
            )
        return text

    # --- the note ---
    @property
    def _note_name(self) -> str:
        return f"rotator-{next(iter(self._fields))}"[:128]

    def _noted(self, now: Version) -> tuple[Note | None, int]:
        """The note, and the version that it is about; 0 where there is none."""
        try:
            fields = json.loads((now.notes or {})[self._note_name])
            version = int(fields["version"])
        except (KeyError, TypeError, ValueError):
            return None, 0
        note = notes.read(fields)
        return (note, version) if note else (None, 0)

    def _leave(self, note: Note, now: Version) -> None:
        """Before the write, whose version compare-and-set makes certain.

        A note of a write that fails says nothing.
        """
        fields = {**notes.fields(note), "version": now.number + 1}
        text = json.dumps(fields, separators=(",", ":"))
        with contextlib.suppress(AccessDenied):  # preflight has warned
            self._secret.annotate(self._note_name, text, now.notes)


_V1 = "KV version 1 keeps no note beside the key"
_V1_HINT = "`vault kv enable-versioning MOUNT` makes it version 2"


def _fingerprint(ours: Mapping[str, str]) -> str:
    """KV version 1 has no versions: what is held stands for one, in a form that does
    not tell it.
    """
    return hashlib.sha256(json.dumps(sorted(ours.items())).encode()).hexdigest()[:16]


def _span(seconds: float) -> str:
    days, hours = divmod(round(seconds / 3600), 24)
    return (
        f"{days} d"
        if days and not hours
        else f"{seconds / 3600:.0f} h"
        if hours
        else f"{seconds:.0f} s"
    )
