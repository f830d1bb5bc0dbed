"""Which plugin a name in a playbook means: of a folder of rotator.integrations, or of an entry
point.

Here references and the wrapping of the sealing key get those parts that neighbours know, too.
"""

from __future__ import annotations

import dataclasses
import pkgutil
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import rotator.integrations
from rotator import reference
from rotator.clients.wrapping import Way, Ways
from rotator.integrations.catalog.shipped import shipped
from rotator.playbook.mistakes import Mistake
from rotator.plugin import Integration, answers, conform, values_of

_PACKAGE = "rotator.integrations"
KINDS = ("provider", "store", "restarter", "probe")
CHANNEL = "channel"  # of notices: rotator's own alone, no package brings one


@lru_cache
def integrations() -> Mapping[str, Integration]:
    """What each folder of rotator.integrations offers, by its name."""
    names = sorted(
        one.name for one in pkgutil.iter_modules(rotator.integrations.__path__) if one.ispkg
    )
    return {name: import_module(f"{_PACKAGE}.{name}").PLUGINS for name in names}


@lru_cache
def _built_in(kind: str) -> Mapping[str, str]:
    """Where each plugin of ours is, as `module:Class`."""
    found = integrations().items()
    return {
        name: _full(folder, where)
        for folder, one in found
        for name, where in one.of_kind(kind).items()
    }


def _full(folder: str, where: str) -> str:
    return where if where.startswith("rotator.") else f"{_PACKAGE}.{folder}.{where}"


