"""What `rotator init` finds: places that hold keys, and who reads them; as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rotator.secret import Secret

READ, STARTED, NONE = "read", "started", "none"
# Settings beside keys: they stand in addresses and messages, which no secret may
_SETTING = re.compile(
    r"(?:^|_)(?:ID|URL|URI|BASE|HOST|PORT|ENDPOINT|VERSION|REGION|PROJECT|MODEL|NAME|LEVEL)$"
)
# A secret; the text of what is no key by its name; None where it could not be read
Value = Secret | str | None


def kept(name: str, text: str) -> Secret | str:
    """A variable's value as it may be handled."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", name).upper()
    return text if _SETTING.search(plain) else Secret(text)


def text_of(value: Value) -> str:
    """'' for what could not be read."""
    return value.reveal() if isinstance(value, Secret) else value or ""


@dataclass(frozen=True, slots=True)
class User:
    """Who reads a place: the restarter's entry in a playbook, without what it reads.

    `variables`: what each variable of the place is called in its environment; empty where it has
    all of them by their own names. `by_env`: the restarter can read its environment as proof
    (`env:`).
    """

    settings: Mapping[str, Any]
    by_env: bool = True
    variables: Mapping[str, str] = field(default_factory=dict)

    def reads(self, name: str) -> str:
        """What the variable is called in its environment, '' where it has none of it."""
        return self.variables.get(name, "") if self.variables else name

    def entry(self, name: str) -> dict[str, Any]:
        """As a playbook says it."""
        return {**self.settings, **({"env": self.reads(name)} if self.by_env else {})}


@dataclass(frozen=True)
class Source:
    """A place that holds variables: a file, a Secret, a path in Vault.

    `store`: its entry in a playbook, without the variable; a place that holds one key alone is
    `whole`. A value of None could not be read. `said` are plain sentences about what is left out.
    """

    shown: str
    store: Mapping[str, Any]
    values: Mapping[str, Value]
    users: tuple[User, ...] = ()
    whole: bool = False
    said: tuple[str, ...] = ()
    path: Path | None = None  # of a file on this machine
    known_as: Mapping[str, str] = field(default_factory=dict)  # what programs call a variable

    def called(self, name: str) -> tuple[str, ...]:
        """The variable's names, by which its provider is recognised."""
        return tuple(dict.fromkeys((name, self.known_as.get(name, name))))


@dataclass(frozen=True, slots=True)
class Holding:
    """One variable in one place."""

    name: str
    value: Secret | None
    source: Source

    @property
    def shown(self) -> str:
        return self.source.shown if self.source.whole else f"{self.name} in {self.source.shown}"

    @property
    def users(self) -> list[dict[str, Any]]:
        return [user.entry(self.name) for user in self.source.users if user.reads(self.name)]
