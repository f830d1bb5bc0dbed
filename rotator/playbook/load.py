"""From YAML data to a playbook: every mistake collected, plugins made from their settings."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from rotator.errors import RotatorError
from rotator.integrations.builtin.provider_probe import ProviderProbe
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.playbook import blackouts, template, wording
from rotator.playbook.blackouts import Blackouts, Reader
from rotator.playbook.joining import Entry, each, joined, named, refuse_less_evidence
from rotator.playbook.mistakes import Mistake, PlaybookMistakes, nearest
from rotator.playbook.places import Places, in_folder, working_directory
from rotator.playbook.playbook import (
    ChannelEntry,
    ConsumerEntry,
    Playbook,
    StoreEntry,
    as_pool,
)
from rotator.playbook.registry import CHANNEL, KINDS, Registry, helps_below, settings_of
from rotator.playbook.schema import NOT_YET, Shape, Told
from rotator.playbook.yaml import Document, Path_
from rotator.plugin import UNFORESEEN, can_probe
from rotator.plugin.conform import PluginMistakes, check_made

_EXTRA = {"store": {"follows": False, "create": False}, "restarter": {"allow_unhealthy": False}}
_MONITOR = "prometheus"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@lru_cache(maxsize=256)
def _adapter(plugin: Any) -> TypeAdapter[Any]:
    """Making one costs more than all the validating that it does for a playbook."""
    return TypeAdapter(plugin)


@lru_cache(maxsize=256)
def _fields(plugin: type[Any]) -> Mapping[str, str]:
    """Of each setting, as a playbook spells it, the field."""
    return {setting.name: setting.field for setting in settings_of(plugin)}


@lru_cache(maxsize=256)
def _helps(plugin: type[Any]) -> Mapping[str, str]:
    return {setting.name: setting.help for setting in settings_of(plugin)}


def _unsaid(path: Path_, text: str, hint: str = "") -> None:
    """What was begun goes on by it."""


class Loader:
    """Loads one document. `mistakes` has everything that was wrong.

    `kept`: a rotation keeps it, it is not what a person has in a folder now. `foreign`: why it is
    another user's word. Without `reader` no calendar is read, as where nothing is begun by it.
    """

    def __init__(
        self,
        registry: Registry,
        document: Document,
        mistakes: list[Mistake],
        kept: bool = False,
        foreign: str = "",
        reader: Reader | None = None,
        for_all: Blackouts = blackouts.NONE,
    ) -> None:
        self._registry = registry
        self._document = document
        self._mistakes = mistakes
        self._folder = document.folder or working_directory()
        self._reader, self._for_all, self._kept = reader, for_all, kept
        self._places = Places(self._folder, self._wrong, not kept, foreign)

    def load(self, name: str) -> list[Playbook]:
        """The playbooks of the document: one, or one for each entry of `for_each` or `pool`."""
        data = self._document.data
        if not isinstance(data, dict):
            self._wrong((), "a playbook is a mapping", "it begins with `generate:` and `store:`")
            return []
        variants, pool = data.get("for_each"), data.get("pool")
        if pool is not None:
            pooled = template.pooled(name, data, self._wrong)
            return as_pool(self._made_of(name, pooled))
        if isinstance(variants, list):
            return self._made_of(name, template.filled(name, data, variants, self._wrong))
        return self._made_of("", [(name, data)])

    def _made_of(self, series: str, named: Iterable[tuple[str, dict[str, Any]]]) -> list[Playbook]:
        playbooks = [self._playbook(name, data) for name, data in named]
        return [dataclasses.replace(one, series=series) for one in playbooks if one is not None]

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
        tried = provider is None or can_probe(provider)
        probes = self._entries(
            "probe", data.get("verify", [{"uses": "provider"}] if tried else []), ("verify",)
        )
        if not tried:
            self._refuse_provider_probe(data, probes)
        channels = self.channels(data.get("notify", []), name, ("notify",))
        if shape is not None:
            self._refuse_early(shape, channels)
        monitor = self._monitor(data.get("monitor"))
        if len(self._mistakes) > before or shape is None or provider is None:
            return None
        refuse_less_evidence(restarters, shape, self._wrong)
        stores, restarters = joined(stores, restarters, provider, self._wrong)
        names = named(stores, _unsaid if self._kept else self._wrong)
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
            blackouts=self._blackouts(shape),
            channels=tuple(channels),
            monitor=monitor,
            stores=tuple(
                StoreEntry(name, store, extra["follows"], extra["create"], extra["entry"])
                for name, (store, extra) in zip(names, stores, strict=True)
            ),
            consumers=tuple(
                ConsumerEntry(restarter.name, restarter, extra["allow_unhealthy"])
                for restarter, extra in restarters
            ),
        )

    def _monitor(self, data: Any) -> PrometheusMonitor | None:
        if not isinstance(data, dict):
            return None  # none, or the shape has said so
        if data.get("uses") != _MONITOR:
            uses, where = data.get("uses"), ("monitor", "uses")
            self._wrong(where, f"there is no monitor '{uses}'", f"`uses: {_MONITOR}`")
            return None
        settings = {name: value for name, value in data.items() if name != "uses"}
        made: PrometheusMonitor | None = self._make(
            PrometheusMonitor, settings, ("monitor",), _MONITOR
        )
        return made

    def _blackouts(self, shape: Shape) -> Blackouts:
        """One that cannot be read is a mistake, and the playbook is there all the same: a person
        must be able to rotate it.
        """
        schedule = shape.schedule
        if schedule is None or self._reader is None:
            return blackouts.NONE
        named = [
            (index, one["calendar"])
            for index, one in enumerate(schedule.entries)
            if not isinstance(one, str) and "calendar" in one
        ]

        def wrong(which: int, text: str, hint: str) -> None:
            self._wrong(("schedule", "blackout", named[which][0], "calendar"), text, hint)

        own = self._reader.calendars([path for _, path in named], schedule.timezone, wrong)
        return own + self._for_all

    def _refuse_provider_probe(self, data: dict[str, Any], probes: list[Entry]) -> None:
        """It would fail each time, once the new key is in the stores."""
        for index, (probe, _) in enumerate(probes):
            if isinstance(probe, ProviderProbe):
                several = isinstance(data["verify"], list)
                self._wrong(
                    ("verify", index, "uses") if several else ("verify", "uses"),
                    f"{data['generate']['uses']} has no call that only tries a key",
                    "leave it out, or use an http or command probe",
                )

    def _shape(self, data: dict[str, Any]) -> Shape | None:
        try:
            return Shape.model_validate(data)
        except ValidationError as error:
            known = wording.helps(Shape)
            for mistake in error.errors():
                self._wrong(*wording.of_pydantic(mistake, mistake["loc"], known))
            return None

    def _entries(self, kind: str, data: Any, path: Path_) -> list[Entry]:
        if isinstance(data, dict):
            found = self._entry(kind, data, path)
            return [found] if found else []
        if not isinstance(data, list):
            return []
        entries = [self._entry(kind, entry, (*path, index)) for index, entry in enumerate(data)]
        return [entry for entry in entries if entry]

    def _entry(self, kind: str, data: Any, path: Path_) -> Entry | None:
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

    def channels(self, data: Any, owner: str, path: Path_) -> list[ChannelEntry]:
        """The entries of `notify`, by number: as `owner/1`."""
        several = data if isinstance(data, list) else [data]
        found = []
        for index, entry in enumerate(several):
            where = (*path, index) if isinstance(data, list) else path
            if isinstance(entry, dict):  # the shape has said so already
                found.append(self.channel(entry, f"{owner}/{index + 1}", where))
        return [one for one in found if one is not None]

    def channel(self, data: dict[str, Any], name: str, path: Path_) -> ChannelEntry | None:
        """One entry of `notify`."""
        if "on" in data:
            where = (*path, "on", "=key")
            self._wrong(where, "`on` says where a playbook runs", "`when: [done, overdue]`")
            return None
        when = {key: value for key, value in data.items() if key in Told.model_fields}
        rest = {key: value for key, value in data.items() if key not in when}
        made = self._plugin(CHANNEL, rest, path)
        try:
            told = Told.model_validate(when)
        except ValidationError as error:
            for mistake in error.errors():
                location, known = mistake["loc"], wording.helps(Told)
                self._wrong(*wording.of_pydantic(mistake, location, known, path))
            return None
        return ChannelEntry(name, made, told.when, told.before) if made is not None else None

    def _refuse_early(self, shape: Shape, channels: list[ChannelEntry]) -> None:
        """What is told before a key is due must not be told before the last one was made."""
        every = shape.schedule.every if shape.schedule is not None else None
        for entry in channels:
            if every is not None and entry.before is not None and entry.before >= every:
                index = int(entry.name.rpartition("/")[2]) - 1  # one before it may be wrong, too
                several = isinstance(self._document.data.get("notify"), list)
                where = ("notify", index, "before") if several else ("notify", "before")
                self._wrong(where, "`before` must be shorter than `every`", "for instance 7d")

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
            wrong = self._document.mistake(
                (*path, "uses"),
                f"the catalog file of '{uses}' is wrong",
                f"{first.place}: {first.text}",
            )
            self._mistakes.append(dataclasses.replace(wrong, follows=True))
            return None
        except PluginMistakes as error:
            self._unfit(error, path)
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
        settings = {name: value for name, value in data.items() if name != "uses"}
        try:
            watched = self._registry.watched(kind, uses, plugin)
            made = self._make(watched, settings, path, uses)
            if made is None or self._mistakes:
                return made  # a plugin is not judged by settings that are wrong
            for one in each(made) if kind in KINDS else ():
                check_made(kind, uses, one)
        except PluginMistakes as error:
            self._unfit(error, path)
            return None
        except (PydanticUserError, NameError, *UNFORESEEN) as error:  # of its own code
            words = str(error).split("\n")[0]
            text = f"cannot be made of its settings: {type(error).__name__}: {words}"
            self._unfit(PluginMistakes(kind, uses, [text]), path)
            return None
        return made

    def _unfit(self, error: PluginMistakes, path: Path_) -> None:
        """Each mistake of a plugin, where the playbook names it."""
        for text in error.mistakes:
            self._wrong((*path, "uses"), f"{error.plugin}: {text}", error.hint)

    def _found(self, kind: str, uses: str) -> type[Any] | None:
        """The plugin's class; what is wrong about it is said where it is made."""
        with contextlib.suppress(RotatorError):
            return self._registry.find(kind, uses)
        return None

    def _make(self, plugin: type[Any], data: Mapping[str, Any], path: Path_, uses: str) -> Any:
        settings = _fields(plugin)  # type: ignore[arg-type]
        helps, back = _helps(plugin), {field: name for name, field in settings.items()}  # type: ignore[arg-type]
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
            for mistake in error.errors():
                location = tuple(
                    back.get(str(part), part) if index == 0 else part
                    for index, part in enumerate(mistake["loc"])
                )
                known = helps_below(plugin, mistake["loc"]) or helps
                self._wrong(*wording.of_pydantic(mistake, location, known, path))
        except RotatorError as error:
            self._wrong(path, error.message, error.hint)
        return None
