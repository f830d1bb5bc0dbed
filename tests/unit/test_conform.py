"""A plugin that does not keep its contract is refused when it is loaded: by name, with every mistake."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rotator.cli import entry
from rotator.cli.main import cli
from rotator.engine import parts
from rotator.integrations.catalog import shipped
from rotator.integrations.memory.store import MemoryStore
from rotator.model import (
    Change,
    Credential,
    Evidence,
    Held,
    Identity,
    Label,
    Note,
    Progress,
)
from rotator.playbook import registry
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.playbook import StoreEntry
from rotator.playbook.registry import KINDS, Registry
from rotator.playbook.yaml import Document
from rotator.plugin import (
    Address,
    Probe,
    ProbeDefaults,
    Provider,
    ProviderDefaults,
    Restarter,
    RestarterDefaults,
    Store,
    StoreDefaults,
    conform,
    setting,
)


@dataclass(frozen=True, kw_only=True)
class SmallProvider(ProviderDefaults):
    """The least that a provider is."""

    def generate(self, label: Label, like: Credential | None) -> Credential:
        raise NotImplementedError

    def revoke(self, credential: Credential) -> None:
        return None

    def probe(self, credential: Credential) -> Identity:
        return Identity()


@dataclass(frozen=True, kw_only=True)
class SmallStore(StoreDefaults):
    """The least that a store is."""

    name = "small"

    def read(self) -> Held | None:
        return None

    def write(self, credential: Credential, expect: str, note: Note) -> str:
        return "1"


@dataclass(frozen=True, kw_only=True)
class SmallRestarter(RestarterDefaults):
    """The least that a restarter is."""

    name = "small"
    evidence = Evidence.NONE

    def restart(self, change: Change) -> None:
        return None

    def progress(self, change: Change) -> Progress:
        return Progress(0, 0, True)

    def shown(self, change: Change) -> Progress:
        return Progress(0, 0, True)


@dataclass(frozen=True, kw_only=True)
class SmallProbe(ProbeDefaults):
    """The least that a probe is."""

    name = "small"

    def probe(self, credential: Credential) -> None:
        return None


SMALL: dict[str, type] = {
    "provider": SmallProvider,
    "store": SmallStore,
    "restarter": SmallRestarter,
    "probe": SmallProbe,
}
# mypy's own check that what inherits the defaults keeps the contract
_PROVIDER: Provider = SmallProvider()
_STORE: Store = SmallStore()
_RESTARTER: Restarter = SmallRestarter()
_PROBE: Probe = SmallProbe()


def mistakes_of(kind: str, plugin: Any) -> tuple[str, ...]:
    try:
        conform.check_class(kind, "acme", plugin)
        conform.check_made(kind, "acme", plugin())
    except conform.PluginMistakes as error:
        assert error.plugin == f"{kind}.acme" and error.message.startswith(f"{kind}.acme: ")
        return error.mistakes
    return ()


def frozen(base: type, **members: Any) -> Any:
    """A plugin that differs in these members; those that are None are not there."""
    there = {name: value for name, value in members.items() if value is not None}
    return dataclass(frozen=True, kw_only=True)(type("Acme", (base,), there))


@pytest.mark.parametrize("kind", KINDS)
def test_what_inherits_the_defaults_keeps_its_contract(kind: str) -> None:
    assert mistakes_of(kind, SMALL[kind]) == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_of_ours_keeps_its_contract(kind: str) -> None:
    """Each is loaded by the registry, which checks it."""
    names = Registry().names(kind)
    assert names and all(Registry().find(kind, name) is not None for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_every_member_that_is_missing_is_a_sentence(kind: str) -> None:
    """All at once, in the contract's words."""
    empty = frozen(object)
    wanted = {f"has no `{member}`" for member in conform.members(conform.KINDS[kind])}
    assert wanted and set(mistakes_of(kind, empty)) == wanted
    assert kind != "restarter" or "has no `shown(change)`" in wanted


