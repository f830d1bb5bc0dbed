"""Store `file`: one value, one file; for `*_FILE` variables and credentials directories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rotator import stand_in
from rotator.clients import around
from rotator.clients.files import Snapshot
from rotator.clients.placed import PlacedStore
from rotator.errors import PermanentError
from rotator.integrations.files import dotenv_doubts
from rotator.model import Credential, Finding, Held, Note
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class FileStore(PlacedStore):
    """Keep a credential as the whole content of a file, replaced atomically; what stands around it
    stays.

    A final newline, as editors make one, is no part of the key.
    """

    @property
    def name(self) -> str:
        return f"file {self.place}"

    def _about(self, snapshot: Snapshot) -> Iterator[Finding]:
        """And what stands around the key, besides the newline that editors make."""
        yield from super()._about(snapshot)
        yield from around.accidents(self.name, self._text(snapshot), end="\n")

    def _text(self, snapshot: Snapshot | None) -> str:
        """Raises PermanentError for what is no text in UTF-8, or is encrypted."""
        return dotenv_doubts.of_file(snapshot.content, self.place) if snapshot else ""

    def read(self) -> Held | None:
        snapshot = self._read()
        text = self._text(snapshot)
        value = around.bare(text)
        if snapshot is None or not value:
            return None
        instead, hint = stand_in.told(value)
        if instead:
            shown = f" ('{value[:60]}')" if stand_in.placeholder(value) else ""
            raise PermanentError(f"{self.place} holds {instead}{shown}", hint)
        spelled = Secret(text)
        return Held(
            {"key": Secret(value)},
            snapshot.version,
            written_at=snapshot.written_at,
            spelled=spelled,
        )

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = self._read()
        text = self._text(before)
        version = expect or (before.version if before and not around.bare(text) else "")
        self.fits([credential])
        written = around.like(text, credential.primary.reveal())
        as_it_was = credential.spelled.get(self.name)
        if as_it_was is not None and around.bare(as_it_was.reveal()) == credential.primary.reveal():
            written = as_it_was.reveal()
        return self._replace(written.encode(), version, note.rotation)

    def fits(self, credentials: Sequence[Credential]) -> None:
        for one in credentials:
            text = one.primary.reveal()
            stand_in.refuse_new(text)
            if text != around.bare(text) or "\0" in text:
                words = (
                    "a key with white space around it, or with a NUL in it, does not fit into"
                    f" {self.place}"
                )
                raise PermanentError(words, "whoever reads it takes the line's end off")
