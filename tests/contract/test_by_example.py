"""Every shipped catalog entry with an API, at an issuer that keeps keys as the entry's examples say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    OutcomeUnknown,
    PermanentError,
    Rejected,
    TransientError,
)
from rotator.integrations.catalog.entry import entry_at
from rotator.integrations.catalog.shipped import shipped
from rotator.model import Credential, Label, NotYet, Recovery
from rotator.playbook.registry import Registry
from rotator.reference import Reference
from rotator.secret import Secret
from rotator.testing.providers import ProviderContract
from tests.servers.by_example import HTML, ByExample, Fault, Issued, serving

LABEL = Label("inst", "play", "01ROTATION", 1)
DAY = 86_400.0
# What a playbook says, where any word will not do
SETTINGS: dict[str, dict[str, Any]] = {
    "gitlab-project": {"lifetime": 30 * DAY},
    "azure-openai": {"tenant": "tenant-1", "client_id": "client-1", "exclusive": True},
}
ENTRIES = {
    name: entry
    for name, path in shipped().items()
    if (entry := entry_at(path)).create or entry.revoke
}
SLOTTED = {name: entry for name, path in shipped().items() if (entry := entry_at(path)).slots}
LISTED = [name for name, entry in ENTRIES.items() if entry.list_]
MADE = [name for name in LISTED if ENTRIES[name].create]


def secret(of: str) -> str:
    """One that looks like none that stands in examples."""
    return f"Zq{hashlib.sha256(of.encode()).hexdigest()[:26]}"


class World:
    """A provider, the issuer that it asks, and a key that was there before."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.entry = name, {**ENTRIES, **SLOTTED}[name]
        plain = {
            setting: f"{setting}-1"
            for setting, one in self.entry.settings.items()
            if one.required and not one.secret
        }
        self.settings = {**plain, **SETTINGS.get(name, {})}
        self.secrets = {
            setting: secret(f"{name} {setting}")
            for setting, one in self.entry.settings.items()
            if one.secret and setting != getattr(self.entry.api.token, "given", "")
        }
        self.files = {setting: folder / setting for setting in self.secrets}
        for setting, value in self.secrets.items():
            self.files[setting].write_text(value)
        defaults = {n: one.default for n, one in self.entry.settings.items() if not one.secret}
        self.issuer = ByExample(self.entry, {**defaults, **self.settings}, self.secrets)

    def provider(self, url: str) -> Any:
        references = {n: Reference("file", str(path)) for n, path in self.files.items()}
        hosts = {f"{host}_url": f"{url}/on-{host}" for host in self.entry.api.hosts}
        plugin: Any = Registry().find("provider", self.name)
        return plugin(base_url=url, **hosts, **references, **self.settings)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture
def provider(world: World) -> Iterator[Any]:
    with serving(world.issuer) as url:
        yield world.provider(url)


def each(names: Any) -> Any:
    return pytest.mark.parametrize("world", list(names), indirect=True)


def held(key: Issued) -> Credential:
    """A key as the stores hold it, with its id."""
    return Credential({name: Secret(text) for name, text in key.values.items()}, key.id)


def made(world: World, provider: Any, old: Issued | None = None) -> Credential:
    """A new key, by the API or by a person."""
    if provider.supplied:
        return held(world.issuer.by_hand())
    old = old or world.issuer.by_hand()
    found = provider.generate(LABEL, held(old))
    while isinstance(found, NotYet):
        found = provider.proceed(LABEL, held(old), found.handle)
    assert isinstance(found, Credential)
    return found


class AsMade:
    """A provider of whose create the answer is waited for, and which always has an old key."""

    def __init__(self, world: World, provider: Any) -> None:
        self.__dict__.update(_world=world, _provider=provider)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def generate(self, label: Label, like: Credential | None) -> Credential:
        like = like or held(self._world.issuer.by_hand())
        found = self._provider.generate(label, like)
        while isinstance(found, NotYet):
            found = self._provider.proceed(label, like, found.handle)
        return found  # type: ignore[no-any-return]