@lru_cache(maxsize=512)
def _load(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def _late(where: str) -> Callable[..., Any]:
    """Itself imported when it is called: a neighbour's packages are heavy."""
    return lambda *given, **named: _load(where)(*given, **named)


def wrapping_ways() -> Ways:
    """Who can wrap the sealing key."""
    found = [
        (folder, name, one)
        for folder, each in integrations().items()
        for name, one in each.wrappers.items()
    ]
    return Ways(
        {name: Way(one.prefix, _late(_full(folder, one.where))) for folder, name, one in found}
    )


def extra_of(plugin: type[Any]) -> str:
    """The extra that installs what this plugin of ours needs, '' where it needs nothing more."""
    folder = plugin.__module__.removeprefix(f"{_PACKAGE}.").partition(".")[0]
    return integrations()[folder].extra if folder in integrations() else ""


reference.provide(
    {
        kind: _late(_full(folder, where))
        for folder, one in integrations().items()
        for kind, where in one.references.items()
    }
)


@dataclass(frozen=True)
class Registry:
    """Plugins by kind and name; catalog files of `folders` (beside the playbooks) come after the
    shipped ones.
    """

    folders: tuple[Path, ...] = ()

    def names(self, kind: str) -> list[str]:
        return sorted(
            {
                *_built_in(kind),
                *(_entry_points(kind) if kind in KINDS else ()),
                *(self.catalog() if kind == "provider" else ()),
            }
        )

    def find(self, kind: str, name: str) -> type[Any] | None:
        """The plugin's class, None if there is none.

        Raises PlaybookMistakes for a catalog file that is wrong, PluginMistakes for a plugin that
        cannot be imported or does not keep its contract.
        """
        found = self._class(kind, name)
        if found is not None and kind in KINDS:
            conform.check_class(kind, name, found)
        return found

    def watched(self, kind: str, name: str, found: Any) -> Any:
        """What `find` returned, to be made and asked: answers of another package's plugin are
        looked at. Ours are checked by mypy.
        """
        is_ours = name in _built_in(kind) or (kind == "provider" and name in self.catalog())
        return found if is_ours else answers.watched(kind, name, found)

    def passed_over(self) -> list[Mistake]:
        """Entry points of packages that no playbook can mean, with why; each names its package."""
        mistakes = []
        for point in _offered():
            kind, _, name = point.name.partition(".")
            if kind not in KINDS or not name:
                why = "is of no kind of plugin"
                hint = f"its name is KIND.NAME, and the kinds are {', '.join(KINDS)}"
            elif taken := self._taken(kind, name, point):
                why = f"is never used: {taken}"
                hint = "its package gives it another name, or is not installed here"
            else:
                continue
            text = f"its entry point {point.name} {why}"
            mistakes.append(Mistake(_package(point), 0, 0, text, hint))
        return mistakes

    def _taken(self, kind: str, name: str, point: metadata.EntryPoint) -> str:
        """Who else has the name and is found first, '' where it is this entry point's own."""
        if name in _built_in(kind):
            return f"rotator has a {kind} of that name itself"
        if kind == "provider" and name in self.catalog():
            return f"the catalog file {self.catalog()[name]} has that name"
        first = _entry_points(kind).get(name, point)
        return "" if first is point else f"{_package(first)} offers one of that name, too"

    def _class(self, kind: str, name: str) -> type[Any] | None:
        if name in _built_in(kind):
            return _load(_built_in(kind)[name])  # type: ignore[no-any-return]
        if kind == "provider" and name in self.catalog():
            from rotator.playbook import (
                catalog,
            )  # late: its grammar is a tenth of a start that needs none of it

            return catalog.provider(self.catalog()[name])
        point = _entry_points(kind).get(name) if kind in KINDS else None
        return _imported(kind, name, point) if point else None

    def catalog(self) -> Mapping[str, Path]:
        """Catalog files by the name of their provider, users' own and the shipped ones."""
        return self._catalog

    @cached_property
    def _catalog(self) -> Mapping[str, Path]:
        """Looked for once: a registry is of one reading, and a look is not for each playbook."""
        return {**{path.stem: path for path in catalog_files(self.folders)}, **shipped()}


def catalog_files(folders: Iterable[Path]) -> list[Path]:
    """Users' own catalog files, beside their playbooks."""
    return [path for folder in folders for path in _catalog_beside(folder)]


def _catalog_beside(folder: Path) -> list[Path]:
    """Catalog files of a directory of playbooks, or beside a playbook; none where this user may not
    look.
    """
    try:
        return sorted((folder if folder.is_dir() else folder.parent).glob("providers/*.yaml"))
    except PermissionError:
        return []


@lru_cache
def _offered() -> tuple[metadata.EntryPoint, ...]:
    """Third parties' plugins: entry points of the group rotator.plugins."""
    return tuple(metadata.entry_points(group="rotator.plugins"))


@lru_cache
def _entry_points(kind: str) -> dict[str, metadata.EntryPoint]:
    """Those of one kind, which are named kind.name; of several with one name the last is taken."""
    return {
        point.name.partition(".")[2]: point
        for point in _offered()
        if point.name.startswith(kind + ".")
    }


def _package(point: metadata.EntryPoint) -> str:
    return f"the package {point.dist.name}" if point.dist else "a package"


def _imported(kind: str, name: str, point: metadata.EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # of its own code, which may raise anything
        text = f"cannot be imported from {point.value}: {type(error).__name__}: {error}"
        hint = (
            f"{_package(point)} offers it: is what it needs installed, and its entry point right?"
        )
        raise conform.PluginMistakes(kind, name, [text], hint) from error


def helps_below(plugin: type[Any], location: Sequence[Any]) -> dict[str, str]:
    """The settings inside a setting, with what they are for; none where it has none."""
    inside: Any = plugin
    for part in location[:-1]:
        kinds = (
            typing.get_type_hints(inside).get(str(part))
            if dataclasses.is_dataclass(inside)
            else None
        )
        inside = next(
            (kind for kind in (kinds, *typing.get_args(kinds)) if dataclasses.is_dataclass(kind)),
            None,
        )
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
    """The provider, and how it is reached: who hangs there hangs with others of it, and its ids
    mean one key.
    """
    values = values_of(provider)
    ways = [setting.field for setting in settings_of(type(provider)) if setting.connection]
    return " ".join([provider_name, *(str(values[way]) for way in ways)])


def settings_of(plugin: type[Any]) -> tuple[Setting, ...]:
    """The settings of a plugin class, in order."""
    if plugin not in _known:
        _known[plugin] = tuple(_settings(plugin))
    return _known[plugin]


_known: dict[type[Any], tuple[Setting, ...]] = {}


def _settings(plugin: type[Any]) -> Iterator[Setting]:
    for field in dataclasses.fields(plugin):
        if not field.init or field.metadata.get("hidden") or "help" not in field.metadata:
            continue
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        default = None if required or field.default is dataclasses.MISSING else field.default
        kind = (
            field.type
            if isinstance(field.type, str)
            else getattr(field.type, "__name__", str(field.type))
        )
        yield Setting(
            field.metadata.get("spelled") or field.name,
            field.name,
            kind,
            field.metadata["help"],
            required,
            default,
            bool(field.metadata.get("connection")),
        )
