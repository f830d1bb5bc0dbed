"""Providers that make a key in steps, that tell a key's id to itself, or take a key by its value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rotator.core.plan import Plan
from rotator.core.state import Cause, Rotation
from rotator.engine.writing import Writing
from rotator.errors import ConfigError
from rotator.integrations.memory import world as memory
from rotator.secret import Secret
from rotator.usecases import supply
from rotator.usecases.request import Request
from tests.integration.conftest import Bench
from tests.servers import issuers

WAIT = Request(wait=True)
PROBED = """\
whoami: {request: {GET: /me, auth: {header: x-key, value: key}}, id: id}
probe: {request: {GET: /me, auth: {header: x-key, value: key}}}
"""
LISTED = """\
list: {request: {GET: /keys}, each: {in: data, id: id, label: [label], created: created}}
revoke: [{request: {DELETE: '/keys/{id}'}, gone: [404]}]
"""
HEAD = """\
name: Ours
console: https://ours.example/keys
pattern: 'mem-\\S+'
settings: {admin: {secret: true}}
api: {base: null, auth: {bearer: admin}}
"""
IN_STEPS = f"""{HEAD}create:
  - request: {{POST: /keys, json: {{name: '{{label}}'}}}}
    wait: {{request: {{GET: '/{{+handle}}'}}, handle: work, done: done, failed: error}}
    answer: {{id: made.id}}
    then: {{request: {{GET: '/keys/{{id}}/value'}}, secret: value}}
{LISTED}{PROBED}"""
BY_HAND = f"{HEAD}create: operator\n{LISTED}{PROBED}"
BY_VALUE = f"""{HEAD}create: operator
revoke:
  - request: {{POST: /end, json: {{token: {{secret: key}}}}, auth: {{header: x-key, value: key}}}}
    gone: [401]
probe: {{request: {{GET: /me, auth: {{header: x-key, value: key}}}}}}
"""


class Steps(issuers._Issuer):
    """Makes keys on the second look; its list shows no part of them."""

    issuer: memory.Issuer
    work: dict[str, Any]

    def _key(self) -> memory.IssuedKey | None:
        found = self.issuer.by_value(self.headers["x-key"] or "")
        return found if found is not None and found.state == "live" else None

    def do_GET(self) -> None:
        if self.route == ["me"]:
            key = self._key()
            return self.answer(200 if key else 401, {"id": key.record.id} if key else {})
        if self.route[0] == "operations":
            self.work["looks"] += 1
            return self.answer(200, self.work["answers"][min(self.work["looks"], 2) - 1])
        if self.route[-1] == "value":
            return self.answer(200, {"value": self.issuer.keys[self.route[1]].value})
        shown = [
            {"id": key_id, "label": key.record.label, "created": key.record.created_at}
            for key_id, key in self.issuer.keys.items()
            if key.state != "dead"
        ]
        return self.answer(200, {"data": shown})

    def do_POST(self) -> None:
        if self.route == ["end"]:
            key = self._key()
            if key is not None and self.body() == {"token": key.value}:
                key.state = "dead"
            return self.answer(200 if key else 401, {})
        made = self.issuer.create(self.body()["name"])
        self.work["answers"] = [{"done": False}, {"done": True, "made": {"id": made.record.id}}]
        self.work["answers"][1] |= self.work.get("instead", {})
        return self.answer(200, {"work": "operations/7"})

    def do_DELETE(self) -> None:
        self.issuer.keys[self.route[-1]].state = "dead"
        self.answer(204)


@pytest.fixture
def steps(
    request: pytest.FixtureRequest, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Bench, dict[str, Any]]]:
    monkeypatch.setenv("OURS_ADMIN", issuers.ADMIN)
    work: dict[str, Any] = {"looks": 0}
    handler = type("Handler", (Steps,), {"issuer": bench.issuer, "keys": {}, "work": work})
    with issuers.serving(handler) as url:
        folder = tmp_path / "playbooks"
        (folder / "providers").mkdir()
        (folder / "providers" / "ours.yaml").write_text(request.param)
        path = folder / "one.yaml"
        ours = f"uses: ours, base_url: '{url}', admin: {{env: OURS_ADMIN}}"
        text = path.read_text().replace("uses: memory, issuer: one", ours, 1)
        path.write_text(text.replace("step: 2s", "step: 60s"))
        yield bench, work


@pytest.mark.parametrize("steps", [IN_STEPS], indirect=True, ids=["in steps"])
def test_a_create_that_is_not_done_at_once_is_waited_for(steps: Any) -> None:
    """And the old key, of which the list shows nothing, tells its own id."""
    bench, work = steps
    old = bench.stored
    report = bench.service.rotate("one", WAIT)
    assert report.code == 0, report.rotation.problem
    assert work["looks"] == 2 and bench.live == [bench.stored] != [old]


@pytest.mark.parametrize("steps", [IN_STEPS], indirect=True, ids=["in steps"])
def test_a_create_that_fails_late_leaves_no_key(steps: Any) -> None:
    """It may have made one all the same: it is looked for by its label, and destroyed."""
    bench, work = steps
    old, work["instead"] = bench.stored, {"error": "no room"}
    report = bench.service.rotate("one", WAIT)
    assert report.code != 0 and bench.stored == old and bench.live == [old]


@pytest.mark.parametrize("steps", [BY_HAND], indirect=True, ids=["by hand"])
def test_a_supplied_key_tells_its_own_id(steps: Any) -> None:
    bench, _ = steps
    asked = bench.service.rotate("one")
    assert asked.code == 5, asked.rotation.problem
    made = bench.issuer.create("")
    done = supply.supply(bench.service, "one", Secret(made.value), "", WAIT)
    assert done.code == 0 and done.rotation.new.id == made.record.id
    assert bench.live == [made.value]


@pytest.mark.parametrize("steps", [BY_VALUE], indirect=True, ids=["by value"])
def test_a_key_may_be_destroyed_by_its_value_alone(steps: Any) -> None:
    """Without a list and without ids."""
    bench, _ = steps
    asked = bench.service.rotate("one")
    assert asked.code == 5, asked.rotation.problem
    made = bench.issuer.create("")
    done = supply.supply(bench.service, "one", Secret(made.value), "", WAIT)
    assert done.code == 0 and bench.live == [made.value]


def _raises(_: str) -> object:
    raise ConfigError("the playbook does not open")


@pytest.mark.parametrize(
    ("supplied", "cause", "provider", "by_a_person"),
    [
        (False, Cause.ROTATED, SimpleNamespace(destroys=False), False),
        (True, Cause.ROTATED, SimpleNamespace(destroys=True), False),
        (True, Cause.ROTATED, SimpleNamespace(destroys=False), True),
        (True, Cause.ROTATED, SimpleNamespace(), True),
        (True, Cause.UNDONE, SimpleNamespace(destroys=True), True),
        (True, Cause.COMPROMISED, None, True),
    ],
)
def test_who_destroys_a_key(supplied: bool, cause: Cause, provider: Any, by_a_person: bool) -> None:
    """Where the playbook does not open, nobody knows that rotator may: a person is asked."""
    writing = SimpleNamespace(provider_of=_raises if provider is None else lambda _: provider)
    rotation = Rotation("r", "one", Plan(supplied=supplied))
    plan = Writing._plan_of_a_debt(cast(Writing, writing), rotation, cause)
    assert plan.supplied is by_a_person