class TestKit(ProviderContract):
    """The kit's contract, as plugins of other packages meet it."""

    @pytest.fixture(params=[*(name for name in ENTRIES if ENTRIES[name].create), *SLOTTED])
    def provider(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
        world = World(request.param, tmp_path)
        with serving(world.issuer) as url:
            yield AsMade(world, world.provider(url))

    @pytest.fixture
    def plugin(self, provider: Any) -> Any:
        return provider._provider

    @pytest.fixture(params=MADE)
    def unreachable(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        return AsMade(
            World(request.param, tmp_path),
            World(request.param, tmp_path).provider("http://127.0.0.1:9"),
        )

    @pytest.fixture
    def uses(self, request: pytest.FixtureRequest) -> str:
        params = request.node.callspec.params
        return str(params.get("provider", params.get("unreachable")))


# --- a key lives and dies ---
@each(ENTRIES)
def test_a_key_is_accepted_until_it_is_destroyed(world: World, provider: Any) -> None:
    key = made(world, provider)
    provider.probe(key)
    others = set(world.issuer.live) - {key.id}
    provider.revoke(key)
    with pytest.raises(Rejected):
        provider.probe(key)
    assert set(world.issuer.live) - {key.id} == others, "no other key was touched"
    provider.revoke(key)


@each(LISTED)
def test_a_foreign_key_with_a_similar_name_is_left_alone(world: World, provider: Any) -> None:
    foreign = world.issuer.by_hand(f"{LABEL.text}1")
    key = made(world, provider)
    provider.revoke(key)
    assert world.issuer.accepts(foreign) and foreign.id in {one.id for one in provider.inventory()}


# --- answers that are lost, late, or none ---
@each(MADE)
def test_what_a_lost_answer_left_is_found_by_its_label(world: World, provider: Any) -> None:
    old = world.issuer.by_hand()
    world.issuer.faults["create"] = [Fault(work=True, lost=True)]
    with pytest.raises(OutcomeUnknown):
        provider.generate(LABEL, held(old))
    assert provider.recovery is Recovery.LABEL
    (found,) = [one for one in provider.inventory() if one.label == LABEL.text]
    provider.revoke(Credential({}, found.id))
    assert found.id not in world.issuer.live and old.id in world.issuer.live


@each(MADE)
def test_a_list_that_lags_is_asked_again(world: World, provider: Any) -> None:
    """Its lag is allowed for, and a deletion is believed only once the list agrees."""
    assert provider.list_lag >= 5
    key = made(world, provider)
    world.issuer.hidden.add(key.id)
    assert key.id not in {one.id for one in provider.inventory()}
    world.issuer.hidden.clear()
    assert key.id in {one.id for one in provider.inventory()}


@each(ENTRIES)
def test_a_provider_that_asks_for_patience_gets_it(world: World, provider: Any) -> None:
    key = made(world, provider)
    busy = Fault(429, headers={"retry-after": "7"})
    for operation, act in asked(world, provider, key):
        world.issuer.faults[operation] = [busy, busy]
        with pytest.raises(TransientError) as told:
            act()
        assert told.value.retry_in == 7.0, operation
        world.issuer.faults.clear()
    assert world.issuer.accepts(world.issuer.of(key.id) or world.issuer.keys[-1])


@each(ENTRIES)
def test_a_provider_that_is_broken_is_asked_again(world: World, provider: Any) -> None:
    key = made(world, provider)
    for operation, act in asked(world, provider, key):
        world.issuer.faults[operation] = [Fault(500), Fault(500)]
        with pytest.raises((TransientError, OutcomeUnknown)):
            act()
        world.issuer.faults.clear()


@each(ENTRIES)
def test_a_page_of_html_is_no_answer(world: World, provider: Any) -> None:
    """A login page in between, with 200: no list, no key, and none of its words is shown."""
    key = made(world, provider)
    page = Fault(200, HTML, {"content-type": "text/html"})
    for operation, act in asked(world, provider, key):
        if operation in ("list", "create"):
            world.issuer.faults[operation] = [page]
            with pytest.raises((PermanentError, OutcomeUnknown)) as told:
                act()
            assert "sk-looks-like" not in str(told.value)
            world.issuer.faults.clear()


@each(name for name, entry in ENTRIES.items() if entry.api.auth and not entry.api.token)
def test_an_administrators_credential_that_is_no_good_is_named(world: World, provider: Any) -> None:
    key = made(world, provider)
    live = world.issuer.live
    for path in world.files.values():
        path.write_text(secret("expired"))
    acts = [act for operation, act in asked(world, provider, key) if operation != "probe"]
    for act in acts:
        with pytest.raises(AccessDenied, match=next(iter(world.secrets))):
            act()
    assert world.issuer.live == live


def asked(world: World, provider: Any, key: Credential) -> list[tuple[str, Callable[[], Any]]]:
    """Each operation of an entry, as the engine asks it."""
    old = world.issuer.keys[0]
    acts: list[tuple[str, Callable[[], Any]]] = [("probe", lambda: provider.probe(key))]
    if provider.can_list:
        acts.append(("list", provider.inventory))
    if not provider.supplied:
        acts.append(("create", lambda: provider.generate(LABEL, held(old))))
    if provider.can_deactivate:
        acts.append(("deactivate", lambda: provider.deactivate(key)))
    return [*acts, ("revoke", lambda: provider.revoke(key))]


@each(["elevenlabs"])
def test_a_key_that_may_not_read_its_user_is_alive(world: World, provider: Any) -> None:
    """It counted as dead: no rotation began, and a revoked key was proven by a missing right."""
    key = made(world, provider)
    said = b'{"detail": {"status": "%s", "message": "m"}}'
    world.issuer.faults["probe"] = [Fault(401, said % b"missing_permissions")]
    provider.probe(key)
    for status in (400, 401):
        world.issuer.faults["probe"] = [Fault(status, said % b"invalid_api_key")]
        with pytest.raises(Rejected):
            provider.probe(key)
    world.issuer.faults["probe"] = [Fault(500, said % b"missing_permissions")] * 2
    with pytest.raises(TransientError):
        provider.probe(key)


# --- pages ---
@each(LISTED)
def test_every_key_is_listed_whatever_the_pages(world: World, provider: Any) -> None:
    keys: list[Issued] = []
    for count in (0, 1, 50, 51, 100, 101):
        keys += [world.issuer.by_hand(f"key {number}") for number in range(len(keys), count)]
        assert sorted(one.id for one in provider.inventory()) == sorted(key.id for key in keys)


@each(name for name in LISTED if ENTRIES[name].list_.pages)  # type: ignore[union-attr]
def test_pages_that_stand_still_are_no_list(world: World, provider: Any) -> None:
    for number in range(250):
        world.issuer.by_hand(f"key {number}")
    world.issuer.stands_still = True
    with pytest.raises(PermanentError, match="does not get on"):
        provider.inventory()


# --- dates ---
DATES: list[tuple[Any, bool]] = [
    ("2026-11-01T10:00:00Z", True),
    ("2026-11-01T10:00:00.123456+00:00", True),
    ("2026-11-01T10:00:00", True),
    ("Sun, 01 Nov 2026 10:00:00 +0000", True),
    (1793527200, True),
    ("1793527200000", True),
    ("2026-11-01", True),
    ("never", False),
    ("soon", False),
    ("", False),
    (-1, False),
    ({}, False),
]


@each(name for name in LISTED if ENTRIES[name].list_.each.created)  # type: ignore[union-attr]
def test_a_date_never_costs_a_key(world: World, provider: Any) -> None:
    for dated, told in DATES:
        world.issuer.keys.clear()
        world.issuer.dated = dated
        key = world.issuer.by_hand()
        (record,) = provider.inventory()
        assert record.id == key.id and (record.created_at is not None) is told, dated


# --- what the old key has ---
@each(name for name in MADE if any(case.needs for case in ENTRIES[name].create))
def test_a_key_is_not_made_without_what_it_needs(world: World, provider: Any) -> None:
    """A key of another kind than meant: one that may do everything, or nothing."""
    with pytest.raises(PermanentError, match="cannot make a key without"):
        provider.generate(LABEL, None)
    assert not [one for one in world.issuer.asked if one.operation == "create"]


@each(MADE)
def test_what_the_old_key_has_the_new_one_has(world: World, provider: Any) -> None:
    old = world.issuer.by_hand()
    provider.inventory()
    before = provider._old(held(old))
    key = made(world, provider, old)
    provider.inventory()
    after = provider._old(key)
    taken = {
        name.removeprefix("old.")
        for case in world.entry.create
        for name in _named(case.request.json_body)
        if name.startswith("old.")
    }
    assert {name: after.carried[name] for name in taken} == {
        name: before.carried[name] for name in taken
    }
    assert not [finding for finding in provider.inherits(before) if finding.level == "error"]


def _named(body: Any) -> set[str]:
    from rotator.integrations.catalog.templates import placeholders

    return placeholders(body)


# --- who is who ---
@each(name for name, entry in ENTRIES.items() if entry.whoami)
def test_a_key_tells_its_own_id(world: World, provider: Any) -> None:
    world.issuer.by_hand("another")
    key = world.issuer.by_hand()
    assert provider.id_told(held(key)) == key.id


@each(name for name, entry in ENTRIES.items() if entry.api.token)
def test_an_access_token_is_fetched_once_and_again_where_it_is_refused(
    world: World, provider: Any
) -> None:
    provider.inventory()
    provider.inventory()
    assert [one.operation for one in world.issuer.asked].count("token") == 1
    world.issuer.token = "withdrawn"
    provider.inventory()
    assert [one.operation for one in world.issuer.asked].count("token") == 2
    path = next(iter(world.files.values()))
    path.write_text("another")
    assert world.secrets[path.name] not in repr(provider)


@each(name for name, entry in ENTRIES.items() if entry.longest_label)
def test_a_name_that_is_too_long_is_refused_before_anything_is_sent(
    world: World, provider: Any
) -> None:
    with pytest.raises(PermanentError, match="give the playbook|takes names of"):
        provider.generate(Label("installation", "p" * 60, "01ROTATION" * 3, 1), None)
    assert not world.issuer.asked