def _shown(self: Any) -> Progress:
    return Progress(0, 0, True)


async def _later(self: Any, change: Change) -> Progress:
    return Progress(0, 0, True)


def _raising(self: Any) -> str:
    raise KeyError("ACME_HOME")


def _text(self: Any) -> str:
    return ""


def _done(self: Any, change: OfATypeChecker) -> bool:  # type: ignore[name-defined]  # noqa: F821
    return True


def _kept(self: Any, expect: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("kind", "members", "words"),
    [
        ("restarter", {"shown": _shown}, r"`shown\(\)` cannot be asked as `shown\(change\)`"),
        ("restarter", {"shown": property(_shown)}, r"`shown` is no method: .*`shown\(change\)`"),
        ("restarter", {"shown": _later}, "`shown` is a coroutine"),
        ("restarter", {"evidence": _shown}, "`evidence` is a method, not a property"),
        ("restarter", {"evidence": "started"}, "`evidence` is a str, not an Evidence"),
        ("restarter", {"beside": lambda self: self}, r"`beside\(\)` cannot .*beside\(addresses\)"),
        ("restarter", {"keeps_mounts": "yes"}, "`keeps_mounts` is a str, not a bool"),
        ("store", {"name": property(_raising)}, "`name` raises KeyError: 'ACME_HOME'"),
        ("store", {"name": ""}, "`name` is empty"),
        ("store", {"name": None, "write_only": 0}, "`write_only` is an int, not a bool"),
        ("store", {"nudge": True}, r"`nudge` is no method: it is asked as `nudge\(why\)`"),
        ("store", {"writes": "here"}, "`writes` is a str, not an Address"),
        ("store", {"keys": ["a"]}, "`keys` is a list, not a Mapping or None"),
        ("provider", {"fields": "key"}, "`fields` is a str, not a tuple of str"),
        ("provider", {"fields": ("key", 1)}, r"`fields\[1\]` is an int, not a str"),
        ("provider", {"quota": 1.5}, "`quota` is a float, not an int"),
        ("provider", {"list_lag": True}, "`list_lag` is a bool, not a float"),
        ("provider", {"supplied": True}, r"has no `accept\(value, old\)`"),
        ("provider", {"supplied": property(_raising)}, "`supplied` raises KeyError: 'ACME_HOME'"),
        ("store", {"compare_and_set": "yes"}, "`compare_and_set` is a str, not a bool"),
        (
            "store",
            {"read": _text},
            r"`read\(\)` returns a str by its annotation, not a Held or None",
        ),
        ("provider", {"inventory": _text}, "returns a str by its annotation, not a list of Key"),
        ("restarter", {"restart": _done}, r"`restart\(change\)` returns a bool by its annotation"),
        ("store", {"tidy": _kept}, r"`tidy\(expect\)` returns a bool by its annotation, not None"),
        ("probe", {"asks_with_key": lambda self: True}, "`asks_with_key` is a method"),
        ("probe", {"probe": lambda self, a, b: None}, r"`probe\(a, b\)` cannot be asked as"),
    ],
)
def test_each_wrong_member_is_a_sentence(kind: str, members: dict[str, Any], words: str) -> None:
    (mistake,) = mistakes_of(kind, frozen(SMALL[kind], **members))
    assert re.search(words, mistake), mistake


def test_capabilities_of_the_right_kind_are_no_mistakes() -> None:
    store = frozen(
        SmallStore,
        writes=Address("acme", "entry"),
        keys={"A": "key"},
        nudge=lambda self, why: None,
        fits=staticmethod(lambda credentials: None),
        with_entry=lambda self, *, create, follows: self,
        each=classmethod(lambda cls: [cls()]),
    )
    assert mistakes_of("store", store) == ()


class Plain(RestarterDefaults):
    pass


@dataclass
class Thawed(RestarterDefaults):
    pass


@dataclass(frozen=True, kw_only=True)
class Unset(SmallStore):
    entry: str
    follows: str = setting("What it follows")


