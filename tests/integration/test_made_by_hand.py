"""Keys that a person makes and rotator destroys: `create: operator` of a catalog file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.core.order import Order
from rotator.errors import TransientError
from rotator.integrations.catalog.provider import HttpProvider
from rotator.integrations.memory import world as memory
from rotator.model import KeyRecord
from rotator.secret import Secret
from rotator.usecases import orders, supply
from rotator.usecases.request import Request
from tests.integration.conftest import Bench
from tests.servers import issuers

WAIT = Request(wait=True)
CATALOG = """\
name: Ours
console: https://ours.example/keys
docs: https://ours.example/docs
pattern: 'mem-\\S+'
steps: {create: ['Press "New key".']}
settings: {admin: {secret: true}}
api: {base: null, auth: {bearer: admin}, headers: {x-version: '7'}}
create: operator
list:
  request: {GET: /keys}
  each: {in: "data[?status != 'archived']", id: id, hint: hint, created: created, active: "status == 'active'"}
revoke:
  - request: {POST: '/keys/{id}', json: {status: archived}}
    gone: [400, 404]
probe: {request: {GET: /me, auth: {header: x-key, value: key}}}
"""
_STATES = {"live": "active", "off": "inactive", "dead": "archived"}


class Console(issuers._Issuer):
    """Lists and archives the keys of a little world; makes none."""

    issuer: memory.Issuer
    strangers: set[str] = set()  # keys of another organisation

    def do_GET(self) -> None:
        if self.route == ["me"]:
            key = self.headers["x-key"]
            org = {"org": "theirs" if key in self.strangers else "ours"}
            return self.answer(200 if self.issuer.accepts(key) else 401, org)
        if self.route == ["whoami"]:
            mine = self.issuer.by_value(self.headers["x-key"])
            return self.answer(200, {"id": mine.record.id if mine is not None else ""})
        asked = (self.headers["authorization"], self.headers["x-version"])
        if asked != (f"Bearer {issuers.ADMIN}", "7"):
            return self.answer(401, {})
        shown = [
            {
                "id": key_id,
                "hint": f"{key.value[:-20]}...xxxx",
                "status": _STATES[key.state],
                "created": key.record.created_at,
            }
            for key_id, key in self.issuer.keys.items()
            if key_id not in self.issuer.hidden
        ]
        return self.answer(200, {"data": shown})

    def do_POST(self) -> None:
        key = self.issuer.keys[self.route[-1]]
        if key.state == "dead":
            return self.answer(400, {"error": {"message": "an archived key stays archived"}})
        assert self.body() == {"status": "archived"}
        key.state = "dead"
        return self.answer(200, {})


@pytest.fixture
def console(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("OURS_ADMIN", issuers.ADMIN)
    handler = type("Handler", (Console,), {"issuer": bench.issuer, "keys": {}})
    with issuers.serving(handler) as url:
        folder = tmp_path / "playbooks"
        (folder / "providers").mkdir()
        (folder / "providers" / "ours.yaml").write_text(CATALOG)
        path = folder / "one.yaml"
        ours = f"uses: ours, base_url: '{url}', admin: {{env: OURS_ADMIN}}"
        text = path.read_text().replace("uses: memory, issuer: one", ours, 1)
        path.write_text(text.replace("step: 2s", "step: 60s"))  # else a slow machine decides
        yield bench


def test_the_old_key_of_a_supplied_one_is_destroyed_without_a_person(console: Bench) -> None:
    """Which of the listed keys the supplied one is, its hint tells."""
    old = console.stored
    report = console.service.rotate("one")
    assert report.code == 5, report.rotation and report.rotation.problem
    assert report.console == "at https://ours.example/keys"
    made = console.issuer.create("")
    done = supply.supply(console.service, "one", Secret(f"{made.value}\n"), "", WAIT)
    assert done.code == 0 and not done.questions
    assert console.stored == made.value == console.consumer.holds
    assert console.live == [made.value] and not console.issuer.accepts(old)
    assert done.rotation and done.rotation.new and done.rotation.new.id == made.record.id


def test_a_supplied_key_that_is_not_listed_is_waited_for(console: Bench) -> None:
    """Without its id it could not be destroyed one day."""
    console.service.rotate("one")
    old, made = console.stored, console.issuer.create("")
    console.issuer.hidden.add(made.record.id)
    with pytest.raises(supply.NotTaken, match="not sure which key at the provider"):
        supply.supply(console.service, "one", Secret(made.value), "", Request())
    assert console.stored == old
    console.issuer.hidden.clear()
    assert supply.supply(console.service, "one", Secret(made.value), "", WAIT).code == 0
    assert console.live == [made.value]


def test_an_id_that_the_provider_cannot_be_asked_about_now_is_believed(
    console: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person said it, and nothing says otherwise."""
    console.service.rotate("one")
    made, real, asked = console.issuer.create(""), HttpProvider.inventory, list[int]()

    def away(provider: HttpProvider) -> list[KeyRecord]:
        asked.append(1)
        if len(asked) == 1:
            raise TransientError("the list is away")
        return real(provider)

    monkeypatch.setattr(HttpProvider, "inventory", away)
    done = supply.supply(console.service, "one", Secret(made.value), made.record.id, WAIT)
    assert done.code == 0 and asked and console.live == [made.value]


