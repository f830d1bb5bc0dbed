"""A store holds keys where consumers take them: its contract, and what to inherit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from rotator.model import Credential, Finding, Held, Note
from rotator.plugin.capabilities import Address


class Store(Protocol):
    """Holds keys.

    A frozen dataclass with the members below; `StoreDefaults` has all but `name`, `read` and
    `write`. A method raises `TransientError` where it may be asked again later, `OutcomeUnknown`
    where a write may have happened, `PermanentError` and its kin where asking again is of no use.

    Example:

        @dataclass(frozen=True, kw_only=True)
        class AcmeStore(StoreDefaults):

            entry: str = setting("Name of the entry")

            @property
            def name(self) -> str: ...
            def read(self) -> Held | None: ...
            def write(self, credential: Credential, expect: str, note: Note) -> str: ...
    """

    @property
    def name(self) -> str:
        """The same tomorrow: the journal knows the store by it. Where two of a playbook have one,
        with the settings by which they differ, too.
        """

    @property
    def compare_and_set(self) -> bool:
        """Whether nobody can write between the comparison with `expect` and our write.

        False: preflight warns that somebody else's write at that moment would be lost. The only
        property that may ask the system; it raises as methods do.
        """

    @property
    def write_only(self) -> bool:
        """Whether nobody can read the value back: `read` answers `Held(None, version)`."""

    def preflight(self) -> list[Finding]:
        """What would hinder a write: permissions, a missing entry. Changes nothing."""

    def read(self) -> Held | None:
        """What is held, None if nothing. Its version changes whenever our fields change, and only
        then.
        """

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        """Write `credential.text(field)` of each field; the new version.

        Raises Conflict if someone wrote since version `expect` ('' = nothing was there).
        """

    def retire(self, version: str) -> None:
        """Remove the version that holds a revoked key, or Unsupported."""

    def tidy(self, expect: str) -> None:
        """Remove what an interrupted write of ours left beside it."""


class StoreDefaults:
    """What holds for a store that keeps one readable version and nothing beside it."""

    @property
    def compare_and_set(self) -> bool:
        return False

    @property
    def write_only(self) -> bool:
        return False

    def preflight(self) -> list[Finding]:
        """Nothing of its own: the engine reads the store before a rotation, and says what that
        raised.
        """
        return []

    def retire(self, version: str) -> None:
        """The one version holds another key by now."""

    def tidy(self, expect: str) -> None:
        """A write leaves nothing beside it."""


@runtime_checkable
class Addressed(Protocol):
    """A store whose place restarters can find the users of."""

    @property
    def writes(self) -> Address:
        """What it writes."""


@runtime_checkable
class KeyFields(Protocol):
    """A store that can hold a key of several values, each under a name of its own."""

    @property
    def keys(self) -> Mapping[str, str] | None:
        """A setting: name in the store → field of the key. None: it holds a key of one value.

        The loader checks the fields, and puts them into the provider's order.
        """


@runtime_checkable
class WithEntry(Protocol):
    """A store that must know what its entry in the playbook says besides its settings."""

    def with_entry(self, *, create: bool, follows: bool) -> Store:
        """Itself with it. `create`: it may hold nothing yet; `follows`: a controller fills it, and
        it is only read.
        """


@runtime_checkable
class Nudged(Protocol):
    """A store whose controller can be asked to fill it now, where its entry says `follows`."""

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
class Several(Protocol):
    """A store whose entry may mean several: the same file on many hosts."""

    def each(self) -> Sequence[Store]:
        """The stores; itself alone where it is one."""


@runtime_checkable
class Copied(Protocol):
    """A store whose value its system may copy to other places, for other consumers."""

    def unfollowed_copies(self, followed: Sequence[Any]) -> list[Finding]:
        """Warnings of the copies that none of these stores is: nobody looks at who takes the key
        there. `followed` are those of the playbook's entries that say `follows`.
        """


@runtime_checkable
class Mounted(Protocol):
    """A store that replaces a file, which a container may have mounted by itself."""

    def stale_mounts(self) -> Sequence[str]:
        """Who would keep the present file when another one takes its place: a sentence each."""
