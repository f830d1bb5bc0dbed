"""From YAML data to a playbook: every mistake collected, plugins made from their settings."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rotator.errors import RotatorError
from rotator.integrations.builtin.provider_probe import ProviderProbe
from rotator.model import BESIDE
from rotator.playbook import wording
from rotator.playbook.filling import fill, filled_size
from rotator.playbook.mistakes import Mistake, PlaybookMistakes, nearest
from rotator.playbook.places import Places, in_folder, working_directory
from rotator.playbook.playbook import ConsumerEntry, Playbook, StoreEntry, weaker
from rotator.playbook.registry import Registry, helps_below, settings_of
from rotator.playbook.schema import NOT_YET, Shape
from rotator.playbook.yaml import Document, Path_
from rotator.plugin import Beside, ReadBy, Several

_EXTRA = {"store": {"follows": False, "create": False}, "restarter": {"allow_unhealthy": False}}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_MOST_FILLED = 20_000_000


@lru_cache(maxsize=256)
def _adapter(plugin: Any) -> TypeAdapter[Any]:
    """Making one costs more than all the validating that it does for a playbook."""
    return TypeAdapter(plugin)


class Loader:
    """Loads one document. `mistakes` has everything that was wrong.

    `kept`: a rotation keeps it, it is not what a person has in a folder now. `foreign`: why it is
    another user's word.
    """

    def __init__(
        self,
        registry: Registry,
        document: Document,
        mistakes: list[Mistake],
        kept: bool = False,
        foreign: str = "",
    ) -> None:
        self._registry = registry
        self._document = document
        self._mistakes = mistakes
        self._folder = document.folder or working_directory()
        self._places = Places(self._folder, self._wrong, not kept, foreign)

    def load(self, name: str) -> list[Playbook]:
        """The playbooks of the document: one, or one for each entry of `for_each`."""
        data = self._document.data
        if not isinstance(data, dict):
            self._wrong((), "a playbook is a mapping", "it begins with `generate:` and `store:`")
            return []
        variants = data.get("for_each")
        if not isinstance(variants, list):
            found = self._playbook(name, data)
            return [found] if found else []
        return self._for_each(name, data, variants)

    def _for_each(self, name: str, data: dict[str, Any], variants: list[Any]) -> list[Playbook]:
        found = []
        if not variants:
            self._wrong(
                ("for_each",),
                "for_each has no entry: no playbook comes of this file",
                "`- {name: eu, …}`",
            )
        rest = {key: value for key, value in data.items() if key != "for_each"}
        if filled_size(rest, variants) > _MOST_FILLED:
            told = f"for_each would make more than {_MOST_FILLED // 1_000_000} MB of playbooks"
            self._wrong(("for_each",), told, "fewer entries, or a shorter playbook around them")
            return []
        for index, variant in enumerate(variants):
            if not isinstance(variant, dict) or "name" not in variant:
                self._wrong(
                    ("for_each", index), "each entry of for_each has a `name`", "`- {name: eu, …}`"
                )
                continue
            try:
                filled = fill(rest, {key: str(value) for key, value in variant.items()})
            except KeyError as error:
                missing = error.args[0]
                told = f"{{{missing}}} stands in the playbook, not in this entry"
                self._wrong(("for_each", index), told, f"add `{missing}: …` to it")
                continue
            playbook = self._playbook(f"{name}-{variant['name']}", filled)
            if playbook:
                found.append(playbook)
        return found

    def _wrong(self, path: Path_, text: str, hint: str = "") -> None:
        self._mistakes.append(self._document.mistake(path, text, hint))

    def _playbook(self, name: str, data: dict[str, Any]) -> Playbook | None:
        before = len(self._mistakes)
        if not _NAME.fullmatch(name):
            self._wrong(
                (),
                f"'{name}' cannot be a playbook's name",
                "use a-z, 0-9, - and _ in the file's name",
            )
        written, data = data, self._places.playbook(data, self._found)
        shape = self._shape(data)
        provider = self._plugin("provider", data.get("generate"), ("generate",))
        stores = self._entries("store", data.get("store"), ("store",))
        restarters = self._entries("restarter", data.get("restart", []), ("restart",))
        probes = self._entries("probe", data.get("verify", [{"uses": "provider"}]), ("verify",))
        if len(self._mistakes) > before or shape is None or provider is None:
            return None
        for index, (restarter, extra) in enumerate(restarters):
            if weaker(restarter.evidence, shape.evidence) and not extra.get("allow_unhealthy"):
                self._wrong(
                    ("restart", index),
                    f"this restarter can only show '{restarter.evidence}', the playbook wants"
                    f" '{shape.evidence}'",
                    f"say `evidence: {restarter.evidence}`",
                )
        stores = [
            (self._fitted(store, provider, index), extra)
            for index, (store, extra) in enumerate(stores)
        ]
        stores = [(_handed(one, extra), extra) for store, extra in stores for one in _each(store)]
        restarters = [
            (self._beside(restarter, [store for store, _ in stores], index), extra)
            for index, (restarter, extra) in enumerate(restarters)
        ]
        parts = [restarter for restarter, _ in restarters]
        stores = [
            (one.read_by(parts) if isinstance(one, ReadBy) else one, extra) for one, extra in stores
        ]
        if len(self._mistakes) > before:
            return None
        handed = tuple(
            ProviderProbe(provider=provider) if isinstance(probe, ProviderProbe) else probe
            for probe, _ in probes
        )
        return Playbook(
            name=name,
            file=self._document.file,
            shape=shape,
            provider_name=str(data["generate"]["uses"]),
            provider=provider,
            probes=handed,
            definition=data,
            written=written,
            folder=self._folder,
            stores=tuple(
                StoreEntry(store.name, store, extra["follows"], extra["create"])
                for store, extra in stores
            ),
            consumers=tuple(
                ConsumerEntry(restarter.name, restarter, extra["allow_unhealthy"])
                for restarter, extra in restarters
            ),
        )

    def _beside(self, restarter: Any, stores: Sequence[Any], index: int) -> Any:
        """The restarter, told what the stores write where it must know."""
        try:
            return restarter.beside(stores) if isinstance(restarter, Beside) else restarter
        except RotatorError as error:
            self._wrong(("restart", index), error.message, error.hint)
            return restarter

    def _fitted(self, store: Any, provider: Any, index: int) -> Any:
        """The store with its `keys` in the provider's order, if they are what a key of this
        provider consists of.
        """
        keys, fields = getattr(store, "keys", None), tuple(provider.fields)
        where: Path_ = ("store", index, "keys")
        if keys is None:
            if fields != ("key",):
                named = ", ".join(f"NAME: {field}" for field in fields)
                self._wrong(
                    where[:-1],
                    "this provider's keys are more than one text",
                    f"say `keys: {{{named}}}`",
                )
            return store
        for name, field in keys.items():
            if field not in (*fields, *BESIDE):
                known = sorted({*fields, *BESIDE})
                self._wrong(
                    (*where, name),
                    f"a key of this provider has no '{field}'",
                    nearest(field, known),
                )
        missing = [field for field in fields if field not in keys.values()]
        if missing:
            self._wrong(where, f"'{missing[0]}' is missing in keys", f"add `NAME: {missing[0]}`")
        order = {field: place for place, field in enumerate(fields)}
        return replace(
            store, keys=dict(sorted(keys.items(), key=lambda item: order.get(item[1], len(order))))
        )

    def _shape(self, data: dict[str, Any]) -> Shape | None:
        try:
            return Shape.model_validate(data)
        except ValidationError as error:
            known = wording.helps(Shape)
            for found in error.errors():
                self._pydantic(found, (), known)
            return None

    def _entries(self, kind: str, data: Any, path: Path_) -> list[tuple[Any, dict[str, Any]]]:
        if isinstance(data, dict):
            found = self._entry(kind, data, path)
            return [found] if found else []
        if not isinstance(data, list):
            return []
        entries = [self._entry(kind, entry, (*path, index)) for index, entry in enumerate(data)]
        return [entry for entry in entries if entry]

    def _entry(self, kind: str, data: Any, path: Path_) -> tuple[Any, dict[str, Any]] | None:
        extra = dict(_EXTRA.get(kind, {}))
        if isinstance(data, dict):
            for name in extra:
                if name in data:
                    extra[name] = data[name] is True
                    if not isinstance(data[name], bool):
                        self._wrong(
                            (*path, name),
                            f"{wording.spoken((*path, name))}: not a truth value",
                            "true or false",
                        )
            data = {name: value for name, value in data.items() if name not in extra}
        plugin = self._plugin(kind, data, path)
        return (plugin, extra) if plugin is not None else None

    def _plugin(self, kind: str, data: Any, path: Path_) -> Any:
        """The plugin that an entry means, or None and the mistakes."""
        if not isinstance(data, dict):
            return None  # the shape has said so already
        uses = data.get("uses")
        if not isinstance(uses, str):
            self._wrong(
                path,
                f"a {kind} says which one it is",
                f"for instance `uses: {self._registry.names(kind)[0]}`",
            )
            return None
        try:
            plugin = self._registry.find(kind, uses)
        except PlaybookMistakes as error:  # of a catalog file
            self._mistakes += error.mistakes
            first = error.mistakes[0]
            self._wrong(
                (*path, "uses"),
                f"the catalog file of '{uses}' is wrong",
                f"{first.place}: {first.text}",
            )
            return None
        except RotatorError as error:
            self._wrong((*path, "uses"), error.message, error.hint)
            return None
        if plugin is None:
            self._wrong(
                (*path, "uses"),
                f"there is no {kind} '{uses}'",
                nearest(uses, self._registry.names(kind)),
            )
            return None
        return self._make(
            plugin, {name: value for name, value in data.items() if name != "uses"}, path, uses
        )

    def _found(self, kind: str, uses: str) -> type[Any] | None:
        """The plugin's class; what is wrong about it is said where it is made."""
        with contextlib.suppress(RotatorError):
            return self._registry.find(kind, uses)
        return None

    def _make(self, plugin: type[Any], data: Mapping[str, Any], path: Path_, uses: str) -> Any:
        helps = {setting.name: setting.help for setting in settings_of(plugin)}
        settings = {setting.name: setting.field for setting in settings_of(plugin)}
        back = {field: name for name, field in settings.items()}
        for name in data:
            if name in NOT_YET and name not in settings:
                self._wrong((*path, name, "=key"), f"'{name}' is of a later version", "remove it")
            elif name not in settings:
                self._wrong(
                    (*path, name, "=key"),
                    f"unknown key '{name}' in {wording.spoken(path)} ({uses})",
                    nearest(name, settings),
                )
            elif data[name] == "":
                self._wrong((*path, name), f"'{name}' is empty", wording.meant(name, helps))
        try:
            adapter = _adapter(plugin)  # type: ignore[arg-type]
            made = adapter.validate_python(
                {settings[k]: v for k, v in data.items() if k in settings}
            )
            return in_folder(made, self._folder)
        except ValidationError as error:
            for found in error.errors():
                location = tuple(
                    back.get(str(part), part) if i == 0 else part
                    for i, part in enumerate(found["loc"])
                )
                self._pydantic(
                    {**found, "loc": location}, path, helps_below(plugin, found["loc"]) or helps
                )
        except RotatorError as error:
            self._wrong(path, error.message, error.hint)
        return None

    def _pydantic(self, error: Any, path: Path_, known: Mapping[str, str]) -> None:
        where: Path_ = (*path, *error["loc"])
        last = str(error["loc"][-1]) if error["loc"] else ""
        nested = self._known_below(error["loc"]) or known
        match error["type"]:
            case "extra_forbidden" | "unexpected_keyword_argument" if last in NOT_YET:
                self._wrong((*where, "=key"), f"'{last}' is of a later version", "remove it")
            case "extra_forbidden" | "unexpected_keyword_argument":
                self._wrong((*where, "=key"), f"unknown key '{last}'", nearest(last, nested))
            case "missing" | "missing_argument":
                self._wrong(
                    where[:-1],
                    f"'{last}' is missing in {wording.spoken(where[:-1])}",
                    wording.meant(last, nested),
                )
            case kind:
                inner = next(
                    (str(part) for part in reversed(error["loc"]) if str(part) in nested), last
                )
                hint = wording.WRITTEN.get(kind) or wording.meant(inner, nested)
                self._wrong(where, f"{wording.spoken(where)}: {wording.sentence(error)}", hint)

    def _known_below(self, location: tuple[Any, ...]) -> dict[str, str]:
        if len(location) < 2:
            return {}
        field = Shape.model_fields.get(str(location[0]))
        for part in (
            getattr(field, "annotation", None),
            *getattr(getattr(field, "annotation", None), "__args__", ()),
        ):
            if hasattr(part, "model_fields"):
                return wording.helps(part)
        return {}


def _each(store: Any) -> Sequence[Any]:
    """The stores that an entry means."""
    return store.each() if isinstance(store, Several) else [store]


def _handed(store: Any, extra: Mapping[str, bool]) -> Any:
    """The store, told what its entry says besides its settings, where it must know."""
    known = {field.name for field in fields(store)}
    return replace(store, **{name: value for name, value in extra.items() if name in known})
