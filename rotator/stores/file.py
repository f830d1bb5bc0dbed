"""Store `file`: one value, one file; for `*_FILE` variables and credentials directories."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from rotator.errors import PermanentError
from rotator.model import Credential, Finding, Held, Note
from rotator.secret import Secret
from rotator.stores import around
from rotator.stores.placed import PlacedStore


@dataclass(frozen=True, kw_only=True)
class FileStore(PlacedStore):
    """Keep a credential as the whole content of a file, replaced atomically; what stands around it stays.

    A final newline, as editors make one, is no part of the key."""

    @property
    def name(self) -> str:
        return f"file {self.place}"

    def preflight(self) -> list[Finding]:
        """And a warning for what stands around the key, besides the newline that editors make."""
        found = super().preflight()
        with contextlib.suppress(PermanentError):  # told when it is read
            snapshot = self._read()
            text = snapshot.content.decode(errors="surrogateescape") if snapshot else ""
            found += around.accidents(self.name, text, end="\n")
        return found

    def read(self) -> Held | None:
        snapshot = self._read()
        value = around.bare(snapshot.content.decode(errors="replace")) if snapshot else ""
        if snapshot is None or not value:
            return None
        return Held({"key": Secret(value)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        text = before.content.decode(errors="surrogateescape") if before else ""
        version = expect or (before.version if before and not around.bare(text) else "")
        written = around.like(text, credential.primary.reveal())
        return self._replace(written.encode(errors="surrogateescape"), version, note.rotation)
