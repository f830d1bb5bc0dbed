"""JSON Schema of playbooks and catalog files, generated from their grammars and the plugins."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from rotator.integrations.catalog.entry import CatalogEntry
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.playbook.registry import Registry, settings_of
from rotator.playbook.schema import Shape, Told

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PARTS = {
    "generate": "provider",
    "store": "store",
    "restart": "restarter",
    "verify": "probe",
    "notify": "channel",
}


def playbook_schema(registry: Registry) -> dict[str, Any]:
    """Draft 2020-12. Each entry is one of the plugins, told apart by `uses`."""
    schema = Shape.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    for part, kind in _PARTS.items():
        entries = [_entry(registry, kind, name, definitions) for name in registry.names(kind)]
        one = {"oneOf": entries}
        many = {"oneOf": [*entries, {"type": "array", "items": one}]}
        schema["properties"][part] = one if part == "generate" else many
    schema["properties"]["monitor"] = _of("monitor", "prometheus", PrometheusMonitor, definitions)
    return {
        "$schema": _DRAFT,
        "title": "rotator playbook",
        **schema,
    }


def catalog_schema() -> dict[str, Any]:
    """Draft 2020-12. The shape of a file in `providers/`; what its words must mean besides is
    proven when it is loaded.
    """
    schema = CatalogEntry.model_json_schema(by_alias=True)
    return {"$schema": _DRAFT, **schema, "title": "rotator catalog file"}


def _entry(registry: Registry, kind: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    plugin = registry.find(kind, name)
    assert plugin is not None
    return _of(kind, name, plugin, definitions)


def _of(kind: str, name: str, plugin: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    own = TypeAdapter(plugin).json_schema(ref_template="#/$defs/{model}")
    definitions.update(own.pop("$defs", {}))
    found: dict[str, Any] = {"uses": {"const": name}}
    required = ["uses"]
    for setting in settings_of(plugin):
        found[setting.name] = {
            **own["properties"].get(setting.field, {}),
            "description": setting.help,
        }
        found[setting.name].pop("title", None)
        if setting.required:
            required.append(setting.name)
    if kind == "store":
        found["create"] = {
            "type": "boolean",
            "description": "It may hold no key yet: it is filled with its first one",
        }
        found["follows"] = {
            "type": "boolean",
            "description": "A controller fills it: it is only read, and waited for",
        }
    if kind == "channel":
        told = Told.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(told.get("$defs", {}))
        found.update(told["properties"])
    if kind == "restarter":
        found["allow_unhealthy"] = {
            "type": "boolean",
            "description": "Begin although a consumer is unhealthy",
        }
    return {
        "type": "object",
        "properties": found,
        "required": required,
        "additionalProperties": False,
    }
