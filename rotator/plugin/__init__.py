"""What a plugin is: a frozen dataclass whose fields are its settings, of one of four kinds.

It declares what it is and does one thing per method, at once, with a time-out. It never sleeps,
polls, retries or logs: the engine owns time. Raises `TransientError` (ask later), `PermanentError`
and its kin (do not), `OutcomeUnknown` (it may have happened).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from rotator.errors import RotatorError
from rotator.model import (
    Change,
    Credential,
    Evidence,
    Finding,
    Held,
    Identity,
    KeyRecord,
    Label,
    Note,
    NotYet,
    Overlap,
    Progress,
    Recovery,
)
from rotator.reference import Reference
from rotator.secret import Secret


@dataclasses.dataclass(frozen=True, slots=True)
class Wrapping:
    """Who wraps the sealing key (`module:Class`), and how what it wrapped begins."""

    where: str
    prefix: str


@dataclasses.dataclass(frozen=True, slots=True)
class Integration:
    """What the folder of a neighbour offers, by the names that playbooks use: each as
    `module:Class` of the folder.

    `extra` is the extra of rotator's distribution that installs what it needs.
    """

    providers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stores: Mapping[str, str] = dataclasses.field(default_factory=dict)
    restarters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    probes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    references: Mapping[str, str] = dataclasses.field(default_factory=dict)
    wrappers: Mapping[str, Wrapping] = dataclasses.field(default_factory=dict)
    extra: str = ""

    def of_kind(self, kind: str) -> Mapping[str, str]:
        """`kind` is provider, store, restarter or probe."""
        return {
            "provider": self.providers,
            "store": self.stores,
            "restarter": self.restarters,
            "probe": self.probes,
        }[kind]


STRICT = {
    "extra": "forbid"
}  # for settings inside a setting: what they do not know is a mistake, too


def setting(
    help: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    connection: bool = False,
    alias: str = "",
    path: bool = False,
    elsewhere: str = "",
    program: bool = False,
    runs: bool = False,
) -> Any:
    """A setting of a plugin. `connection` settings come from today's playbook, not the one a
    rotation began with.

    `alias` is its name in a playbook where a method already has that name. A `path` is absolute
    when the plugin gets it: a relative one begins in the playbook's folder; where the setting
    `elsewhere` is given, it is another machine's and stays as it is. A `program` is a list:
    program, arguments; a path in its first word is treated alike. What stands in a file that `runs`
    may name programs, too.
    """
    metadata = {
        "help": help,
        "connection": connection,
        "spelled": alias,
        "path": path,
        "elsewhere": elsewhere,
        "program": program,
        "runs": runs,
    }
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def own_variables() -> Any:
    """Which of rotator's credentials a program of the user's is to have all the same."""
    told = (
        "Variables of rotator's own environment that it gets although they hold credentials"
        " (ROTATOR_…, AWS_…, …)"
    )
    return setting(told, default_factory=list, connection=True)


def playbook_folder() -> Any:
    """The folder of the playbook, '' without one: no setting, handed over when it is loaded.

    Programs run there.
    """
    return dataclasses.field(default="", repr=False, metadata={"hidden": True, "folder": True})


_LONGEST_PREFIX = 16  # characters: sk-ant-api03- and github_pat_ are shorter


class ProviderDefaults:
    """What holds for most providers: keys of one value, no quota, usage not told, new keys known
    everywhere at once.

    Their end is known as fast.
    """

    fields: tuple[str, ...] = ("key",)
    quota: int = 0
    usage_lag: float = 0.0
    tells_use: bool = False
    propagation: float = 0.0

    @property
    def revocation(self) -> float:
        return self.propagation

    def beside(self, credential: Credential) -> Mapping[str, str]:
        return {}

    def id_of(self, beside: Mapping[str, str]) -> str:
        return ""

    def authenticated_by(self, credential: Credential) -> bool:
        """By the secrets that its settings refer to, as far as these can be had now."""
        return bool(credential.values) and credential.primary in list(_referred(self))

    def signs(self) -> str:
        return ""

    def literal_prefix(self, value: Secret) -> str:
        """Without a pattern nobody knows where the random part begins: after no more than this, in
        all keys we know.
        """
        return value.reveal()[:_LONGEST_PREFIX]


# What a plugin may raise that it did not foresee, RecursionError among it: an error of its own, not
# of rotator's.
_WRONG_VALUE = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError)
UNFORESEEN = (OSError, RuntimeError, AssertionError, *_WRONG_VALUE)


def _referred(part: Any) -> Iterator[Secret]:
    """Every secret that a plugin's settings refer to."""
    if isinstance(part, Reference):
        with contextlib.suppress(RotatorError, OSError):
            yield part.resolve()
    elif dataclasses.is_dataclass(part):
        for one in dataclasses.fields(part):
            yield from _referred(getattr(part, one.name))


def beside_settings() -> Any:
    """Parts of the playbook that a plugin is told when it is loaded: no setting."""
    return dataclasses.field(default=(), repr=False, compare=False, metadata={"hidden": True})


