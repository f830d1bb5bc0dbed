"""What a provider must be told beside the key: looked for where it usually is, and else asked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rotator import plain
from rotator.integrations.catalog.entry import CatalogEntry, SettingEntry
from rotator.setup.found import Value, text_of
from rotator.views.environment_keys import probe_address

ETC = Path("/etc/rotator")
# A question and its answer; '' for "I do not know"
Asking = Callable[[str], str]


@dataclass
class AtHand:
    """`folders`: where administrators' credentials are looked for. Each question is asked
    once.
    """

    folders: Sequence[Path] = (ETC,)
    ask: Asking | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _answers: dict[str, str] = field(default_factory=dict)

    def settings(
        self,
        provider: str,
        entry: CatalogEntry,
        beside: Mapping[str, Value],
        place: Path | None = None,
    ) -> tuple[dict[str, Any], list[str]]:
        """The settings that are known, and the names of those that must be said and are not.

        `beside`: the variables that stand in the same place as the key; `place`: its file.
        """
        found: dict[str, Any] = {}
        missing = []
        where, usual = probe_address(entry)
        address = self._text(_address(entry), beside)
        theirs = where == "base_url" and self._is_theirs(entry, address)
        for name, setting in entry.settings.items():
            value: Any = (
                self._secret(provider, name, _beside(place) if theirs else None)
                if setting.secret
                else self._text(_variables(provider, entry, name), beside)
            )
            if not value and setting.required:
                value = self._asked(provider, entry, name, setting, address if theirs else "")
            if value:
                found[name] = value
            elif setting.required:
                missing.append(name)
        if address and _is_plain(address):
            found[where] = address
        elif address or usual is None:
            missing.append(where)
        if entry.api.base is None and where != "base_url":
            missing.append("base_url")
        return found, missing

    def _is_theirs(self, entry: CatalogEntry, address: str) -> bool:
        """Whether a file alone says the address: what is the machine's own is not sent there."""
        ours = (self._text(_address(entry), {}), entry.api.base or "")
        return bool(address) and address.rstrip("/") not in [one.rstrip("/") for one in ours]

    def _secret(
        self, provider: str, setting: str, only: Path | None = None
    ) -> dict[str, str] | None:
        """A reference to it: in this process's environment, or a file of its own.

        `only`: the one folder whose file it may be.
        """
        variable = _upper(f"{provider}_{setting}")
        if only is None and self.environment.get(variable):
            return {"env": variable}
        name = f"{provider}-{re.sub(r'_(key|token)$', '', setting).replace('_', '-')}"
        for folder in self.folders:
            if only is not None and plain.real(folder) != only:
                continue
            for path in (folder / name, folder / f"{provider}-{setting.replace('_', '-')}"):
                if _is_file(path):
                    return {"file": str(path.absolute())}
        return None

    def _text(self, names: Iterator[str], beside: Mapping[str, Value]) -> str:
        for name in names:
            if text := text_of(beside.get(name)) or self.environment.get(name, ""):
                return text
        return ""

    def _asked(
        self, provider: str, entry: CatalogEntry, name: str, setting: SettingEntry, address: str
    ) -> Any:
        """`address`: where a credential would be sent, if that is for a person to say."""
        if self.ask is None:
            return None
        what = f"{entry.name}: {setting.help or name}"
        sent = f" (it is sent to {address})" if address else ""
        question = f"{what}; the file that holds it{sent}" if setting.secret else what
        if question not in self._answers:
            self._answers[question] = self.ask(question).strip()
        answer = self._answers[question]
        if setting.secret and answer:
            return {"file": str(Path(answer).expanduser().absolute())}
        return answer


def _variables(provider: str, entry: CatalogEntry, setting: str) -> Iterator[str]:
    """Where a setting that is no secret usually stands: OPENAI_PROJECT_ID, OPENAI_PROJECT."""
    for name in dict.fromkeys([_upper(provider), *map(_prefix, entry.env)]):
        yield f"{name}_{setting.upper()}_ID"
        yield f"{name}_{setting.upper()}"


def _address(entry: CatalogEntry) -> Iterator[str]:
    """The variables that SDKs read the address from: OPENAI_BASE_URL, AZURE_OPENAI_ENDPOINT."""
    for name in entry.env:
        yield f"{_prefix(name)}_BASE_URL"
        if probe_address(entry)[1] is None:  # each has an address of its own
            yield f"{_prefix(name)}_ENDPOINT"
            yield f"{_prefix(name)}_API_BASE"


def _beside(place: Path | None) -> Path:
    """The folder of a file; one that there is not, where the key is in none."""
    return plain.real(place).parent if place is not None else Path("/nowhere")


def _is_plain(address: str) -> bool:
    """Whether it may stand in a playbook: an address with a password in it is a secret."""
    try:
        found = urlsplit(address)
    except ValueError:
        return False
    return found.scheme in ("http", "https") and bool(found.hostname) and "@" not in found.netloc


def _prefix(variable: str) -> str:
    return re.sub(r"_(?:API_)?(?:KEY|TOKEN)$", "", variable)


def _upper(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "_", name).upper()


def _is_file(path: Path) -> bool:
    """Also where this user may not look into the folder: nothing is there for them."""
    try:
        return path.is_file()
    except OSError:
        return False
