"""Store `file`: one value, one file; for `*_FILE` variables and credentials directories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rotator.clients import files
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import setting
from rotator.secret import Secret


@dataclass(frozen=True, kw_only=True)
class FileStore:
    """Keep a credential as the whole content of a file, replaced atomically; a final newline stays if there was one."""

    path: str = setting("The file, for instance /run/secrets/openai")

    compare_and_set = True
    write_only = False

    @property
    def name(self) -> str:
        return f"file {self.path}"

    @property
    def _path(self) -> Path:
        return Path(self.path).expanduser()

    def preflight(self) -> list[Finding]:
        if self._path.exists() and self._path.stat().st_mode & 0o004:
            return [Finding(Level.WARNING, f"{self.path} is readable by everyone", f"chmod 640 {self.path}")]
        return []

    def read(self) -> Held | None:
        snapshot = files.read(self._path)
        value = snapshot.content.decode(errors="replace").strip("\r\n") if snapshot else ""
        if snapshot is None or not value:
            return None
        return Held({"key": Secret(value)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        before = files.read(self._path)
        end = b"\n" if before and before.content.endswith(b"\n") else b""
        version = expect or (before.version if before and not before.content.strip() else "")
        return files.replace(self._path, credential.primary.reveal().encode() + end, version, note.rotation).version

    def retire(self, version: str) -> None:
        return None

    def tidy(self, expect: str) -> None:
        files.tidy(self._path)
