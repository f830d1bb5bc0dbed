"""A provider issues keys: its contract, and what to inherit so that a small one is short."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from rotator.errors import RotatorError, Unsupported
from rotator.model import (
    Credential,
    Finding,
    Identity,
    KeyRecord,
    Label,
    NotYet,
    Overlap,
    Recovery,
)
from rotator.plugin.capabilities import has
from rotator.plugin.settings import values_of
from rotator.reference import Reference
from rotator.secret import Secret


class Provider(Protocol):
    """Issues keys.

    A frozen dataclass with the members below; `ProviderDefaults` has all but `generate`, `revoke`
    and `probe`. Times are seconds. Each method does one thing at once, and raises
    `TransientError` where it may be asked again later, `OutcomeUnknown` where a change may have
    happened, `PermanentError` and its kin (`AccessDenied`, `NotFound`, `QuotaExceeded`) where
    asking again is of no use, `Unsupported` for what this provider has not.

    Example: a provider with an HTTP API that cannot list its keys.

        @dataclass(frozen=True, kw_only=True)
        class AcmeProvider(ProviderDefaults):

            team: str = setting("Id of the team")

            def generate(self, label: Label, like: Credential | None) -> Credential: ...
            def revoke(self, credential: Credential) -> None: ...
            def probe(self, credential: Credential) -> Identity: ...
    """

    # --- what it is: read often, so from settings alone, without asking anybody ---
    @property
    def fields(self) -> tuple[str, ...]:
        """Names of a key's secret values, the primary one first."""

    @property
    def overlap(self) -> Overlap:
        """How many keys may live at once: `many`, `two slots` (the second must be free before the
        start), `none` (a new key ends the old one, which only `allow_downtime` accepts).
        """

    @property
    def recovery(self) -> Recovery:
        """How a create whose answer was lost is found again: `label` (the list shows the name that
        it was made with), `difference` (what the list did not show before), `reread` (its slot
        shows it), `none` (it is not: a person decides about a key that may be left).
        """

    @property
    def supplied(self) -> bool:
        """A person makes and destroys the keys: the rotation asks."""

    @property
    def can_deactivate(self) -> bool:
        """A key can be switched off, and on again: `deactivate` and `reactivate` work."""

    @property
    def can_list(self) -> bool:
        """`inventory` works."""

    @property
    def list_lag(self) -> float:
        """Seconds that a listing may lag behind."""

    @property
    def quota(self) -> int:
        """How many keys there can be; 0 where nobody knows."""

    @property
    def usage_lag(self) -> float:
        """Seconds by which the last use is reported late: its granularity, or the delay."""

    @property
    def tells_use(self) -> bool:
        """Whether the inventory says when each key was last used.

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

    # --- what it knows of a key ---
    def beside(self, credential: Credential) -> Mapping[str, str]:
        """What stands beside the values in stores, and is no secret: `access_key_id`, `region`."""

    def id_of(self, beside: Mapping[str, str]) -> str:
        """The key's id, where what stands beside its values tells it, or ''."""

    def authenticated_by(self, credential: Credential) -> bool:
        """Whether this very key makes and destroys keys: without it there would be no other one."""

    def signs(self) -> str:
        """The characters that its keys may consist of, '' where nobody knows."""

    def literal_prefix(self, value: Secret) -> str:
        """The part of this key that all keys of its kind begin with: it tells none from another."""

    def looks_right(self, value: Secret) -> str:
        """Why this cannot be one of this provider's keys, or ''."""

    # --- what it does ---
    def preflight(self) -> list[Finding]:
        """Permissions, quota, settings; changes nothing."""

    def generate(self, label: Label, like: Credential | None) -> Credential | NotYet:
        """Make a key bearing the label, with the scopes and limits of `like`.

        Raises OutcomeUnknown where a key may have been made without its answer reaching us, and
        Unreadable where one was made and its answer is of no use.
        """

    def reread(self, like: Credential | None) -> Credential | None:
        """The key in the slot that generate fills (recovery 'reread'), or Unsupported."""

    def inventory(self) -> list[KeyRecord]:
        """All keys, or Unsupported. A key that is left out counts as gone."""

    def deactivate(self, credential: Credential) -> None:
        """Switch it off. Switched off already is success."""

    def reactivate(self, credential: Credential) -> None:
        """Switch it on again. Switched on already is success."""

    def revoke(self, credential: Credential) -> None:
        """Destroy it for ever. Already gone is success. The value may be unknown, the id not."""

    def probe(self, credential: Credential) -> Identity:
        """The cheapest authenticated call. Raises Rejected, TransientError, Unsupported."""


