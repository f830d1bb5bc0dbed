"""Store `file`: one value, one file; for `*_FILE` variables and credentials directories."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.model import Credential, Held, Note
from rotator.secret import Secret
from rotator.stores.placed import PlacedStore


@dataclass(frozen=True, kw_only=True)
class FileStore(PlacedStore):
    """Keep a credential as the whole content of a file, replaced atomically; a final newline stays if there was one."""

    @property
    def name(self) -> str:
        return f"file {self.place}"

    def read(self) -> Held | None:
        snapshot = self._read()
        value = snapshot.content.decode(errors="replace").strip("\r\n") if snapshot else ""
        if snapshot is None or not value:
            return None
        return Held({"key": Secret(value)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        end = b"\n" if before and before.content.endswith(b"\n") else b""
        version = expect or (before.version if before and not before.content.strip() else "")
        return self._replace(credential.primary.reveal().encode() + end, version, note.rotation)
