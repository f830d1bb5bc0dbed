"""Which plugin a name in a playbook means. A new plugin is one file and one line here, or an entry point."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from rotator.providers.shipped import shipped

KINDS = ("provider", "store", "restarter", "probe")

_BUILT_IN: dict[str, dict[str, str]] = {
    "provider": {
        "aws-iam": "rotator.providers.aws_iam:AwsIamProvider",
        "command": "rotator.providers.command:CommandProvider",
        "memory": "rotator.providers.memory:MemoryProvider",
        "operator": "rotator.providers.operator:OperatorProvider",
    },
    "store": {
        "aws-secrets-manager": "rotator.stores.aws_secrets_manager:AwsSecretsManagerStore",
        "aws-ssm": "rotator.stores.aws_ssm:AwsSsmStore",
        "command": "rotator.stores.command:CommandStore",
        "dotenv": "rotator.stores.dotenv:DotenvStore",
        "file": "rotator.stores.file:FileStore",
        "kubernetes": "rotator.stores.kubernetes:KubernetesStore",
        "memory": "rotator.stores.memory:MemoryStore",
        "swarm": "rotator.stores.swarm:SwarmStore",
        "systemd-creds": "rotator.stores.systemd_creds:SystemdCredsStore",
        "vault": "rotator.stores.vault:VaultStore",
    },
    "restarter": {
        "command": "rotator.restarters.command:CommandRestarter",
        "compose": "rotator.restarters.compose:ComposeRestarter",
        "docker": "rotator.restarters.docker:DockerRestarter",
        "ecs": "rotator.restarters.ecs:EcsRestarter",
        "kubernetes": "rotator.restarters.kubernetes:KubernetesRestarter",
        "memory": "rotator.restarters.memory:MemoryRestarter",
        "none": "rotator.restarters.none:NoneRestarter",
        "process": "rotator.restarters.process:ProcessRestarter",
        "swarm": "rotator.restarters.swarm:SwarmRestarter",
        "systemd": "rotator.restarters.systemd:SystemdRestarter",
    },
    "probe": {
        "command": "rotator.probes.command:CommandProbe",
        "http": "rotator.probes.http:HttpProbe",
        "memory": "rotator.probes.memory:MemoryProbe",
        "provider": "rotator.probes.provider:ProviderProbe",
    },
}


@dataclass(frozen=True)
class Registry:
    """Plugins by kind and name; catalog files of `folders` (beside the playbooks) come after the shipped ones."""

    folders: tuple[Path, ...] = ()

    def names(self, kind: str) -> list[str]:
        return sorted({*_BUILT_IN[kind], *_entry_points(kind), *(self._catalog() if kind == "provider" else ())})

    def find(self, kind: str, name: str) -> type[Any] | None:
        """The plugin's class, None if there is none. Raises PlaybookMistakes for a catalog file that is wrong."""
        if name in _BUILT_IN[kind]:
            module, _, attribute = _BUILT_IN[kind][name].partition(":")
            return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
        if kind == "provider" and name in self._catalog():
            from rotator.playbook import catalog  # late: its grammar is a tenth of a start that needs none of it

            return catalog.provider(self._catalog()[name])
        found = _entry_points(kind).get(name)
        return found.load() if found else None

    def _catalog(self) -> Mapping[str, Path]:
        return {**{path.stem: path for path in catalog_files(self.folders)}, **shipped()}


def catalog_files(folders: Iterable[Path]) -> list[Path]:
    """Users' own catalog files, beside their playbooks."""
    return [path for folder in folders for path in _catalog_beside(folder)]


def _catalog_beside(folder: Path) -> list[Path]:
    """Catalog files of a directory of playbooks, or beside a playbook; none where this user may not look."""
    try:
        return sorted((folder if folder.is_dir() else folder.parent).glob("providers/*.yaml"))
    except PermissionError:
        return []


@lru_cache
def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    """Third parties' plugins: entry points of the group rotator.plugins, named kind.name."""
    found = metadata.entry_points(group="rotator.plugins")
    return {point.name.partition(".")[2]: point for point in found if point.name.startswith(kind + ".")}


def helps_below(plugin: type[Any], location: Sequence[Any]) -> dict[str, str]:
    """The settings inside a setting, with what they are for; none where it has none."""
    inside: Any = plugin
    for part in location[:-1]:
        kinds = typing.get_type_hints(inside).get(str(part)) if dataclasses.is_dataclass(inside) else None
        inside = next((kind for kind in (kinds, *typing.get_args(kinds)) if dataclasses.is_dataclass(kind)), None)
    if inside is None or inside is plugin:
        return {}
    return {setting.name: setting.help for setting in settings_of(inside)}


@dataclass(frozen=True, slots=True)
class Setting:
    """One documented setting of a plugin, as a playbook spells it."""

    name: str
    field: str
    type: str
    help: str
    required: bool
    default: Any
    connection: bool


def neighbour(provider_name: str, provider: Any) -> str:
    """The provider, and how it is reached: who hangs there hangs with others of it, and its ids mean one key."""
    ways = [setting.name for setting in settings_of(type(provider)) if setting.connection]
    return " ".join([provider_name, *(str(getattr(provider, way, "")) for way in ways)])


def settings_of(plugin: type[Any]) -> Iterator[Setting]:
    """The settings of a plugin class, in order."""
    for field in dataclasses.fields(plugin):
        if not field.init or field.metadata.get("hidden") or "help" not in field.metadata:
            continue
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = None if required or field.default is dataclasses.MISSING else field.default
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
        yield Setting(
            field.metadata.get("spelled") or field.name,
            field.name,
            kind,
            field.metadata["help"],
            required,
            default,
            bool(field.metadata.get("connection")),
        )
