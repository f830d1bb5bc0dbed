"""Keys in the variables of this process's environment (OPENAI_API_KEY, …): do they work?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum, auto

from rotator.errors import Rejected, RotatorError, Unsupported
from rotator.integrations.catalog.entry import CatalogEntry, entry_at
from rotator.integrations.catalog.provider import HttpProvider, provider_class
from rotator.integrations.catalog.shipped import shipped
from rotator.model import Credential
from rotator.reference import Reference
from rotator.secret import Secret, hint_of

_ALWAYS = "openai"  # looked at whether its variable is set or not


class KeyState(StrEnum):
    NOT_SET = auto()
    SPACES = auto()  # blanks or line ends in it
    MISSHAPEN = auto()
    REFUSED = auto()
    UNTRIED = auto()  # the provider does not answer
    RIGHT_SHAPE = auto()  # the provider offers no request to try it
    WORKS = auto()


@dataclass(frozen=True, slots=True)
class EnvironmentKey:
    """One provider's key. `detail` and `hint` are in the words of others."""

    provider: str
    variable: str
    console: str  # where keys are made
    state: KeyState
    ends: str = ""  # the key's hint: its first and last characters
    detail: str = ""
    hint: str = ""

    @property
    def ok(self) -> bool:
        return self.state in (KeyState.WORKS, KeyState.RIGHT_SHAPE)


def providers() -> list[str]:
    """All of the catalog that comes with rotator."""
    return list(shipped())


def providers_in_environment() -> list[str]:
    """Those whose variable is set, and OpenAI."""
    return [
        name
        for name, path in shipped().items()
        if name == _ALWAYS or any(os.environ.get(variable) for variable in entry_at(path).env)
    ]


def environment_key(provider: str) -> EnvironmentKey:
    """Ask this provider of the catalog whether it takes the key in its variable."""
    entry = entry_at(shipped()[provider])
    variable = next((name for name in entry.env if os.environ.get(name)), entry.env[0])
    value = os.environ.get(variable, "")
    state, ends, detail, hint = KeyState.NOT_SET, "", "", ""
    if value:
        clean = "".join(value.split())
        ends = hint_of(clean)
        if clean != value:
            state = KeyState.SPACES
        else:
            state, detail, hint = _try(provider, entry, Secret(value))
    return EnvironmentKey(provider, variable, entry.console, state, ends, detail, hint)


def _try(provider: str, entry: CatalogEntry, key: Secret) -> tuple[KeyState, str, str]:
    """How the key is, with what was said of it, and a hint."""
    prober = _prober(provider, entry)
    if wrong := prober.looks_right(key):
        return KeyState.MISSHAPEN, wrong, ""
    try:
        prober.probe(Credential({"key": key}))
    except Rejected as error:
        return KeyState.REFUSED, error.message, ""
    except Unsupported:
        return KeyState.RIGHT_SHAPE, "", ""
    except RotatorError as error:
        return KeyState.UNTRIED, error.message, error.hint
    return KeyState.WORKS, "", ""


def _prober(name: str, entry: CatalogEntry) -> HttpProvider:
    """The provider, only to probe: its administrator's settings are never asked for.

    Address from the environment.
    """
    base = os.environ.get(f"{entry.env[0].rpartition('_API_KEY')[0]}_BASE_URL")
    unused = {
        key: Reference("env", "UNUSED") if setting.secret else "unused"
        for key, setting in entry.settings.items()
        if setting.required
    }
    return provider_class(name, entry)(
        base_url=base or entry.api.base or "http://localhost", **unused
    )
