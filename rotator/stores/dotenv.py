"""Store `dotenv`: a variable in a .env file."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from rotator.clients import files
from rotator.model import Credential, Finding, Held, Level, Note
from rotator.plugin import setting
from rotator.secret import Secret
from rotator.stores import dotenv_syntax


@dataclass(frozen=True, kw_only=True)
class DotenvStore:
    """Keep a credential in a .env file. Order, comments, quoting, `export`, owner, mode and a symlink stay.

    The file is replaced atomically. A change by somebody else in between is a conflict: it is read again.
    """

    path: str = setting("The file, for instance /srv/app/.env")
    key: str = setting("The variable, for instance OPENAI_API_KEY")

    compare_and_set = True
    write_only = False

    @property
    def name(self) -> str:
        return f"dotenv {self.path}#{self.key}"

    @property
    def _path(self) -> Path:
        return Path(self.path).expanduser()

    def preflight(self) -> list[Finding]:
        """Warns when git would take the file, or others may read it."""
        found = (
            []
            if ignored_by_git(self._path)
            else [Finding(Level.WARNING, f"git does not ignore {self.path}", f"add {self._path.name} to .gitignore")]
        )
        snapshot = self._path.stat().st_mode if self._path.exists() else 0
        if snapshot & 0o004:
            found.append(Finding(Level.WARNING, f"{self.path} is readable by everyone", f"chmod 640 {self.path}"))
        return found

    def read(self) -> Held | None:
        snapshot = files.read(self._path)
        value = dotenv_syntax.get(snapshot.content, self.key) if snapshot else None
        if snapshot is None or not value:
            return None
        return Held({"key": Secret(value)}, snapshot.version, written_at=snapshot.written_at)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        snapshot = files.read(self._path)
        content = snapshot.content if snapshot else b""
        version = snapshot.version if snapshot else ""
        if expect:
            version = expect
        elif dotenv_syntax.get(content, self.key):
            version = "changed"
        changed = dotenv_syntax.put(content, self.key, credential.primary.reveal())
        return files.replace(self._path, changed, version, note.rotation).version

    def retire(self, version: str) -> None:
        return None

    def tidy(self, expect: str) -> None:
        files.tidy(self._path)


def ignored_by_git(path: Path) -> bool:
    """Whether git ignores the file, or it is in no work tree, or there is no git."""
    directory = path.resolve().parent
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return True
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), "check-ignore", "-q", str(path.resolve())], capture_output=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    return done.returncode != 1