class Provider(Protocol):
    """Issues keys."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a key's secret values, the primary one first."""

    @property
    def quota(self) -> int:
        """How many keys there can be; 0 where nobody knows."""

    @property
    def usage_lag(self) -> float:
        """Seconds by which the last use is told late: its granularity, or the provider's delay."""

    @property
    def tells_use(self) -> bool:
        """Whether the inventory tells when each key was last used.

        False: an old key has no quiet step.
        """

    @property
    def propagation(self) -> float:
        """Seconds until a new key is known at every edge of the provider, as documented or
        measured; 0 = at once.
        """

    @property
    def revocation(self) -> float:
        """Seconds until a key that was revoked is refused at every edge, as documented
        or measured.
        """

    def beside(self, credential: Credential) -> Mapping[str, str]:
        """What stands beside the values in stores (model.BESIDE)."""

    def id_of(self, beside: Mapping[str, str]) -> str:
        """The key's id, where what stands beside its values tells it, or ''."""

    def authenticated_by(self, credential: Credential) -> bool:
        """Whether this very key makes and destroys keys: without it there would be no other one."""

    def signs(self) -> str:
        """The characters that its keys may consist of, '' where nobody knows."""

    def literal_prefix(self, value: Secret) -> str:
        """The part of this key that all keys of its kind begin with: it tells none from another."""

    @property
    def overlap(self) -> Overlap: ...
    @property
    def recovery(self) -> Recovery: ...
    @property
    def supplied(self) -> bool:
        """A person makes and destroys the keys: the rotation asks."""

    @property
    def can_deactivate(self) -> bool: ...
    @property
    def can_list(self) -> bool: ...
    @property
    def list_lag(self) -> float:
        """Seconds that a listing may lag behind."""

    def preflight(self) -> list[Finding]:
        """Permissions, quota, settings; changes nothing."""

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        """Make a key bearing the label, with the scopes and limits of `like`."""

    def reread(self, like: Credential | None) -> Credential | None:
        """The key in the slot that generate fills (recovery 'reread'), or Unsupported."""

    def inventory(self) -> list[KeyRecord]:
        """All keys, or Unsupported."""

    def deactivate(self, credential: Credential) -> None: ...
    def reactivate(self, credential: Credential) -> None: ...
    def revoke(self, credential: Credential) -> None:
        """Already gone is success."""

    def probe(self, credential: Credential) -> Identity:
        """The cheapest authenticated call. Raises Rejected, TransientError, Unsupported."""

    def looks_right(self, value: Secret) -> str:
        """Why this cannot be one of this provider's keys, or ''."""


@runtime_checkable
class Inheriting(Protocol):
    """A provider that knows what a new key takes over from the old one."""

    def inherits(self, old: KeyRecord | None) -> list[Finding]:
        """What it will have of it, and what not. None: the list does not show the old key."""


@runtime_checkable
class Supplied(Protocol):
    """A provider whose keys a person makes."""

    def accept(self, value: Secret, old: Credential | None) -> Credential:
        """The supplied key, tidied. Raises PermanentError where it cannot be one."""


class Store(Protocol):
    """Holds keys."""

    @property
    def name(self) -> str: ...
    @property
    def compare_and_set(self) -> bool: ...
    @property
    def write_only(self) -> bool: ...
    def preflight(self) -> list[Finding]: ...
    def read(self) -> Held | None:
        """What is held, None if nothing."""

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        """The new version.

        Raises Conflict if someone wrote since version `expect` ('' = nothing was there).
        """

    def retire(self, version: str) -> None:
        """Remove the version that holds a revoked key, or Unsupported."""

    def tidy(self, expect: str) -> None:
        """Remove what an interrupted write of ours left beside it."""


@runtime_checkable
class Nudged(Protocol):
    """A store whose controller can be asked to fill it now.

    A field `follows` says that it is only read.
    """

    def nudge(self, why: str) -> None:
        """Idempotent for the same `why`."""


@runtime_checkable
class Fitting(Protocol):
    """A store that cannot hold every text, or cannot write it so that whoever reads it gets it."""

    def fits(self, credentials: Sequence[Credential]) -> None:
        """Raises PermanentError, which says why, where it could not write one of them.

        Changes nothing.
        """


@runtime_checkable
class ReadBy(Protocol):
    """A store that must know who reads what it writes."""

    def read_by(self, restarters: Sequence[Any]) -> Store:
        """Itself with the playbook's restarters."""


@runtime_checkable
class EnvFileReader(Protocol):
    """A restarter that knows how its consumers get the variables of a .env file."""

    def env_reader(self, host: str | None, path: str) -> str:
        """The reader of this file (`docker`, `compose`, `systemd`), '' where it is none, or cannot
        be told.
        """


@runtime_checkable
class Several(Protocol):
    """A store whose entry may mean several: the same file on many hosts."""

    def each(self) -> Sequence[Store]: ...


@runtime_checkable
class Beside(Protocol):
    """A restarter that must know what the playbook's stores write."""

    def beside(self, stores: Sequence[Any]) -> Restarter:
        """Itself with it. Raises ConfigError."""


class Restarter(Protocol):
    """Makes consumers take the new key up."""

    @property
    def name(self) -> str: ...
    @property
    def evidence(self) -> Evidence:
        """The best that this restarter can show."""

    def preflight(self) -> list[Finding]: ...
    def restart(self, change: Change) -> NotYet | None:
        """Idempotent per change.

        NotYet: ask again, the next consumers wait for these to be ready.
        """

    def progress(self, change: Change) -> Progress:
        """How many run with it, by what evidence.

        Raises PermanentError with the system's reason.
        """

    def shown(self, change: Change) -> Progress:
        """What instances hold now, whether they were restarted or not: a key dies by this.

        `change` names the key in force, and since when the stores hold it; its id stands for no
        restart. `converged` counts where there are no instances, or where the evidence is
        `answers`.
        """


@runtime_checkable
class Foreseen(Protocol):
    """What can say before the start what would hinder it.

    Stores and restarters must, a probe may.
    """

    def preflight(self) -> list[Finding]: ...


class Probe(Protocol):
    """A call that shows that a key works."""

    @property
    def name(self) -> str: ...
    def probe(self, credential: Credential) -> None:
        """Returns, or raises Rejected / TransientError."""
