"""Store `file`: one value, one file; for `*_FILE` variables and credentials directories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rotator.clients.files import Snapshot
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

    def _about(self, snapshot: Snapshot) -> Iterator[Finding]:
        """And what stands around the key, besides the newline that editors make."""
        yield from super()._about(snapshot)
        yield from around.accidents(self.name, self._text(snapshot), end="\n")

    def _text(self, snapshot: Snapshot | None) -> str:
        try:
            return snapshot.content.decode() if snapshot else ""
        except UnicodeDecodeError as error:
            hint = "is it the right file? A key is text: save it as UTF-8"
            raise PermanentError(f"{self.place} is not UTF-8", hint) from error

    def read(self) -> Held | None:
        snapshot = self._read()
        value = around.bare(self._text(snapshot))
        if snapshot is None or not value:
            return None
        return Held({"key": Secret(value)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        text = self._text(before)
        version = expect or (before.version if before and not around.bare(text) else "")
        return self._replace(around.like(text, credential.primary.reveal()).encode(), version, note.rotation)
