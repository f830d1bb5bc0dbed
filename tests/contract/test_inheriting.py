"""What the old key has the new one has, too: limits, scopes, how long it lives; or it is said
before the start.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rotator.integrations.catalog import inherited
from rotator.integrations.catalog.provider import HttpProvider
from rotator.model import Label, Level
from rotator.playbook import catalog
from rotator.playbook.registry import Registry
from rotator.reference import Reference
from tests.servers import issuers

LABEL = Label("inst", "play", "01ROTATION", 1)
CREATED = "2026-11-01T10:00:00Z"
_CATALOG = """
name: Acme
console: https://acme.test/keys
api: {base: null, auth: {bearer: admin}}
settings: {admin: {secret: true}}
max_lifetime: 7776000
create:
  - request:
      POST: /keys
      json:
        name: '{label}'
        scopes: '{old.scopes}'
        ttl: '{expires.seconds}'
        till: '{expires.unix}'
        day: '{expires.date}'
    answer: {secret: key, id: id}
list:
  request: {GET: /keys}
  each:
    in: keys
    id: id
    label: [name]
    created: created
    expires: expires
    carried: {scopes: scopes, allowed: network.allowed}
revoke:
  - request: {DELETE: '/keys/{id}'}
    gone: [404]
probe: {request: {GET: /me, auth: {bearer: key}}}
"""


class Acme(issuers._Issuer):
    made: dict[str, Any]

    def do_GET(self) -> None:
        self.answer(200, {"keys": list(self.keys.values())})

    def do_POST(self) -> None:
        self.made.clear()
        self.made.update(self.body())
        self.answer(201, {"key": "acme-key-8f3k2m9x7q", "id": "k2"})


@pytest.fixture
def openrouter(tmp_path: Path) -> Iterator[tuple[HttpProvider, dict[str, dict[str, Any]]]]:
    (tmp_path / "admin").write_text(issuers.ADMIN)
    handler = type("Handler", (issuers.OpenRouter,), {"keys": {}})
    with issuers.serving(handler) as url:
        plugin: Any = Registry().find("provider", "openrouter")
        yield (
            plugin(management_key=Reference("file", str(tmp_path / "admin")), base_url=url),
            handler.keys,
        )


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[tuple[HttpProvider, dict[str, Any], dict[str, Any]]]:
    (tmp_path / "admin").write_text("admin")
    (tmp_path / "acme.yaml").write_text(_CATALOG)
    handler = type("Handler", (Acme,), {"keys": {}, "made": {}})
    with issuers.serving(handler) as url:
        plugin: Any = catalog.provider(tmp_path / "acme.yaml")
        handler.keys["k1"] = {"id": "k1", "name": "by hand"}
        yield (
            plugin(admin=Reference("file", str(tmp_path / "admin")), base_url=url),
            handler.keys["k1"],
            handler.made,
        )


def said(provider: Any, key_id: str, level: Level) -> str:
    record = next((one for one in provider.inventory() if one.id == key_id), None)
    return "; ".join(
        finding.text for finding in provider.inherits(record) if finding.level is level
    )


def test_a_capped_key_is_followed_by_a_capped_one(openrouter: Any) -> None:
    """A new key without the limit would spend without end, and the old one with the only record of
    it is destroyed.
    """
    provider, keys = openrouter
    first = provider.generate(LABEL, None)
    limits = {"limit": 50, "limit_reset": "monthly", "include_byok_in_limit": True}
    keys[first.id] |= {**limits, "created_at": CREATED, "expires_at": "2027-06-30T23:59:59Z"}
    told = said(provider, first.id, Level.OK)
    assert "limit 50, limit_reset monthly, include_byok_in_limit true, an end on" in told
    assert not said(provider, first.id, Level.WARNING)
    second = provider.generate(Label("inst", "play", "01ROTATION", 2), first)
    made = keys[second.id]
    assert {name: made[name] for name in limits} == limits
    life = datetime.fromisoformat("2027-06-30T23:59:59Z") - datetime.fromisoformat(CREATED)
    left = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
    assert abs(left - life) < timedelta(minutes=1), (
        "it lives as long as the old one was to live, from now on"
    )
    assert second.expires_at == pytest.approx((datetime.now(UTC) + life).timestamp(), abs=60)


def test_a_key_without_limits_is_followed_by_one_without(openrouter: Any) -> None:
    provider, keys = openrouter
    first = provider.generate(LABEL, None)
    assert not provider.inherits(provider.inventory()[0])
    second = provider.generate(Label("inst", "play", "01ROTATION", 2), first)
    assert [keys[second.id][name] for name in ("limit", "limit_reset", "expires_at")] == [
        None,
        None,
        None,
    ]


def test_a_key_that_has_expired_is_listed_and_followed(openrouter: Any) -> None:
    """Hidden by default: its successor would have no limit, and recovery would take it for gone."""
    provider, keys = openrouter
    first = provider.generate(LABEL, None)
    keys[first.id] |= {
        "limit": 5,
        "created_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-02-01T00:00:00Z",
    }
    assert [record.id for record in provider.inventory()] == [first.id]
    second = provider.generate(Label("inst", "play", "01ROTATION", 2), first)
    assert keys[second.id]["limit"] == 5 and keys[second.id]["expires_at"] > "2026-11"


def test_what_a_create_cannot_take_over_is_said_before_it(acme: Any) -> None:
    provider, old, _ = acme
    old |= {"scopes": ["read", "write"], "network": {"allowed": ["10.0.0.0/8"]}}
    assert said(provider, "k1", Level.OK) == 'the new key gets scopes ["read", "write"]'
    assert 'will not have what the old one has: allowed ["10.0.0.0/8"]' in said(
        provider, "k1", Level.WARNING
    )


def test_an_end_that_cannot_be_moved_on_is_said(acme: Any) -> None:
    """Nobody knows how long the old key was to live."""
    provider, old, made = acme
    old["expires"] = "2027-06-30"
    assert "an end (the old one's is 2027-06-30)" in said(provider, "k1", Level.WARNING)
    provider.generate(LABEL, issued("k1"))
    assert {"ttl", "till", "day", "scopes"}.isdisjoint(made)


def test_values_go_as_they_are_and_a_life_as_long_as_the_provider_allows(acme: Any) -> None:
    provider, old, made = acme
    old |= {"scopes": ["a"], "created": 1_700_000_000, "expires": 1_700_000_000 + 86_400 * 365}
    provider.generate(LABEL, issued("k1"))
    assert made["scopes"] == ["a"] and made["ttl"] == 7_776_000, "90 days at most"
    assert made["till"] == pytest.approx(time.time() + 7_776_000, abs=60)
    assert made["day"] == f"{datetime.fromtimestamp(made['till'], UTC):%F}"


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": None, "expires": None},
        {"scopes": [], "expires": "never"},
        {"created": "2026-01-02", "expires": "2026-01-01"},
        {"created": "soon", "expires": "0001-01-01"},
    ],
)
def test_what_the_old_key_has_not_is_left_out(changes: dict[str, Any], acme: Any) -> None:
    provider, old, made = acme
    old |= changes
    provider.inventory()
    provider.generate(LABEL, issued("k1"))
    assert (
        made["name"] == LABEL.text
        and {"ttl", "till", "day"}.isdisjoint(made)
        and not made.get("scopes")
    )


def test_an_old_key_that_no_list_shows_hands_nothing_on_and_that_is_said(acme: Any) -> None:
    provider, _, made = acme
    assert "the list does not show the old key" in said(provider, "k9", Level.WARNING)
    provider.generate(LABEL, issued("k9"))
    assert made == {"name": LABEL.text}
    provider.generate(LABEL, None)
    assert made == {"name": LABEL.text}


def test_every_end_that_is_sent_is_one_the_provider_can_have() -> None:
    """The shipped files: what their creates send of an old key's end, in the form that the provider
    documents.
    """
    forms = {}
    for name in ("openai", "openrouter", "dakora"):
        plugin: Any = Registry().find("provider", name)
        forms[name] = [sorted(inherited.asked(create) - {"old"}) for create in plugin.entry.create]
    assert forms["openai"] == [["expires.seconds"], ["expires.seconds"]]
    assert "expires.iso" in forms["openrouter"][0] and forms["dakora"] == [[]]


def test_a_program_is_told_which_key_is_the_old_one(tmp_path: Path) -> None:
    """It alone can know what that one has."""
    script = tmp_path / "make.sh"
    script.write_text(
        '#!/bin/sh\necho "{\\"key\\": \\"made-like-$ROTATOR_OLD_KEY_ID\\", \\"id\\": \\"k2\\"}"\n'
    )
    script.chmod(0o755)
    listed = ["echo", '[{"id": "k1", "expires_at": "2027-06-30T00:00:00Z"}, {"id": "k0"}]']
    plugin: Any = Registry().find("provider", "command")
    provider = plugin(generate_argv=[str(script)], list_argv=listed)
    assert provider.generate(LABEL, issued("k1")).primary.reveal() == "made-like-k1"
    assert provider.generate(LABEL, None).primary.reveal() == "made-like-"
    assert "the old key ends on 2027-06-30" in said(provider, "k1", Level.WARNING)
    assert not said(provider, "k0", Level.WARNING)


def issued(key_id: str) -> Any:
    from rotator.model import single

    return single("the-old-key", key_id=key_id)


def test_a_key_that_may_do_little_is_followed_by_one_that_may_not_do_more(tmp_path: Path) -> None:
    """LiteLLM: without `allowed_routes` the new key may do all that its owner may."""
    from rotator.integrations.catalog.entry import entry_at
    from rotator.integrations.catalog.listing import records
    from rotator.integrations.catalog.shipped import shipped
    from rotator.integrations.catalog.templates import fill

    entry = entry_at(shipped()["litellm"])
    assert entry.list_ is not None
    had = {
        "allowed_routes": ["llm_api_routes"],
        "permissions": {"get_spend_routes": True},
        "model_max_budget": {"small": {"budget_limit": 1}},
        "aliases": {"fast": "small"},
        "org_id": "o1",
        "project_id": "p1",
    }
    (old,) = records(entry.list_.each, [{"token": "0a1b", "object_permission_id": "perm", **had}])
    given = inherited.values(entry, old, time.time(), None)
    sent = fill(entry.create[0].request.json_body, {"label": "n", **given})
    had["organization_id"] = had.pop("org_id")
    assert {name: sent[name] for name in had} == had
    said = inherited.findings(entry, entry.create[0], old, inherited.Given({}, time.time(), None))
    lost = [one.text for one in said if one.level is Level.WARNING]
    assert lost == ["the new key will not have what the old one has: object_permission perm"]


def test_a_value_that_looks_like_a_key_is_not_shown(acme: Any) -> None:
    """What a list tells of a key may hold another service's key, which nobody here knows."""
    provider, old, _ = acme
    old["scopes"] = {"callback": "sk4lf0secret0of0another0service"}
    assert "sk4lf0secret" not in said(provider, "k1", Level.OK)
