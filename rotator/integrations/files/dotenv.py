"""Store `dotenv`: a variable in a .env file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rotator import plain, stand_in
from rotator.clients import programs
from rotator.clients.files import Snapshot
from rotator.clients.placed import PlacedStore
from rotator.errors import ConfigError, Conflict, OutcomeUnknown, PermanentError
from rotator.integrations.files import dotenv_doubts, dotenv_syntax
from rotator.integrations.files.dotenv_readers import READERS
from rotator.model import BESIDE, Credential, Finding, Held, Level, Note, split
from rotator.plugin import Address, EnvFileReader, beside_settings, setting
from rotator.secret import Secret

Reader = Literal["docker", "compose", "compose-1", "systemd", "python-dotenv", "dotenv", "bash"]
_WRITERS = 20  # times at most that another playbook may come first
_VERSIONS = 16  # of one file that are remembered
# Of each store, what its variables were in a version of its file (a digest)
_READ: dict[str, dict[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class DotenvStore(PlacedStore):
    """Keep a credential in a .env file. Order, comments, quoting, `export`, owner, mode, ACL and a
    symlink stay.

    The file is replaced atomically. A change by somebody else in between is a conflict: it is read
    again.
    """

    key: str | None = setting("The variable, for instance OPENAI_API_KEY", default=None)
    keys: Mapping[str, str] | None = setting(
        "Variables for credentials of several values, for instance {AWS_ACCESS_KEY_ID:"
        " access_key_id, …}",
        default=None,
    )

    readers: list[Reader] | None = setting(
        "Who reads the variable, where the restarters do not tell: a new value is written so that"
        " each of them reads it; else so that all do that read the present one",
        default=None,
    )
    consumers: tuple[Any, ...] = beside_settings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.key is None) == (not self.keys):
            raise ConfigError(
                "a dotenv store has either `key` or `keys`", "for instance `key: OPENAI_API_KEY`"
            )
        for name in self._variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
                raise ConfigError(
                    f"'{name}' cannot be a variable's name", "for instance `key: OPENAI_API_KEY`"
                )

    @property
    def name(self) -> str:
        return f"dotenv {self.place}#{','.join(self._variables)}"

    def read_by(self, restarters: Sequence[Any]) -> DotenvStore:
        return replace(self, consumers=tuple(restarters))

    @property
    def writes(self) -> Address:
        return Address("dotenv", self.path, str(self.host or ""), tuple(self._variables))

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

    def _about(self, snapshot: Snapshot) -> Iterator[Finding]:
        """And an error where a consumer's reader does not read what we do."""
        content = snapshot.content
        self._refuse_doubts(content)
        yield from super()._about(snapshot)
        for reader in sorted(self._told() - {""}):
            for name in self._variables:
                if how := dotenv_syntax.misread(content, name, reader):
                    hint = "write it as `NAME=value`: no quotes, no blanks, no comment behind it"
                    yield Finding(
                        Level.ERROR, f"{self.place}: {READERS[reader]} reads {name} {how}", hint
                    )

    def _told(self) -> set[str]:
        """The readers by what is known of each consumer, '' where it is not known."""
        if self.readers is not None:
            return set(self.readers)
        asked = [one for one in self.consumers if isinstance(one, EnvFileReader)]
        told = {one.env_reader(str(self.host) if self.host else None, self.path) for one in asked}
        return told | ({""} if len(asked) < len(self.consumers) or not asked else set())

    def _known(self) -> frozenset[str]:
        """The readers of the file, none where it may be read by others, too."""
        told = self._told()
        return frozenset() if "" in told else frozenset(told)

    def _refuse_doubts(self, content: bytes) -> None:
        dotenv_doubts.refuse(content, self._variables, self.place, cache(self._known))

    def read(self) -> Held | None:
        snapshot = self._read()
        if snapshot is None:
            return None
        self._refuse_doubts(snapshot.content)
        self._remember(snapshot)
        texts = {
            field: dotenv_syntax.get(snapshot.content, name)
            for name, field in self._variables.items()
        }
        values, beside = split({field: text for field, text in texts.items() if text})
        if not values:
            return None
        spelled = Secret(
            json.dumps(
                {name: dotenv_syntax.spelling(snapshot.content, name) for name in self._variables}
            )
        )
        version = snapshot.version
        return Held(values, version, written_at=snapshot.written_at, beside=beside, spelled=spelled)

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        """What others change in the file beside our variables is no conflict: their playbooks may
        write in the same moment.
        """
        for _ in range(_WRITERS):
            snapshot = self._read()
            content = snapshot.content if snapshot else b""
            version = snapshot.version if snapshot else ""
            new = self._with(content, credential)
            if not self._is_as_expected(content, version, expect):
                break
            with contextlib.suppress(Conflict):
                written = self._replace(new, version, note.rotation)
                self._seen.pop(expect, None)  # who comes late with it is refused
                return written
        raise Conflict(f"{self.place} was changed by somebody else", "it is read again")

    def _is_as_expected(self, content: bytes, version: str, expect: str) -> bool:
        """Whether nobody has changed our variables since `expect` was read."""
        if not expect:
            return not any(dotenv_syntax.get(content, name) for name in self._variables)
        return version == expect or self._seen.get(expect) == self._ours(content)

    @property
    def _seen(self) -> dict[str, str]:
        """What our variables were in the last versions of the file that were read here."""
        return _READ.setdefault(self.name, {})

    def _ours(self, content: bytes) -> str:
        spelled = [dotenv_syntax.spelling(content, name) for name in self._variables]
        return hashlib.sha256(json.dumps(spelled).encode()).hexdigest()

    def _remember(self, snapshot: Snapshot) -> None:
        seen = self._seen
        seen[snapshot.version] = self._ours(snapshot.content)
        for old in list(seen)[:-_VERSIONS]:
            seen.pop(old, None)

    def fits(self, credentials: Sequence[Credential]) -> None:
        snapshot = self._read()
        for credential in credentials:
            self._with(snapshot.content if snapshot else b"", credential)

    def _with(self, content: bytes, credential: Credential) -> bytes:
        """The content with it.

        Raises PermanentError where that would not be right for those who read the file.
        """
        self._refuse_doubts(content)
        spelled = credential.spelled.get(self.name)
        written: Mapping[str, list[str]] = (
            json.loads(spelled.reveal()) if spelled is not None else {}
        )
        known = cache(self._known)
        for name, field in self._variables.items():
            if self.keys is None:
                text = credential.primary.reveal()
            elif field in BESIDE and field not in {**credential.values, **credential.beside}:
                continue  # a key that is only tried: what stands beside it is not known yet
            else:
                text = credential.text(field)
            if field not in BESIDE:
                stand_in.refuse_new(text)
            content = dotenv_syntax.put(content, name, text, known, written.get(name))
        self._refuse_doubts(content)
        return content


def ignored_by_git(path: Path) -> bool:
    """Whether git ignores the file, or it is in no work tree, or there is no git."""
    directory = plain.real(path).parent
    if not any((parent / ".git").exists() for parent in (directory, *directory.parents)):
        return True
    try:
        asked = programs.run(
            ["git", "-C", str(directory), "check-ignore", "-q", str(plain.real(path))], timeout=5
        )
    except (PermanentError, OutcomeUnknown):
        return True
    return asked.code != 1
