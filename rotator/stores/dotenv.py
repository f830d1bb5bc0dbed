"""Store `dotenv`: a variable in a .env file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rotator.clients import programs
from rotator.errors import ConfigError, OutcomeUnknown, PermanentError
from rotator.model import Credential, Finding, Held, Level, Note, split
from rotator.plugin import setting
from rotator.stores import dotenv_syntax
from rotator.stores.placed import PlacedStore


@dataclass(frozen=True, kw_only=True)
class DotenvStore(PlacedStore):
    """Keep a credential in a .env file. Order, comments, quoting, `export`, owner, mode and a symlink stay.

    The file is replaced atomically. A change by somebody else in between is a conflict: it is read again.
    """

    key: str | None = setting("The variable, for instance OPENAI_API_KEY", default=None)
    keys: Mapping[str, str] | None = setting(
        "Variables for credentials of several values, for instance {AWS_ACCESS_KEY_ID: access_key_id, …}", default=None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.key is None) == (not self.keys):
            raise ConfigError("a dotenv store has either `key` or `keys`", "for instance `key: OPENAI_API_KEY`")
        for name in self._variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
                raise ConfigError(f"'{name}' cannot be a variable's name", "for instance `key: OPENAI_API_KEY`")

    @property
    def name(self) -> str:
        return f"dotenv {self.place}#{','.join(self._variables)}"

    @property
    def _variables(self) -> Mapping[str, str]:
        return self.keys if self.keys is not None else {str(self.key): "key"}

    def preflight(self) -> list[Finding]:
        """Warns when git would take the file, too."""
        found = super().preflight()
        if self._host is None and not ignored_by_git(self._local):
            hint = f"add {self._local.name} to .gitignore"
            found.insert(0, Finding(Level.WARNING, f"git does not ignore {self.path}", hint))
        return found

    def read(self) -> Held | None:
        snapshot = self._read()
        if snapshot is None:
            return None
        texts = {field: dotenv_syntax.get(snapshot.content, name) for name, field in self._variables.items()}
        values, beside = split({field: text for field, text in texts.items() if text})
        if not values:
            return None
        return Held(values, snapshot.version, written_at=snapshot.written_at, beside=beside)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        snapshot = self._read()
        content = snapshot.content if snapshot else b""
        version = snapshot.version if snapshot else ""
        if expect:
            version = expect
        elif any(dotenv_syntax.get(content, name) for name in self._variables):
            version = "changed"
        for name, field in self._variables.items():
            text = credential.primary.reveal() if self.keys is None else credential.text(field)
            content = dotenv_syntax.put(content, name, text)
        return self._replace(content, version, note.rotation)


def ignored_by_git(path: Path) -> bool:
    """Whether git ignores the file, or it is in no work tree, or there is no git."""
    directory = path.resolve().parent
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return True
    try:
        asked = programs.run(["git", "-C", str(directory), "check-ignore", "-q", str(path.resolve())], timeout=5)
    except (PermanentError, OutcomeUnknown):
        return True
    return asked.code != 1
