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
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rotator.clients import around, json_text
from rotator.errors import AccessDenied, ConfigError, Conflict, PermanentError
from rotator.integrations.vault.server import VaultConnection
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import setting

_TRIES = 5  # a colleague may write other fields at the same moment
_FAR_BACK = 20  # versions that are compared before ours counts as changed


@dataclass(frozen=True, slots=True)
class _Secret:
    """A secret as it is now. `version` 0: there never was one; `fields` None: deleted, or never
    there.

    `text`: the fields as JSON, as the server wrote them. `life`: seconds until this version is
    deleted by itself.
    """

    version: int
    fields: Mapping[str, Any] | None = None
    notes: Mapping[str, str] | None = None
    written_at: float | None = None
    text: str = ""
    life: float | None = None


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
    def compare_and_set(self) -> bool:
        return self._mount()[1] == 2

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        mount, version = self._mount()
        lacking = self._lacking(
            f"{mount}{self._inside(mount)}" if version == 1 else self._at("data")
        )
        now = self._secret() if not lacking else _Secret(0)
        found = [*lacking, *self._accidents(now)]
        if version == 1:
            return [*found, Finding(Level.WARNING, f"{self.name}: {_V1}", _V1_HINT)]
        may = self._capabilities(self._at("metadata"))
        found += self._ending(now, not {"read", "root"}.isdisjoint(may))
        if {"update", "patch", "root"}.isdisjoint(may):
            rule = f'path "{self._at("metadata")}" {{ capabilities = ["create","read","patch"] }}'
            found.append(
                Finding(
                    Level.WARNING,
                    f"{self.name}: no note can be left beside the key",
                    f"add  {rule}",
                )
            )
        return found

    def _accidents(self, now: _Secret) -> Iterator[Finding]:
        for name in self._fields:
            if isinstance(text := (now.fields or {}).get(name), str):
                yield from around.accidents(f"{self.name}", text)

    def _ending(self, now: _Secret, may_ask: bool) -> Iterator[Finding]:
        """A version that is deleted by itself takes the key from consumers that look
        for it then.
        """
        life = _span(now.life) if now.life else self._configured() if may_ask else ""
        if life:
            text = (
                f"{self.name}: each version is deleted {life} after it was written"
                " (delete_version_after)"
            )
            hint = (
                "rotate sooner than that, or `vault kv metadata put -delete-version-after=0s"
                f" {self._path}`"
            )
            yield Finding(Level.WARNING, text, hint)

    def _configured(self) -> str:
        """How long a new version lives, '' for ever: as the secret has it, else its mount."""
        for path in (self._at("metadata"), f"{self._mount()[0]}config"):
            with contextlib.suppress(AccessDenied):
                told = str(
                    self.vault.call("GET", path, safe=True).data.get("delete_version_after") or ""
                )
                if re.search("[1-9]", told):
                    return told
        return ""

    def _lacking(self, path: str) -> list[Finding]:
        has = self._capabilities(path)
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

    def _capabilities(self, path: str) -> set[str]:
        answer = self.vault.call("POST", "sys/capabilities-self", {"paths": [path]}, safe=True)
        return set(answer.data.get(path) or answer.body.get(path) or ())

    def read(self) -> Held | None:
        return self._held(self._secret())

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        for _ in range(_TRIES):
            now = self._secret()
            if not self._stands(now, expect):
                break
            text = self._written(now, credential)
            if self._mount()[1] == 1:
                self.vault.call("POST", self._path, text, safe=False)
                return _fingerprint(self._ours(json.loads(text)))
            self._leave(note, now)
            if self._put(text, now.version):
                return str(now.version + 1)
        raise Conflict(f"{self.name} was changed by somebody else")

    def retire(self, version: str) -> None:
        """Destroy every version that holds what `version` holds, where the playbook asks for it."""
        if not self.destroy or not version.isdigit():
            return
        dying = self._ours(self._version(int(version)).fields)
        if not dying:
            return
        found = self.vault.call("GET", self._at("metadata"), safe=True).data.get("versions") or {}
        alive = [int(n) for n, one in found.items() if not one.get("destroyed")]
        gone = [n for n in sorted(alive)[:-1] if self._ours(self._version(n).fields) == dying]
        if gone:
            self.vault.call("PUT", self._at("destroy"), {"versions": gone}, safe=True)

    def tidy(self, expect: str) -> None:
        """Nothing is left by an interrupted write."""

    # --- the secret ---
    def _mount(self) -> tuple[str, int]:
        """The mount with its final slash, and the engine's version."""
        return self.vault.kv_mount(self._path)

    @property
    def _path(self) -> str:
        return self.path.strip("/")

    def _inside(self, mount: str) -> str:
        return self._path.removeprefix(mount)

    def _at(self, kind: str) -> str:
        mount, _ = self._mount()
        return f"{mount}{kind}/{self._inside(mount)}"

    def _secret(self) -> _Secret:
        if self._mount()[1] == 2:
            return self._version(0)
        answer = self.vault.call("GET", self._path, safe=True)
        if not answer.found:
            return _Secret(0)
        return _Secret(0, answer.data, text=json_text.part(answer.text, "data"))

    def _version(self, number: int) -> _Secret:
        """One version; 0 is the newest."""
        answer = self.vault.call(
            "GET", self._at("data"), safe=True, **({"version": number} if number else {})
        )
        told = answer.data.get("metadata") or {}
        fields = answer.data.get("data") if answer.found else None
        made, ends = _moment(told.get("created_time")), _moment(told.get("deletion_time"))
        return _Secret(
            int(told.get("version") or 0),
            fields,
            told.get("custom_metadata"),
            made,
            json_text.part(answer.text, "data", "data") if fields else "",
            ends - made if ends and made and answer.found else None,
        )

    def _held(self, now: _Secret) -> Held | None:
        ours = self._ours(now.fields)
        for name in self._fields:
            if not isinstance((now.fields or {}).get(name), str | None):
                raise PermanentError(
                    f"{self.name} is no text", 'keys are texts in JSON: "…", not numbers or objects'
                )
        values, beside = split({self._fields[name]: text for name, text in ours.items()})
        if not values:
            return None
        if not now.version:
            return Held(values, _fingerprint(ours), beside=beside)
        note, since = self._noted(now)
        first = self._first(now, since, ours) if since else now
        return Held(
            values,
            str(first.version),
            note if first.version == since else None,
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

    def _first(self, now: _Secret, since: int, ours: Mapping[str, str]) -> _Secret:
        """The version `since`, if our fields have stood unchanged from then to now; else the
        present one.
        """
        if since == now.version or not 0 < now.version - since <= _FAR_BACK:
            return now
        between = [self._version(number) for number in range(since, now.version)]
        return between[0] if all(self._ours(one.fields) == ours for one in between) else now

    def _stands(self, now: _Secret, expect: str) -> bool:
        """Whether our fields are as they were in version `expect`; '': there were none."""
        held, ours = self._held(now), self._ours(now.fields)
        if held is None or held.version == expect:
            return held is not None or not expect
        return (
            now.version > 0
            and expect.isdigit()
            and self._first(now, int(expect), ours).version == int(expect)
        )

    def _written(self, now: _Secret, credential: Credential) -> str:
        """All fields as JSON, with ours changed in the text: numbers stay as they are written."""
        text = now.text
        for name, value in self._fields.items():
            new = credential.primary.reveal() if self.keys is None else credential.text(value)
            text = json_text.put(
                text, name, around.like(str((now.fields or {}).get(name) or ""), new)
            )
        return text

    def _put(self, fields: str, cas: int) -> bool:
        """Whether it was written; False where somebody wrote since version `cas`."""
        try:
            body = f'{{"options": {{"cas": {cas}}}, "data": {fields}}}'
            self.vault.call("POST", self._at("data"), body, safe=False)
        except PermanentError as error:
            if "check-and-set" not in error.message:
                raise
            return False
        return True

    # --- the note ---
    @property
    def _note_name(self) -> str:
        return f"rotator-{next(iter(self._fields))}"[:128]

    def _noted(self, now: _Secret) -> tuple[Note | None, int]:
        """The note, and the version that it is about; 0 where there is none."""
        try:
            told = json.loads((now.notes or {})[self._note_name])
            note = Note(told["key"], told["installation"], told["rotation"], float(told["at"]))
            return note, int(told["version"])
        except (KeyError, TypeError, ValueError):
            return None, 0

    def _leave(self, note: Note, now: _Secret) -> None:
        """Before the write, whose version compare-and-set makes certain.

        A note of a write that fails says nothing.
        """
        told = {
            "key": note.key_id,
            "installation": note.installation,
            "rotation": note.rotation,
            "at": round(note.at),
        }
        text = json.dumps({**told, "version": now.version + 1}, separators=(",", ":"))
        try:
            if not self._patched({"custom_metadata": {self._note_name: text}}):
                merged = {"custom_metadata": {**(now.notes or {}), self._note_name: text}}
                self.vault.call("POST", self._at("metadata"), merged, safe=True)
        except AccessDenied:
            return  # preflight has warned

    def _patched(self, body: Mapping[str, Any]) -> bool:
        """Whether the metadata took it: not where the secret never was, nor at servers too old for
        patches.
        """
        try:
            return self.vault.call("PATCH", self._at("metadata"), body, safe=True).found
        except AccessDenied:
            if "update" in self._capabilities(self._at("metadata")):
                return False
            raise
        except PermanentError:
            return False


_V1 = "KV version 1 cannot compare and set, and keeps no note"
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


def _moment(text: str | None) -> float | None:
    """Unix seconds; a time told in whole seconds may be almost one later."""
    return datetime.fromisoformat(text).timestamp() + (0 if "." in text else 1) if text else None