def test_an_id_that_the_key_itself_denies_is_refused(console: Bench) -> None:
    path = console.folder / "playbooks" / "providers" / "ours.yaml"
    own = "{request: {GET: /whoami, auth: {header: x-key, value: key}}, id: id}"
    path.write_text(CATALOG + f"whoami: {own}\n")
    console.service.rotate("one")
    made, other = console.issuer.create(""), console.issuer.create("a colleague's")
    with pytest.raises(supply.NotTaken, match=f"its id is {made.record.id}, not"):
        supply.supply(console.service, "one", Secret(made.value), other.record.id, Request())
    assert len(console.live) == 3, "nothing was destroyed"


def test_a_supplied_key_is_not_taken_by_another_ones_id(console: Bench) -> None:
    """By its id it is destroyed one day: a colleague's key, or the one in force in the end."""
    console.service.rotate("one")
    old = console.stored
    of_old = next(one for one, key in console.issuer.keys.items() if key.value == old)
    made, theirs = console.issuer.create(""), console.issuer.create("a colleague's")
    for wrong in (of_old, theirs.record.id):
        with pytest.raises(supply.NotTaken, match="another key"):
            supply.supply(console.service, "one", Secret(made.value), wrong, Request())
    assert console.stored == old
    done = supply.supply(console.service, "one", Secret(made.value), made.record.id, WAIT)
    assert done.code == 0 and set(console.live) == {made.value, theirs.value}


def test_a_key_that_was_replaced_in_place_is_not_taken(console: Bench) -> None:
    """It has the old one's id: the end of the old one would be its own."""
    console.service.rotate("one")
    of_old = next(one for one, key in console.issuer.keys.items() if key.value == console.stored)
    made = console.issuer.create("")
    console.issuer.hidden |= {of_old, made.record.id}  # the list says nothing against it
    with pytest.raises(supply.NotTaken, match="which has another value"):
        supply.supply(console.service, "one", Secret(made.value), of_old, Request())


