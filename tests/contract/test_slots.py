"""A credential of two slots: the one in use is found by its value, and the other one made anew."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import (
    AccessDenied,
    ConfigError,
    OutcomeUnknown,
    PermanentError,
    Rejected,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.model import Credential, Level
from rotator.reference import Reference
from tests.contract.test_by_example import LABEL, SLOTTED, World, held, secret
from tests.servers.by_example import HTML, Fault, Issued, serving


@pytest.fixture(params=SLOTTED)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


@pytest.fixture
def provider(world: World) -> Iterator[Any]:
    with serving(world.issuer) as url:
        yield world.provider(url)


def slots(world: World) -> list[Issued]:
    return list(world.issuer.in_slots.values())


def value(key: Issued) -> Credential:
    """As the stores hold it: its value alone."""
    return Credential(held(key).values)


# --- which slot ---
@pytest.mark.parametrize("used", [0, 1])
def test_the_slot_in_use_is_found_by_its_value_and_the_other_made_anew(
    world: World, provider: Any, used: int
) -> None:
    mine, other = slots(world)[used], slots(world)[1 - used]
    made = provider.generate(LABEL, value(mine))
    assert world.issuer.accepts(mine) and not world.issuer.accepts(other)
    assert made.primary.reveal() == slots(world)[1 - used].values["key"] and made.id == ""
    provider.probe(made)


def test_a_key_that_works_and_is_in_neither_slot_is_anothers_account(
    world: World, provider: Any
) -> None:
    """Nothing is made anew there."""
    stranger = world.issuer._issue(None, {}, "elsewhere")
    before = slots(world)
    for act in (provider.generate, lambda _, like: provider.reread(like)):
        with pytest.raises(PermanentError, match="neither slot"):
            act(LABEL, value(stranger))
    assert slots(world) == before


@pytest.mark.parametrize("like", [None, Credential({}, "", "…abcd")])
def test_a_key_that_nobody_can_read_is_in_an_unknown_slot(
    world: World, provider: Any, like: Credential | None
) -> None:
    before = slots(world)
    with pytest.raises(PermanentError, match="which of the two keys"):
        provider.generate(LABEL, like)
    assert slots(world) == before


def test_after_the_key_in_use_was_ended_first_another_one_is_made(
    world: World, provider: Any
) -> None:
    """A leaked key that dies before its successor is made: each answer finds the same slot."""
    leaked = slots(world)[0]
    provider.revoke(value(leaked))
    shown = provider.reread(value(leaked)).primary
    made = provider.generate(LABEL, value(leaked))
    assert made.primary != shown and made.primary == provider.reread(value(leaked)).primary
    provider.probe(made)


# --- who else uses it ---
def test_nothing_is_made_anew_before_a_person_says_that_nobody_else_uses_it(
    world: World, provider: Any
) -> None:
    unsaid, before = dataclasses.replace(provider, exclusive=False), slots(world)
    wrong = [one for one in unsaid.preflight() if one.level is Level.ERROR]
    assert [one.hint for one in wrong] == [
        "once nobody does, say `exclusive: true` in the playbook"
    ]
    with pytest.raises(PermanentError, match="whether anybody uses it cannot be known"):
        unsaid.generate(LABEL, value(before[0]))
    assert slots(world) == before
    assert not [one for one in provider.preflight() if one.level is Level.ERROR]


# --- the end of a key ---
def test_a_key_ends_by_its_slot_and_the_other_lives(world: World, provider: Any) -> None:
    mine, other = slots(world)
    provider.revoke(value(mine))
    with pytest.raises(Rejected):
        provider.probe(value(mine))
    after = slots(world)
    provider.revoke(value(mine))
    assert world.issuer.accepts(other) and slots(world) == after, "gone already: nothing is sent"


def test_a_key_of_another_account_is_not_called_dead(world: World, provider: Any) -> None:
    stranger, before = world.issuer._issue(None, {}, "elsewhere"), slots(world)
    with pytest.raises(TransientError, match="not refused"):
        provider.revoke(value(stranger))
    with pytest.raises(Unsupported, match="by its value"):
        provider.revoke(Credential({}, "", "…abcd"))
    assert slots(world) == before


@pytest.mark.parametrize(
    "fault",
    [Fault(work=True, lost=True), Fault(500, work=True), Fault(200, HTML, work=True)],
    ids=["lost", "500", "html"],
)
def test_a_lost_answer_to_an_end_ends_no_other_key(
    world: World, provider: Any, fault: Fault
) -> None:
    mine, other = slots(world)
    world.issuer.faults["regenerate"] = [fault]
    try:
        provider.revoke(value(mine))
    except (OutcomeUnknown, TransientError):
        provider.revoke(value(mine))
    assert not world.issuer.accepts(mine) and world.issuer.accepts(other)
    done = [one for one in world.issuer.asked if one.operation == "regenerate"]
    assert len(done) == 1


def test_an_end_that_was_said_and_not_done_is_asked_for_again(world: World, provider: Any) -> None:
    mine = slots(world)[0]
    world.issuer.faults["regenerate"] = [Fault(200, b'{"key1": "a", "key2": "b"}')]
    with pytest.raises(TransientError, match="still shows"):
        provider.revoke(value(mine))
    provider.revoke(value(mine))
    assert not world.issuer.accepts(mine)


# --- answers that are lost, late, or none ---
@pytest.mark.parametrize("fault", [Fault(lost=True), Fault(500)], ids=["lost", "500"])
@pytest.mark.parametrize("done", [True, False])
def test_what_a_lost_answer_left_is_read_in_the_slot(
    world: World, provider: Any, fault: Fault, done: bool
) -> None:
    mine = value(slots(world)[0])
    before = provider.reread(mine)
    world.issuer.faults["regenerate"] = [
        Fault(fault.status, fault.body, work=done, lost=fault.lost)
    ]
    with pytest.raises(OutcomeUnknown):
        provider.generate(LABEL, mine)
    found = provider.reread(mine)
    assert (found.primary != before.primary) is done
    if done:
        provider.probe(found)


@pytest.mark.parametrize("page", [HTML, b"{}", b'{"key1": 7, "key2": 8}'])
def test_what_is_no_key_is_none_and_shows_none(world: World, provider: Any, page: bytes) -> None:
    mine = slots(world)[0]
    world.issuer.faults["regenerate"] = [Fault(200, page)]
    with pytest.raises(Unreadable) as told:
        provider.generate(LABEL, value(mine))
    assert "sk-looks-like" not in str(told.value)
    assert page == HTML or "slots.names.Key2" in str(told.value)
    world.issuer.faults["both"] = [Fault(200, page)]
    with pytest.raises(PermanentError) as told:
        provider.preflight()
    assert "sk-looks-like" not in str(told.value)


def test_a_slot_that_shows_what_it_was_is_no_new_key(world: World, provider: Any) -> None:
    mine, other = slots(world)
    said = {"key1": mine.values["key"], "key2": other.values["key"]}
    world.issuer.faults["regenerate"] = [Fault(200, json.dumps(said).encode())]
    with pytest.raises(OutcomeUnknown, match="what it was before"):
        provider.generate(LABEL, value(mine))


def test_a_lost_answer_to_a_read_is_asked_for_again(world: World, provider: Any) -> None:
    """A POST that changes nothing."""
    before = slots(world)
    world.issuer.faults["both"] = [Fault(lost=True)]
    with pytest.raises(TransientError):
        provider.generate(LABEL, value(before[0]))
    for busy in (Fault(429, headers={"retry-after": "7"}), Fault(500)):
        world.issuer.faults["both"] = [busy]
        with pytest.raises(TransientError):
            provider.revoke(value(before[0]))
    assert slots(world) == before


def test_a_refusal_says_what_it_is(world: World, provider: Any) -> None:
    denied = b'{"error": {"code": "AuthorizationFailed", "message": "no listKeys/action"}}'
    world.issuer.faults["both"] = [Fault(403, denied)]
    with pytest.raises(AccessDenied, match="listKeys/action"):
        provider.preflight()


# --- Azure's own ---
AZURE = pytest.mark.parametrize("world", ["azure-openai"], indirect=True)


@AZURE
def test_access_by_key_that_is_switched_off_is_told_before_the_start(
    world: World, provider: Any
) -> None:
    world.issuer.amiss[0] = {"properties": {"disableLocalAuth": True}}
    wrong = [one for one in provider.preflight() if one.level is Level.ERROR]
    assert len(wrong) == 1 and "disableLocalAuth" in wrong[0].text


@AZURE
def test_a_token_of_somebody_elses_is_sent_as_it_is(
    world: World, provider: Any, tmp_path: Path
) -> None:
    """`{command: [az, …]}`: none is fetched, and nothing that fetches one need be said."""
    world.issuer.token = secret("token of az")
    (tmp_path / "token").write_text(world.issuer.token)
    by_az = type(provider)(
        subscription="subscription-1",
        resource_group="resource_group-1",
        account="account-1",
        token=Reference("file", str(tmp_path / "token")),
        base_url=provider.base_url,
        endpoint_url=provider.endpoint_url,
        exclusive=True,
    )
    mine = slots(world)[0]
    made = by_az.generate(LABEL, value(mine))
    by_az.probe(made)
    assert "token" not in [one.operation for one in world.issuer.asked]


@AZURE
def test_what_gives_an_access_token_must_be_said(world: World, provider: Any) -> None:
    where = {"subscription": "s", "resource_group": "r", "account": "a", "endpoint_url": "http://e"}
    with pytest.raises(ConfigError, match="needs tenant and client_id and client_secret") as told:
        type(provider)(**where)
    assert "az" in told.value.hint
    with pytest.raises(ConfigError, match="needs tenant"):
        type(provider)(**where, client_id="c", client_secret=Reference("env", "X"))


@AZURE
def test_two_playbooks_of_one_account_are_the_same_credential(world: World, provider: Any) -> None:
    assert provider.credential_at.endswith("/accounts/account-1/listKeys")
    there = dataclasses.replace(provider, endpoint_url="http://another.example")
    assert there.credential_at == provider.credential_at
    assert dataclasses.replace(provider, account="b").credential_at != provider.credential_at
