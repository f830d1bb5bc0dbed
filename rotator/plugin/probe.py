"""A probe shows that a key works: its contract, and what to inherit."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rotator.model import Credential, Finding


class Probe(Protocol):
    """A call that shows that a key works.

    A frozen dataclass with `name` and `probe`; `ProbeDefaults` says of a probe whose answer depends
    on the key that it does.

    Example:

        @dataclass(frozen=True, kw_only=True)
        class AcmeProbe(ProbeDefaults):

            name = "acme"

            def probe(self, credential: Credential) -> None: ...
    """

    @property
    def name(self) -> str:
        """For people: what is asked."""

    def probe(self, credential: Credential) -> None:
        """Returns, or raises Rejected where the key is refused, TransientError where nobody can
        tell now, PermanentError where the answer is wrong for another reason.
        """


@runtime_checkable
class AsksWithKey(Protocol):
    """A probe that can prove that a key is dead."""

    @property
    def asks_with_key(self) -> bool:
        """Whether the answer depends on the key, not on what consumers hold."""


class ProbeDefaults:
    """What holds for a probe that sends the key which it is given."""

    @property
    def asks_with_key(self) -> bool:
        return True


@runtime_checkable
class Foreseen(Protocol):
    """What can say before the start what would hinder it.

    Stores and restarters must, a probe may.
    """

    def preflight(self) -> list[Finding]:
        """Findings. Changes nothing."""
