"""Keys that were found: does each work, how old is it, when does it end; is one needed at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotator.counting import span
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.integrations.catalog.made import provider_class
from rotator.model import KeyRecord
from rotator.reference import Reference
from rotator.secret import Secret, hint_of
from rotator.setup import matched
from rotator.setup.at_hand import AtHand
from rotator.setup.found import Source, Value
from rotator.setup.paths import Found
from rotator.setup.recognised import OPERATOR, Providers
from rotator.views.environment_keys import EnvironmentKey, KeyState, probe_address, tried

# Servers that ask for no key, by the variables that name their address
KEYLESS: Mapping[str, tuple[str, ...]] = {
    "ollama": ("OLLAMA_HOST", "OLLAMA_BASE_URL", "OLLAMA_API_BASE")
}


@dataclass(frozen=True, slots=True)
class CheckedKey:
    """One key with what else is known of it, in sentences."""

    key: EnvironmentKey
    facts: tuple[str, ...] = ()


def checked(found: Found, providers: Providers, at_hand: AtHand) -> Iterator[CheckedKey]:
    """The keys of these places that a provider of the catalog knows, each once."""
    seen: set[tuple[str, str]] = set()
    for source in found.sources:
        for name, value in source.values.items():
            if not isinstance(value, Secret) or not value:
                continue
            provider = providers.of(source.called(name), value).provider
            if provider in ("", OPERATOR) or (provider, value.reveal()) in seen:
                continue
            seen.add((provider, value.reveal()))
            entry = providers.entries[provider]
            where = f"{name} in {source.shown}"
            yield _one(provider, entry, where, value, source, at_hand)


def _one(
    provider: str,
    entry: CatalogEntry,
    where: str,
    value: Secret,
    source: Source,
    at_hand: AtHand,
) -> CheckedKey:
    settings, missing = at_hand.settings(provider, entry, source.values, source.path)
    address, usual = probe_address(entry)
    base = "" if address in missing else str(settings.get(address) or usual or "")
    text = value.reveal()
    if "".join(text.split()) != text:
        state, detail, hint = KeyState.SPACES, "", ""
    else:
        state, detail, hint = tried(provider, entry, value, base)
    key = EnvironmentKey(provider, where, entry.console, state, hint_of(text), detail, hint)
    return CheckedKey(
        key, tuple(facts(provider, entry, value, source.values, at_hand, source.path))
    )


def facts(
    provider: str,
    entry: CatalogEntry,
    value: Secret,
    beside: Mapping[str, Value],
    at_hand: AtHand,
    place: Path | None = None,
) -> Iterator[str]:
    """Its id, age and end, where an administrator's credential is at hand; and whether the provider
    offers access without a key.
    """
    settings, missing = at_hand.settings(provider, entry, beside, place)
    if entry.list_ is not None and not missing:
        given: dict[str, Any] = {name: _given(entry, name, one) for name, one in settings.items()}
        known = matched.match(provider_class(provider, entry)(**given), value)
        if known.record is not None:
            yield matched.words(known.record, entry.name) + _age(known.record)
        else:
            yield known.why
    if entry.federation is not None and entry.federation.offered:
        yield f"it could be done without: {entry.federation.name} ({entry.federation.docs})"


def _age(record: KeyRecord) -> str:
    if record.created_at is None:
        return ""
    return f" ({span(max(0.0, time.time() - record.created_at))} ago)"


def _given(entry: CatalogEntry, name: str, value: object) -> object:
    is_secret = name in entry.settings and entry.settings[name].secret
    return Reference.parse(value) if is_secret else value
