"""Keys in the variables of this process's environment (OPENAI_API_KEY, …): do they work?"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from pathlib import Path
from typing import Any

from rotator.errors import Rejected, RotatorError, Unsupported
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.integrations.catalog.made import provider_class
from rotator.integrations.catalog.provider import HttpProvider
from rotator.integrations.catalog.templates import placeholders
from rotator.model import Credential
from rotator.playbook.catalog import entry as entry_of
from rotator.playbook.mistakes import PlaybookMistakes
from rotator.reference import Reference
from rotator.secret import Secret, hint_of

_NUMBERED = re.compile(r"(.+?)_(\d{1,9})")  # a key of a pool: OPENAI_API_KEY_1
_UNUSED = "https://unused.invalid"
_ALWAYS = "openai"  # looked at whether its variable is set or not


class KeyState(StrEnum):
    MISTAKE = auto()  # in its catalog file
    NO_VARIABLE = auto()  # its catalog file names none
    NOT_SET = auto()
    SPACES = auto()  # blanks or line ends in it
    MISSHAPEN = auto()
    REFUSED = auto()
    UNTRIED = auto()  # the provider does not answer
    NO_ADDRESS = auto()  # of a self-hosted one, which a playbook says
    NEEDS_SETTINGS = auto()  # the request to try it has parts that a playbook says
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
        return self.state in (KeyState.WORKS, KeyState.RIGHT_SHAPE, KeyState.NEEDS_SETTINGS)


def providers_in_environment(catalog: Mapping[str, Path]) -> list[str]:
    """Those whose variable is set, OpenAI, and those whose catalog file cannot tell."""
    return [name for name, path in catalog.items() if name == _ALWAYS or _may_be_set(path)]


def _may_be_set(path: Path) -> bool:
    try:
        return bool(_set(entry_of(path).env))
    except PlaybookMistakes:
        return True


def _set(variables: Sequence[str]) -> list[str]:
    """The first of these that is set; and those of a pool, which have a number behind a name."""
    first = next((name for name in variables if os.environ.get(name)), None)
    numbered = [
        (variables.index(found[1]), int(found[2]), name)
        for name, value in os.environ.items()
        if value and (found := _NUMBERED.fullmatch(name)) and found[1] in variables
    ]
    return [*([first] if first else []), *(name for *_, name in sorted(numbered))]


def environment_keys(catalog: Mapping[str, Path], provider: str) -> list[EnvironmentKey]:
    """Ask this provider of the catalog whether it takes the key in its variable; of a pool, each
    of the keys.
    """
    try:
        entry = entry_of(catalog[provider])
    except PlaybookMistakes as error:
        return [
            EnvironmentKey(
                provider, "", "", KeyState.MISTAKE, detail=error.message, hint=error.hint
            )
        ]
    if not entry.env:
        return [EnvironmentKey(provider, "", entry.console, KeyState.NO_VARIABLE)]
    return [_key(provider, entry, name) for name in _set(entry.env) or entry.env[:1]]


def _key(provider: str, entry: CatalogEntry, variable: str) -> EnvironmentKey:
    value = os.environ.get(variable, "")
    state, ends, detail, hint = KeyState.NOT_SET, "", "", ""
    if value:
        clean = "".join(value.split())
        ends = hint_of(clean)
        if clean != value:
            state = KeyState.SPACES
        else:
            address = _address_variable(entry)
            base = os.environ.get(address) or probe_address(entry)[1] or ""
            state, detail, hint = tried(provider, entry, Secret(value), base)
    return EnvironmentKey(provider, variable, entry.console, state, ends, detail, hint)


def tried(provider: str, entry: CatalogEntry, key: Secret, base: str) -> tuple[KeyState, str, str]:
    """How the key is at this address, with what was said of it, and a hint."""
    if entry.probe is None:
        wrong = _prober(provider, entry, "https://unused.invalid").looks_right(key)
        return (KeyState.MISSHAPEN, wrong, "") if wrong else (KeyState.RIGHT_SHAPE, "", "")
    if not base:
        return KeyState.NO_ADDRESS, _address_variable(entry), ""
    prober = _prober(provider, entry, base)
    if wrong := prober.looks_right(key):
        return KeyState.MISSHAPEN, wrong, ""
    request = entry.probe.request
    used = placeholders([request.path, request.query, request.json_body])
    said = {name for name in used & entry.settings.keys() if entry.settings[name].default is None}
    if said:
        return KeyState.NEEDS_SETTINGS, ", ".join(sorted(said)), ""
    try:
        prober.probe(Credential({"key": key}))
    except Rejected as error:
        return KeyState.REFUSED, error.message, ""
    except Unsupported:
        return KeyState.RIGHT_SHAPE, "", ""
    except RotatorError as error:
        return KeyState.UNTRIED, error.message, error.hint
    return KeyState.WORKS, "", ""


def probe_address(entry: CatalogEntry) -> tuple[str, str | None]:
    """The setting that says where a key is tried, and what it is otherwise."""
    host = entry.probe.request.host if entry.probe is not None else ""
    return (f"{host}_url", entry.api.hosts[host]) if host else ("base_url", entry.api.base)


def _address_variable(entry: CatalogEntry) -> str:
    name, usual = probe_address(entry)
    where = "ENDPOINT" if usual is None and name != "base_url" else "BASE_URL"
    return f"{entry.env[0].removesuffix('_API_KEY')}_{where}"


def _prober(name: str, entry: CatalogEntry, base: str) -> HttpProvider:
    """The provider, only to probe: its administrator's settings are never asked for."""
    settings: dict[str, Any] = {
        key: Reference("env", "UNUSED") if setting.secret else "unused"
        for key, setting in entry.settings.items()
        if setting.required
    }
    token = entry.api.token
    if token is not None and token.given:
        settings[token.given] = Reference("env", "UNUSED")
    settings |= {"base_url": _UNUSED, probe_address(entry)[0]: base}
    return provider_class(name, entry)(**settings)