def test_an_undo_leaves_the_end_of_a_supplied_key_to_a_person(
    console: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been in use elsewhere before anybody asked for it."""
    from rotator.integrations.memory.restarter import MemoryRestarter

    old, made = console.stored, console.issuer.create("in use elsewhere")
    console.service.rotate("one")
    real = MemoryRestarter.restart

    def refuses(self: MemoryRestarter, change: Any) -> None:
        if change.credential.primary.reveal() == made.value:
            from rotator.errors import PermanentError

            raise PermanentError("it does not start")
        real(self, change)

    monkeypatch.setattr(MemoryRestarter, "restart", refuses)
    report = supply.supply(console.service, "one", Secret(made.value), "", WAIT)
    assert console.stored == old and made.value in console.live
    assert report.questions, "a person says whether it may be destroyed"
    assert console.issuer.by_value(made.value).state == "live"  # type: ignore[union-attr]
    console.issuer.by_value(made.value).state = "dead"  # type: ignore[union-attr]
    confirmed = orders.order(console.service, "one", Order.CONFIRM, WAIT)
    assert not [debt for debt in confirmed.debts if debt.open]


BY_HAND = """\
name: Ours
console: https://ours.example/keys
pattern: 'mem-\\S+'
steps: {create: ['Press "New key".', 'Copy it.'], revoke: ['Press "Delete" beside the old one.']}
api: {base: null}
create: operator
revoke: operator
probe: {request: {GET: /me, auth: {header: x-key, value: key}}, identity: {organization: org}}
"""


@pytest.fixture
def person(console: Bench, tmp_path: Path) -> Bench:
    """The same provider, where a person destroys the keys, too."""
    (tmp_path / "playbooks" / "providers" / "ours.yaml").write_text(BY_HAND)
    path = tmp_path / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace(", admin: {env: OURS_ADMIN}", ""))
    return console


def test_a_person_is_told_step_by_step_and_asked_until_the_old_key_is_dead(person: Bench) -> None:
    """To make the key, and to destroy the old one; a confirmation is believed when the provider
    refuses the key.
    """
    old = person.stored
    report = person.service.rotate("one")
    assert (report.code, report.steps) == (5, ('Press "New key".', "Copy it."))
    with pytest.raises(supply.NotTaken, match="this is the old key"):
        supply.supply(person.service, "one", Secret(f" {old}\n"), "", Request())
    with pytest.raises(supply.NotTaken, match="refuses this key"):
        supply.supply(person.service, "one", Secret("mem-nobodys-7m7m7m7m7m7m7"), "", Request())
    made = person.issuer.create("")
    done = supply.supply(person.service, "one", Secret(f"{made.value}\n"), "", WAIT)
    assert person.stored == made.value == person.consumer.holds
    assert done.questions and done.steps == ('Press "Delete" beside the old one.',)
    early = orders.order(person.service, "one", Order.CONFIRM, WAIT)
    assert early.held and person.issuer.accepts(old), "it was said to be dead, and still works"
    person.issuer.by_value(old).state = "dead"  # type: ignore[union-attr]
    over = orders.order(person.service, "one", Order.CONFIRM, WAIT)
    assert over.code_of_all == 0 and not [debt for debt in over.debts if debt.open]
    assert person.live == [made.value]


def test_a_supplied_key_of_another_organisation_is_not_taken(
    person: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written with it, nobody is restarted; it was seen after the roll-out."""
    old = person.stored
    person.service.rotate("one")
    theirs, ours = person.issuer.create(""), person.issuer.create("")
    monkeypatch.setattr(Console, "strangers", {theirs.value})
    with pytest.raises(supply.NotTaken, match="does not see the same organization"):
        supply.supply(person.service, "one", Secret(theirs.value), "", Request())
    assert person.stored == old == person.consumer.holds
    assert supply.supply(person.service, "one", Secret(ours.value), "", WAIT).questions
    assert person.stored == ours.value == person.consumer.holds


def test_a_provider_that_cannot_compare_now_does_not_refuse_a_supplied_key(
    person: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cohere is asked by a POST: what came of it is not known, and the verification compares."""
    from rotator.errors import OutcomeUnknown

    def lost(*_: Any) -> None:
        raise OutcomeUnknown("Cohere answered 503")

    monkeypatch.setattr(supply, "compare", lost)
    person.service.rotate("one")
    made = person.issuer.create("")
    supply.supply(person.service, "one", Secret(made.value), "", WAIT)
    assert person.stored == made.value == person.consumer.holds


def test_status_and_the_report_number_the_steps(
    person: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    from rotator.cli import overview, reported
    from rotator.views.status import status

    reported.report(person.service.rotate("one"))
    shown = capsys.readouterr().out
    assert "make it at https://ours.example/keys" in shown and "  2. Copy it." in shown
    (row,) = status(person.service).playbooks
    assert '  1. Press "New key".' in list(overview.details(row))
    made = person.issuer.create("")
    reported.report(supply.supply(person.service, "one", Secret(made.value), "", WAIT))
    shown = capsys.readouterr().out
    assert '  1. Press "Delete" beside the old one.' in shown and "https://ours" in shown
    (row,) = status(person.service).playbooks
    assert '  1. Press "Delete" beside the old one.' in list(overview.details(row))
