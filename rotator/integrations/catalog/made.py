"""The plugin class of a catalog file: its settings are the class's fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any

from rotator.durations import Seconds, seconds_or_number
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.integrations.catalog.provider import HttpProvider
from rotator.integrations.catalog.slots import SlotsProvider
from rotator.plugin import setting
from rotator.reference import Reference

TYPES: Mapping[str, Any] = {
    "text": str,
    "list": list[Any],
    "integer": int,
    "number": float,
    "bool": bool,
    "map": dict[str, Any],
    "duration": Seconds,
}


def provider_class(name: str, entry: CatalogEntry) -> type[HttpProvider]:
    """The plugin class of a catalog file's entry."""
    required: list[Any] = []
    optional: list[Any] = []
    for setting_name, described in entry.settings.items():
        kind: Any = Reference if described.secret else TYPES[described.type]
        if described.required:
            given = setting(described.help, connection=described.secret)
            required.append((setting_name, kind, given))
        elif isinstance(described.default, (list, dict)):
            made = setting(described.help, default_factory=_copier(described.default))
            optional.append((setting_name, kind, made))
        else:
            default = described.default
            if described.type == "duration" and default is not None:
                default = seconds_or_number(default)
            given = setting(described.help, default=default, connection=described.secret)
            optional.append((setting_name, kind | None, given))
    for host, address in entry.api.hosts.items():
        if address is None:
            text = "Where keys are used: the address of your own endpoint"
            required.append((f"{host}_url", str, setting(text, connection=True)))
            continue
        text = f"Address in place of {address}, for a proxy or a self-hosted server"
        optional.append((f"{host}_url", str | None, setting(text, default=None, connection=True)))
    provider = make_dataclass(
        f"{name.title()}Provider",
        [*required, *optional],
        bases=(SlotsProvider if entry.slots else HttpProvider,),
        frozen=True,
        kw_only=True,
    )
    provider.entry = entry  # type: ignore[attr-defined]
    provider.__doc__ = f"Keys of {entry.name}. Source: {entry.docs}"
    return provider


def _copier(default: Any) -> Any:
    return default.copy
