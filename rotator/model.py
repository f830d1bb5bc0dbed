"""The words of the field as types: what plugins hand to the engine and the engine to plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rotator.secret import Secret


class Overlap(StrEnum):
    """How many keys of one credential may live at once."""

    MANY = "many"
    TWO_SLOTS = "two slots"
    NONE = "none"


class Recovery(StrEnum):
    """How a create whose answer was lost is found again."""

    LABEL = "label"
    REREAD = "reread"
    DIFFERENCE = "difference"
    NONE = "none"


class Evidence(StrEnum):
    """What a consumer must show at least before it counts as running with the new key."""

    READ = "read"
    STARTED = "started"
    ANSWERS = "answers"
    NONE = "none"


# Fields that stand beside a secret one in a store and may be seen by anyone: the key's id, the
# region.
BESIDE = frozenset({"access_key_id", "region"})


@dataclass(frozen=True, slots=True)
class Credential:
    """A key: its id at the provider, its secret values, the primary one first; and what stores keep
    beside them.
    """

    values: Mapping[str, Secret]
    id: str = ""
    hint: str = ""
    created_at: float | None = None
    expires_at: float | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    spelled: Mapping[str, Secret] = field(
        default_factory=dict
    )  # by store: how it stood there, to be put back so

    @property
    def primary(self) -> Secret:
        return next(iter(self.values.values()))

    def text(self, name: str) -> str:
        """What a store writes for this field: a value, or what stands beside it.

        Raises LookupError.
        """
        return self.values[name].reveal() if name in self.values else self.beside[name]


def single(text: str, *, key_id: str = "", hint: str = "") -> Credential:
    """A credential of one value."""
    return Credential(values={"key": Secret(text)}, id=key_id, hint=hint)


def split(texts: Mapping[str, str]) -> tuple[dict[str, Secret], dict[str, str]]:
    """What a store holds for each field: the secret values, and what stands beside them."""
    values = {name: Secret(text) for name, text in texts.items() if name not in BESIDE}
    return values, {name: text for name, text in texts.items() if name in BESIDE}


@dataclass(frozen=True, slots=True)
class Label:
    """The name that a created key bears: whose it is, and of which attempt.

    Its text is at most 120 characters.
    """

    installation: str
    playbook: str
    rotation: str
    attempt: int

    @property
    def text(self) -> str:
        return f"rotator.{self.installation}.{self.playbook[:60]}.{self.rotation}.{self.attempt}"

    @staticmethod
    def parse(text: str) -> Label | None:
        """The label in a key's name, or None if rotator did not write it."""
        parts = text.split(".")
        if len(parts) != 5 or parts[0] != "rotator" or not parts[4].isdigit():
            return None
        return Label(parts[1], parts[2], parts[3], int(parts[4]))


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the provider lists it: never its value. Times are Unix seconds.

    `carried` is what it has and its successor is to have: limits, scopes, as JSON.
    """

    id: str
    label: str = ""
    hint: str = ""
    created_at: float | None = None
    expires_at: float | None = None
    last_used_at: float | None = None
    active: bool = True
    carried: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Note:
    """What rotator leaves beside a secret in stores that can keep it."""

    key_id: str
    installation: str
    rotation: str
    at: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a store holds: its values (None where it is write-only), version, and the note left with
    them.

    `written_at` (Unix seconds) is when the present version was written, `by` who wrote it, where
    the store tells. `spelled` is how the value is written in a store whose text has several ways,
    for the store alone to understand.
    """

    values: Mapping[str, Secret] | None
    version: str
    note: Note | None = None
    written_at: float | None = None
    beside: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    spelled: Secret | None = None


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a preflight or a doctor found."""

    level: Level
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Why consumers are restarted: unique per rotation and round; `since` is when the last store
    was written.

    `as_before` says of a value whether an instance showed it before the rotation: in undo, that is
    well, too.
    """

    id: str
    since: float
    credential: Credential
    as_before: Callable[[Secret], bool] | None = None

    def fits(self, shown: Secret) -> bool:
        """Whether an instance that shows this value needs no restart.

        The credential must have its values.
        """
        return shown == self.credential.primary or (
            self.as_before is not None and self.as_before(shown)
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a consumer, when it started (Unix seconds) and which key was read from
    it.

    `left_alone`: it is not restarted for a change, as a job that runs to its end; no key dies that
    it may hold. `untold`: why nobody can read what it holds, though it is asked: then it counts by
    when it started.
    """

    name: str
    started_at: float | None = None
    holds: Secret | None = None
    left_alone: bool = False
    untold: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a restart has come. `converged` is the restarter's own word that it is over.

    `again`: seconds until the next look at the latest; small where a look costs nothing.
    """

    total: int
    current: int
    converged: bool
    instances: tuple[Instance, ...] = ()
    text: str = ""
    again: float = 2.0


@dataclass(frozen=True, slots=True)
class NotYet:
    """An answer that is not there yet: ask again in `retry_in` seconds with `handle`."""

    retry_in: float
    handle: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a key shows of whom it belongs to, for parity between the old and the new one."""

    facts: Mapping[str, str] = field(default_factory=dict)
