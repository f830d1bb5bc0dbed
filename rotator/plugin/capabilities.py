"""What plugins say to each other: where a store writes, in words that any restarter understands.

What a plugin may be able to do beyond its contract is beside that contract, as a protocol
(`store.Nudged`, `restarter.Beside`, …): a plugin that has the members has the capability.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

_HAS: dict[tuple[type, Any], bool] = {}


@dataclass(frozen=True, slots=True)
class Address:
    """What a store writes, for a restarter that finds who takes it.

    `system` is whose object it is, and how the rest reads: `kubernetes` (name: NAMESPACE/NAME or
    NAME of a Secret), `swarm` (name: the family of a secret), `aws` (name: name or ARN of a secret
    or a parameter), `dotenv` (name: the path of a .env file, place: its host, fields: its
    variables, the primary one first), or a word of your own. `place` tells two of one system apart,
    '' where there is but one. `fields` are the parts of it that hold the key.
    """

    system: str
    name: str
    place: str = ""
    fields: tuple[str, ...] = ()


@runtime_checkable
class Local(Protocol):
    """A plugin that may work on the machine where rotator runs: with its files, its processes, its
    programs. What has no such property works the same from everywhere.
    """

    @property
    def local(self) -> bool:
        """Whether it does, by its settings: then its playbook runs where its `on` says."""


@runtime_checkable
class UsualAddress(Protocol):
    """A plugin, or a part of its settings, that knows where it goes when no playbook says it."""

    def usual_address(self) -> str:
        """The URL, '' where the playbook gives another one.

        Preflight warns where keys travel there in clear text.
        """


def has(plugin: object, capability: Any) -> bool:
    """Whether it has this capability, a protocol: all of its class have, or none.

    isinstance() looks at each member of a protocol anew: an eighth of the time that ten thousand
    playbooks take.
    """
    asked = type(plugin), capability
    if asked not in _HAS:
        _HAS[asked] = isinstance(plugin, capability)
    return _HAS[asked]