@dataclass(frozen=True, kw_only=True)
class Hiding(SmallProvider):
    quota: int = setting("How many")


def test_what_no_playbook_could_set_is_a_mistake() -> None:
    with pytest.raises(conform.PluginMistakes) as raised:
        conform.check_class("store", "acme", Unset)
    text, reserved = raised.value.mistakes
    assert text == 'field `entry` has neither a default nor `setting("what it is")`'
    assert reserved == "has a setting `follows`, which an entry of a playbook has itself"
    with pytest.raises(conform.PluginMistakes, match="setting `quota` needs a default"):
        conform.check_class("provider", "acme", Hiding)
    with pytest.raises(conform.PluginMistakes, match="is no dataclass"):
        conform.check_class("restarter", "acme", Plain)
    with pytest.raises(conform.PluginMistakes, match="is not frozen"):
        conform.check_class("restarter", "acme", Thawed)
    with pytest.raises(conform.PluginMistakes, match="is no class, but a function"):
        conform.check_class("store", "acme", frozen)


# --- by an entry point ---
@dataclass(frozen=True, kw_only=True)
class Unfinished(RestarterDefaults):
    """A restarter from before the look had a method of its own."""

    name = "unfinished"
    evidence = Evidence.STARTED

    def restart(self, change: Change) -> None:
        return None

    def progress(self) -> Progress:
        return Progress(0, 0, True)


@dataclass(frozen=True, kw_only=True)
class Fussy(SmallRestarter):
    jobs: list[str] = setting("Names of the jobs")

    def __post_init__(self) -> None:
        raise AttributeError("no such job")


