"""Which provider's key a variable holds: by its name, and by what its value looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotator.clients import patterns
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.playbook import catalog
from rotator.secret import Secret

_NUMBER = re.compile(r"_\d+$")  # of a pool: OPENAI_API_KEY_1
# Names of keys whose provider nobody here knows
_A_KEY = re.compile(r"(?:^|_)(?:API_?KEY|API_?TOKEN|ACCESS_?TOKEN|AUTH_?TOKEN)(?:_\d+)?$")
_TOLD_BY = 4  # characters that a value must begin with to tell its provider: `gsk_`
# A credential of several variables: which of them is which field of the key
SEVERAL: Mapping[str, Mapping[str, str]] = {
    "aws-iam": {
        "AWS_ACCESS_KEY_ID": "access_key_id",
        "AWS_SECRET_ACCESS_KEY": "secret_access_key",
        "AWS_DEFAULT_REGION": "region",
    }
}
PUBLIC = "access_key_id"
# Variables of providers that no catalog file describes: the provider, what people call it, and the
# setting that no environment tells
OF_PLUGINS: Mapping[str, tuple[str, str, str]] = {
    "AWS_BEARER_TOKEN_BEDROCK": ("aws-bedrock", "Amazon Bedrock", "user")
}
# What stands before a name that else is another provider's: AZURE_OPENAI_API_KEY
_OTHERS = ("AZURE_",)
OPERATOR = "operator"  # who makes a key that no provider of ours does


@dataclass(frozen=True)
class Recognised:
    """`provider` is '' where the variable holds no key of anybody. `said`: what a person is to
    know.
    """

    provider: str
    said: str = ""


class Providers:
    """The entries of the catalog, users' own among them."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.entries = {name: catalog.entry(path) for name, path in files.items()}
        self._by_name = {
            variable: name for name, entry in self.entries.items() for variable in entry.env
        } | {variable: provider for variable, (provider, *_) in OF_PLUGINS.items()}

    def name(self, provider: str) -> str:
        """What people call it."""
        called = {name: said for name, said, _ in OF_PLUGINS.values()}
        return (
            self.entries[provider].name
            if provider in self.entries
            else called.get(provider, provider)
        )

    def of(self, names: Sequence[str], value: Secret | None) -> Recognised:
        """`names`: what the place and the programs call the variable."""
        by_name = next(filter(None, map(self._named, names)), "")
        by_value = self._looks_like(value.reveal()) if value else ""
        if by_value and by_value != by_name and self._closer(by_value, by_name, value):
            told = f", though {names[0]} is a name of {self.name(by_name)}" if by_name else ""
            return Recognised(by_value, f"it looks like a key of {self.name(by_value)}{told}")
        if by_name or by_value:
            return Recognised(by_name or by_value)
        known = any(_A_KEY.search(_plain(name)) for name in names)
        return Recognised(OPERATOR if known else "")

    def _named(self, name: str) -> str:
        """By one of the names that its keys usually have, also with something before it."""
        plain = _NUMBER.sub("", _plain(name))
        if plain in self._by_name:
            return self._by_name[plain]
        if plain.startswith(_OTHERS):
            return ""
        ends = [one for one in self._by_name if plain.endswith(f"_{one}")]
        return self._by_name[max(ends, key=len)] if ends else ""

    def _looks_like(self, text: str) -> str:
        """The one provider whose keys alone begin so, '' where several do or none."""
        heads = dict(self._heads(text))
        longest = max(map(len, heads.values()), default=0)
        found = [name for name, head in heads.items() if len(head) == longest]
        return found[0] if len(found) == 1 and longest >= _TOLD_BY else ""

    def _heads(self, text: str) -> Iterator[tuple[str, str]]:
        for name, entry in self.entries.items():
            if entry.pattern and re.fullmatch(entry.pattern, text):
                yield name, patterns.literal_prefix(entry.pattern, text)

    def _closer(self, by_value: str, by_name: str, value: Secret | None) -> bool:
        """Whether the value tells more than the name does: not where both fit it alike."""
        heads = dict(self._heads(value.reveal() if value else ""))
        return by_name not in heads or len(heads[by_value]) > len(heads[by_name])


def administrative(name: str, entries: Mapping[str, CatalogEntry]) -> str:
    """The provider whose administrator's credential the variable usually holds, or ''."""
    for provider, entry in entries.items():
        secrets = (setting for setting, one in entry.settings.items() if one.secret)
        if name.upper() in [_plain(f"{provider}_{setting}") for setting in secrets]:
            return provider
    return ""


def pool_of(name: str) -> str:
    """What the names of one pool's keys have in common: OPENAI_API_KEY of OPENAI_API_KEY_1."""
    return _NUMBER.sub("", name)


def slug(name: str) -> str:
    """A playbook's name for a variable: `azure-openai` of AZURE_OPENAI_API_KEY."""
    short = re.sub(r"_?(?:API_?KEY|API_?TOKEN|TOKEN|KEY)(?=_\d+$|$)", "", _plain(name))
    return re.sub(r"[^a-z0-9]+", "-", short.lower()).strip("-") or "key"


def _plain(name: str) -> str:
    """As variables are written: `OPENAI_API_KEY` of a secret `openai-api-key`."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).upper()