# Characters: sk-ant-api03- and github_pat_ are shorter
_LONGEST_PREFIX = 16


class ProviderDefaults:
    """What holds for most providers: keys of one value, many at a time, made and destroyed by
    rotator; no list, no quota, no last use, no switch; known everywhere at once.

    Their end is known as fast as their beginning. A subclass overrides what is otherwise by a class
    attribute, a property, or a setting with a default.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        return ("key",)

    @property
    def overlap(self) -> Overlap:
        return Overlap.MANY

    @property
    def recovery(self) -> Recovery:
        return Recovery.NONE

    @property
    def supplied(self) -> bool:
        return False

    @property
    def can_deactivate(self) -> bool:
        return False

    @property
    def can_list(self) -> bool:
        return False

    @property
    def list_lag(self) -> float:
        return 0.0

    @property
    def quota(self) -> int:
        return 0

    @property
    def usage_lag(self) -> float:
        return 0.0

    @property
    def tells_use(self) -> bool:
        return False

    @property
    def propagation(self) -> float:
        return 0.0

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

    def looks_right(self, value: Secret) -> str:
        return ""

    def preflight(self) -> list[Finding]:
        return []

    def reread(self, like: Credential | None) -> Credential | None:
        raise Unsupported("this provider shows a key only once")

    def inventory(self) -> list[KeyRecord]:
        raise Unsupported("this provider cannot list its keys")

    def deactivate(self, credential: Credential) -> None:
        raise Unsupported("this provider cannot deactivate a key")

    def reactivate(self, credential: Credential) -> None:
        raise Unsupported("this provider cannot reactivate a key")


def _referred(part: Any) -> Iterator[Secret]:
    """Every secret that a plugin's settings refer to."""
    if isinstance(part, Reference):
        with contextlib.suppress(RotatorError, OSError):
            yield part.resolve()
    else:
        for value in values_of(part).values():
            yield from _referred(value)


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


@runtime_checkable
class Destroying(Protocol):
    """A provider that knows who destroys its keys; without it, whoever makes them does."""

    @property
    def destroys(self) -> bool:
        """Whether `revoke` works."""


@runtime_checkable
class InSteps(Protocol):
    """A provider whose create may not be done at once: it answers NotYet with a handle."""

    def proceed(self, label: Label, like: Credential | None, handle: str) -> Credential | NotYet:
        """Goes on with what `generate` began. Raises as `generate` does."""


@runtime_checkable
class Slotted(Protocol):
    """A provider whose credential has two slots, which a place of its own tells from others."""

    @property
    def credential_at(self) -> str:
        """Where they are: two playbooks with the same place would make each other's key anew."""


@runtime_checkable
class Told(Protocol):
    """A provider that tells a key's id to whoever has its value."""

    def id_told(self, credential: Credential) -> str:
        """Asked with the key itself; '' where nothing tells it."""


@runtime_checkable
class Console(Protocol):
    """A provider that knows where a person makes and destroys keys."""

    @property
    def console(self) -> str | None:
        """An address, or None."""


@runtime_checkable
class ConsoleSteps(Protocol):
    """A provider that knows what a person does in its console, a sentence a step."""

    @property
    def steps_to_create(self) -> tuple[str, ...]:
        """To make a key like the old one."""

    @property
    def steps_to_revoke(self) -> tuple[str, ...]:
        """To destroy the old one."""


@runtime_checkable
class Probing(Protocol):
    """A provider that may have no call which only tries a key."""

    @property
    def can_probe(self) -> bool:
        """Whether `probe` works; where it does not, a playbook's own probes do, or nobody."""


def can_probe(provider: object) -> bool:
    """Whether its `probe` works."""
    return bool(getattr(provider, "can_probe", True)) if has(provider, Probing) else True


def console_of(provider: object) -> str:
    """The address, '' where the provider knows none."""
    return (provider.console or "") if isinstance(provider, Console) else ""