@dataclass(frozen=True, kw_only=True)
class Untyped(SmallRestarter):
    job: Nowhere = setting("A job")  # type: ignore[name-defined]  # noqa: F821


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Entry points of a third party."""

    def offer(kind: str, **values: str) -> None:
        points = {
            name: metadata.EntryPoint(f"{kind}.{name}", value, "rotator.plugins")
            for name, value in values.items()
        }
        monkeypatch.setattr(
            registry, "_entry_points", lambda asked: points if asked == kind else {}
        )

    return offer


def _loaded(restart: dict[str, Any]) -> list[Mistake]:
    data = {
        "generate": {"uses": "memory", "issuer": "i"},
        "store": {"uses": "memory", "cell": "c"},
        "restart": [restart],
    }
    mistakes: list[Mistake] = []
    Loader(Registry(), Document("p.yaml", data, {}), mistakes).load("p")
    return mistakes


def test_a_playbook_names_each_mistake_of_a_plugin(offered: Callable[..., None]) -> None:
    offered("restarter", acme=f"{__name__}:Unfinished")
    assert [mistake.text for mistake in _loaded({"uses": "acme"})] == [
        "restarter.acme: `progress()` cannot be asked as `progress(change)`",
        "restarter.acme: has no `shown(change)`",
    ]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("no.such.module:Acme", "cannot be imported from no.such.module:Acme: ModuleNotFoundError"),
        (f"{__name__}:Acme", f"cannot be imported from {__name__}:Acme: AttributeError"),
        (f"{__name__}:Fussy", "cannot be made of its settings: AttributeError: no such job"),
        (f"{__name__}:Untyped", "types of its settings cannot be read: NameError: name 'Nowhere'"),
    ],
)
def test_a_plugin_that_cannot_be_had_is_a_mistake_of_its_own(
    offered: Callable[..., None], where: str, words: str
) -> None:
    offered("restarter", acme=where)
    given = {"jobs": ["a"]} if "Fussy" in where else {"job": "a"} if "Untyped" in where else {}
    (mistake,) = _loaded({"uses": "acme", **given})
    assert mistake.text.startswith(f"restarter.acme: {words}"), mistake


def test_plugins_lists_the_others_and_says_what_is_wrong_with_one(
    offered: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offered("restarter", acme=f"{__name__}:Unfinished", fine=f"{__name__}:SmallRestarter")
    assert _run(monkeypatch, "plugins") == 2
    said = capsys.readouterr()
    assert "restarter.acme: `progress()` cannot be asked" in said.err
    assert "The least that a restarter is." in said.out
    assert _run(monkeypatch, "plugins", "acme") == 2
    assert "has no `shown(change)`" in capsys.readouterr().err


def _run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["rotator", *words])
    with pytest.raises(SystemExit) as ended:
        entry._run(cli, "rotator")
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("store", "follows", "warned"),
    [
        (SmallStore(), False, True),
        (SmallStore(), True, False),
        (MemoryStore(cell="c"), False, False),
    ],
)
def test_a_store_that_cannot_compare_and_set_is_a_warning(
    store: Any, follows: bool, warned: bool
) -> None:
    """What somebody else writes in the same moment would be lost: that is said before the start."""
    playbook: Any = SimpleNamespace(
        provider=SmallProvider(),
        provider_name="small",
        shape=SimpleNamespace(allow_downtime=False),
        stores=(StoreEntry("it", store, follows),),
        consumers=(),
        probes=(),
        monitor=None,
        definition={},
    )
    stores = list(parts.parts_of(playbook, True, parts.Urgency.NONE))[1:4]
    found = [finding.text for part in stores for finding in part()]
    assert any("it cannot compare and set" in text for text in found) is warned


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Installed distributions with these entry points."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, *points: str) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{point} = {__name__}:SmallRestarter" for point in points]
        (info / "entry_points.txt").write_text("\n".join(["[rotator.plugins]", *lines, ""]))

    for asked in (registry._offered, registry._entry_points):
        asked.cache_clear()
    yield install
    for asked in (registry._offered, registry._entry_points):
        asked.cache_clear()


def test_what_a_package_offers_and_no_playbook_can_mean_is_told(
    packages: Callable[..., None], tmp_path: Path
) -> None:
    packages("rotator-acme", "stroe.acme", "acme", "store.", "store.file", "provider.openai")
    packages("rotator-ours", "restarter.ours", "provider.ours")
    (tmp_path / "providers").mkdir()
    (tmp_path / "providers" / "ours.yaml").write_text("name: ours\n")
    found = {f"{one.place}: {one.text}" for one in Registry((tmp_path,)).passed_over()}
    of = "the package rotator-acme: its entry point"
    kept = shipped.shipped()["openai"]
    assert found == {
        f"{of} stroe.acme is of no kind of plugin",
        f"{of} acme is of no kind of plugin",
        f"{of} store. is of no kind of plugin",
        f"{of} store.file is never used: rotator has a store of that name itself",
        f"{of} provider.openai is never used: the catalog file {kept} has that name",
        "the package rotator-ours: its entry point provider.ours is never used: the catalog file"
        f" {tmp_path / 'providers' / 'ours.yaml'} has that name",
    }
    assert Registry((tmp_path,)).find("restarter", "ours") is SmallRestarter


def test_of_two_packages_with_one_name_the_one_that_is_not_taken_is_told(
    packages: Callable[..., None],
) -> None:
    packages("rotator-acme", "restarter.acme")
    packages("acme-too", "restarter.acme")
    (told,) = Registry().passed_over()
    assert "restarter.acme is never used: the package " in told.text
    assert {told.place in text for text in ("the package rotator-acme", "the package acme-too")}
    assert told.place not in told.text


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A provider whose address has another name in a playbook than the field has."""

    where: str = setting("Its server", alias="server", connection=True)
    team: str = setting("The team", default="")


def test_two_servers_are_two_neighbours_however_their_setting_is_spelled() -> None:
    """Whoever hangs at one of them holds up no rotation at the other, and their ids are no key of
    the other.
    """
    one, other = Reached(where="https://one"), Reached(where="https://other")
    assert registry.neighbour("acme", one) != registry.neighbour("acme", other)
    same = Reached(where="https://one", team="another")
    assert registry.neighbour("acme", one) == registry.neighbour("acme", same)
