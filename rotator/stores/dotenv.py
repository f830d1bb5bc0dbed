"""Store `dotenv`: a variable in a .env file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator.clients import files
from rotator.errors import ConfigError
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import setting
from rotator.stores import dotenv_syntax


@dataclass(frozen=True, kw_only=True)
class DotenvStore:
    """Keep a credential in a .env file. Order, comments, quoting, `export`, owner, mode and a symlink stay.

    The file is replaced atomically. A change by somebody else in between is a conflict: it is read again.
    """

    path: str = setting("The file, for instance /srv/app/.env")
    key: str | None = setting("The variable, for instance OPENAI_API_KEY", default=None)
    keys: Mapping[str, str] | None = setting(
        "Variables for credentials of several values, for instance {AWS_ACCESS_KEY_ID: access_key_id, …}", default=None
    )

    compare_and_set = True
    write_only = False

    def __post_init__(self) -> None:
        if (self.key is None) == (not self.keys):
            raise ConfigError("a dotenv store has either `key` or `keys`", "for instance `key: OPENAI_API_KEY`")
        for name in self._variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
                raise ConfigError(f"'{name}' cannot be a variable's name", "for instance `key: OPENAI_API_KEY`")

    @property
    def name(self) -> str:
        return f"dotenv {self.path}#{','.join(self._variables)}"

    @property
    def _variables(self) -> Mapping[str, str]:
        return self.keys if self.keys is not None else {str(self.key): "key"}

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
        if snapshot is None:
            return None
        texts = {field: dotenv_syntax.get(snapshot.content, name) for name, field in self._variables.items()}
        values, beside = split({field: text for field, text in texts.items() if text})
        if not values:
            return None
        return Held(values, snapshot.version, written_at=snapshot.written_at, beside=beside)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        snapshot = files.read(self._path)
        content = snapshot.content if snapshot else b""
        version = snapshot.version if snapshot else ""
        if expect:
            version = expect
        elif any(dotenv_syntax.get(content, name) for name in self._variables):
            version = "changed"
        for name, field in self._variables.items():
            text = credential.primary.reveal() if self.keys is None else credential.text(field)
            content = dotenv_syntax.put(content, name, text)
        return files.replace(self._path, content, version, note.rotation).version

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
