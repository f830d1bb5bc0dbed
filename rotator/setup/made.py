"""`rotator init`: from places to playbooks that load, each written once and never over another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rotator import stand_in
from rotator.errors import AccessDenied
from rotator.integrations.catalog.entry import CatalogEntry
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.load import Loader
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import load as load_yaml
from rotator.plugin import Provider
from rotator.secret import Secret
from rotator.setup import composed, matched, pools, recognised
from rotator.setup.at_hand import AtHand
from rotator.setup.compose_files import looks_secret
from rotator.setup.composed import Draft
from rotator.setup.found import Holding, Source, text_of
from rotator.setup.paths import Found
from rotator.setup.recognised import OF_PLUGINS, OPERATOR, Providers, Recognised

_TEMPORARY = "ASIA"  # how the id of a temporary key of AWS begins


@dataclass(frozen=True, slots=True)
class Made:
    """One key: the playbook that was written for it, or the one that has it already.

    `by_hand`: a person makes and destroys its keys. `readers`: names of the restarters.
    """

    playbook: str
    path: Path | None
    provider: str
    places: tuple[str, ...]
    hint: str
    by_hand: bool
    readers: tuple[str, ...]
    said: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        return self.path is not None


@dataclass
class Initialised:
    """`said`: plain sentences about what was found and left out."""

    made: list[Made] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)


def make(found: Found, into: Path, directory: Directory, at_hand: AtHand) -> Initialised:
    """Write a playbook into the folder for each key that was found and has none yet.

    Raises PlaybookMistakes for a user's catalog file that is wrong, AccessDenied where the folder
    cannot be written.
    """
    registry = Registry(directory.paths)
    maker = _Maker(registry, Providers(registry.catalog()), into, directory.load(), at_hand)
    done = Initialised(said=list(found.said), places=[source.shown for source in found.sources])
    drafts, said = maker.drafts(found.sources)
    done.said += said
    done.made += [one for draft in pools.pooled(drafts) for one in maker.made_of(draft)]
    return done


@dataclass
class _Maker:
    registry: Registry
    providers: Providers
    into: Path
    loaded: Loaded
    at_hand: AtHand
    _names: set[str] = field(default_factory=set)

    # --- which keys there are ---
    def drafts(self, sources: Sequence[Source]) -> tuple[list[Draft], list[str]]:
        """One for each key; the same value in several places is one key."""
        said: list[str] = []
        groups: dict[object, tuple[Recognised, list[Holding], Mapping[str, str]]] = {}
        for source in sources:
            names = list(source.values)
            provider, keys = composed.several(names)
            if provider and not (why := _temporary(source)):
                holding = _holding(_primary(keys), source)
                told = Recognised(provider)
                groups.setdefault((provider, _value(holding)), (told, [], keys))[1].append(holding)
            elif provider:
                said.append(why)
            for name in names:
                if name in keys or isinstance(source.values[name], str):
                    continue
                holding = _holding(name, source)
                told, why = self._told(holding)
                if why:
                    said.append(why)
                if told.provider:
                    group = groups.setdefault((told.provider, _value(holding)), (told, [], {}))
                    group[1].append(holding)
        return [self._draft(*group) for group in groups.values()], said

    def _told(self, holding: Holding) -> tuple[Recognised, str]:
        """Whose key it is, and a sentence about one that is left out."""
        nobody = Recognised("")
        if provider := recognised.administrative(holding.name, self.providers.entries):
            return nobody, (
                f"{holding.shown} is an administrator's credential of"
                f" {self.providers.name(provider)}: rotator uses such a one itself, and services"
                " should not see it"
            )
        told = self.providers.of(holding.source.called(holding.name), holding.value)
        if not told.provider:
            if looks_secret(holding.name) and holding.value:
                return nobody, f"{holding.shown} is nobody's key that rotator knows: left alone"
            return nobody, ""
        if holding.value is not None:
            text = holding.value.reveal()
            if not text:
                return nobody, f"{holding.shown} is empty"
            instead, hint = stand_in.told(text)
            if instead:
                return nobody, f"{holding.shown} is {instead}: {hint}"
        return told, ""

    def _draft(self, told: Recognised, holdings: list[Holding], keys: Mapping[str, str]) -> Draft:
        name = self._name(told.provider, holdings[0])
        said = [told.said] if told.said else []
        draft = Draft(name, told.provider, tuple(holdings), keys=keys)
        entry = self.providers.entries.get(told.provider)
        if holdings[0].value is None:
            said.append(
                "Its value cannot be read here: if another playbook has the same key, put this"
                " store there"
            )
        if entry is None:
            region = _region(holdings[0].source, keys)
            if asked := self._asked(told.provider):
                said.append(
                    f"rotator makes them itself, by `uses: {told.provider}`, once `{asked}` is"
                    " known: the IAM user that has the key"
                )
                return replace(draft, missing=(asked,), said=tuple(said))
            return replace(draft, settings=region, said=tuple(said))
        source = holdings[0].source
        settings, missing = self.at_hand.settings(told.provider, entry, source.values, source.path)
        secret = {one for one, setting in entry.settings.items() if setting.secret}
        if "base_url" in settings and secret & {*missing}:
            said.append(
                "Its address stands in a file: an administrator's credential is sent there from a"
                " file beside that one alone, or where the environment says the same address"
            )
        return replace(draft, settings=settings, missing=tuple(missing), said=tuple(said))

    @staticmethod
    def _asked(provider: str) -> str:
        """What a provider without a catalog file must be told, '' where nothing is missing."""
        return next((what for name, _, what in OF_PLUGINS.values() if name == provider), "")

    def _name(self, provider: str, holding: Holding) -> str:
        """The provider's, for the first of its keys; else the variable's; else with a number."""
        plain = recognised.slug(holding.source.called(holding.name)[-1])
        wanted = [plain] if provider == OPERATOR else [provider, plain]
        taken = {*self._names, *self.loaded.playbooks, *(path.stem for path in self._files())}
        numbered = (f"{wanted[0]}-{number}" for number in range(2, 10_000))
        name = next(one for one in (*wanted, *numbered) if one not in taken)
        self._names.add(name)
        return name

    def _files(self) -> Iterable[Path]:
        return self.into.glob("*.y*ml") if self.into.is_dir() else ()

    # --- one playbook ---
    def made_of(self, draft: Draft) -> list[Made]:
        """One for all keys of a pool, unless one of them has a playbook already."""
        entry = self.providers.entries.get(draft.provider)
        if draft.pool and any(
            playbook is None or self._owner(playbook)
            for playbook in (self._load(one, entry)[0] for one in draft.pool)
        ):
            return [self.made(one) for one in draft.pool]
        return [self.made(draft)]

    def made(self, draft: Draft) -> Made:
        """Write it, unless a playbook has one of its stores already."""
        entry = self.providers.entries.get(draft.provider)
        playbook, mistakes = self._load(draft, entry)
        if playbook is None and not draft.is_operator:  # what was found does not fit
            draft = replace(draft, missing=tuple(draft.settings), said=(*draft.said, mistakes))
            playbook, mistakes = self._load(draft, entry)
        if playbook is None:
            return self._result(draft, None, (f"no playbook can be written: {mistakes}",))
        if (owner := self._owner(playbook)) is not None:
            return self._result(replace(draft, name=owner), None, ())
        if not draft.is_operator and playbook.provider.can_list:
            known = [self._known(one, playbook.provider) for one in draft.pool or (draft,)]
            draft = replace(draft, said=(*draft.said, *filter(None, known)))
        path = self._write(draft, entry)
        return self._result(draft, path, draft.said)

    def _known(self, draft: Draft, provider: Provider) -> str:
        """Which key of the provider's list it is, or why that is not sure; '' where its value is
        not known.
        """
        [value, *_] = (one.value for one in draft.holdings)
        if not value:
            return ""
        known = matched.match(provider, value, _id(draft, provider))
        named = self.providers.name(draft.provider)
        return matched.words(known.record, named) if known.record else known.why

    def _result(self, draft: Draft, path: Path | None, said: tuple[str, ...]) -> Made:
        entry = self.providers.entries.get(draft.provider)
        return Made(
            draft.name,
            path,
            OPERATOR if draft.is_operator else draft.provider,
            tuple(one.shown for one in draft.holdings),
            draft.hint,
            draft.is_operator or (entry is not None and not entry.makes),
            tuple(_reader(one) for one in draft.consumers),
            said,
            draft.missing,
        )

    def _load(self, draft: Draft, entry: CatalogEntry | None) -> tuple[Playbook | None, str]:
        """As it will be loaded from its folder, and its mistakes."""
        with tempfile.TemporaryDirectory(prefix="rotator-init-") as folder:
            path = Path(folder, f"{draft.name}.yaml")
            path.write_text(composed.text(draft, entry), encoding="utf-8")
            document, mistakes = load_yaml(path, path.name)
            document.folder = str(self.into.absolute())
            loaded = Loader(self.registry, document, mistakes).load(path.stem)
        wrong = "; ".join(f"{one.place}: {one.text}" for one in mistakes)
        return (loaded[0] if loaded and not wrong else None), wrong

    def _owner(self, playbook: Playbook) -> str | None:
        """Which playbook writes one of its stores already."""
        mine = {entry.name for entry in playbook.stores}
        for name, other in self.loaded.playbooks.items():
            if mine & {entry.name for entry in other.stores}:
                return name
        return None

    def _write(self, draft: Draft, entry: CatalogEntry | None) -> Path:
        """Never over a file that is there. Raises AccessDenied."""
        path, ours = self.into / f"{draft.name}.yaml", False
        try:
            self.into.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                ours = True
                file.write(composed.text(draft, entry))
        except OSError as error:
            if ours:  # half a playbook is another one
                path.unlink(missing_ok=True)
            raise AccessDenied(
                f"{path} cannot be written: {error.strerror}",
                "ROTATOR_PLAYBOOKS names the folder of the playbooks",
            ) from error
        return path


def _holding(name: str, source: Source) -> Holding:
    value = source.values[name]
    return Holding(name, Secret(value) if isinstance(value, str) else value, source)


def _value(holding: Holding) -> object:
    """What makes two holdings one key: the value; where it is not known, the place."""
    return holding.value.reveal() if holding.value else (holding.source.shown, holding.name)


def _id(draft: Draft, provider: Provider) -> str:
    """The key's id, where what stands beside the value tells it."""
    values = draft.holdings[0].source.values
    return provider.id_of({part: text_of(values.get(name)) for name, part in draft.keys.items()})


def _primary(keys: Mapping[str, str]) -> str:
    """The variable of the secret part."""
    return next(name for name, part in keys.items() if part.startswith("secret"))


def _temporary(source: Source) -> str:
    """Why a key of AWS is none that is rotated, or ''."""
    if text_of(source.values.get("AWS_ACCESS_KEY_ID")).startswith(_TEMPORARY):
        return f"AWS_ACCESS_KEY_ID in {source.shown} is a temporary key: it ends by itself"
    return ""


def _region(source: Source, keys: Mapping[str, str]) -> dict[str, str]:
    name = next((name for name, part in keys.items() if part == "region"), "")
    value = text_of(source.values.get(name))
    return {"region": value} if value else {}


def _reader(consumer: Mapping[str, object]) -> str:
    """A consumer in a few words: `compose api, worker`."""
    about = next(
        (
            consumer[part]
            for part in ("services", "units", "workloads", "pid_file")
            if part in consumer
        ),
        "",
    )
    shown = ", ".join(map(str, about)) if isinstance(about, list) else str(about)
    return f"{consumer['uses']} {shown}".strip()
