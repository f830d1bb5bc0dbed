"""Keys that serve side by side: one at a time, each with its own history."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from rotator.cli.planned import plan_command
from rotator.cli.rotate import rotate_command
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import tables
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.service import Request, Service

NAMES = ("KEY", "KEY_1", "KEY_2")
MEMBERS = ["gate-key", "gate-key_1", "gate-key_2"]
BOOK = """
pool: [KEY, KEY_1, KEY_2]
generate: {uses: memory, issuer: gate}
store: [{uses: memory, cell: '{member}'}]
restart: [{uses: memory, consumers: ['{member}']}]
revoke: {grace: 0s, quiet: 0s, soak: 0s, watch: 0s}
limits: {pass_interval: 1ms, step: 2s, list_lag: 0s}
"""


@pytest.fixture
def service(tmp_path: Path, url: str, memory_world: memory.World) -> Iterator[Service]:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "gate.yaml").write_text(BOOK)
    for name in NAMES:
        held(name, memory.WORLD.issuer("gate").create("by hand").value)
        memory.WORLD.consumers[name] = memory.Consumer(name)
        memory.WORLD.start(name)
    settings = Settings(tmp_path, playbooks=(tmp_path / "playbooks",), database_url=url)
    found = Service(settings, "test")
    yield found
    found.close()


def held(name: str, value: str) -> None:
    cell = memory.WORLD.cell(name)
    cell.values, cell.version, cell.note = {"key": Secret(value)}, 1, None


def stored(name: str) -> str:
    return next(iter((memory.WORLD.cell(name).values or {}).values())).reveal()


def test_a_pool_is_rotated_one_key_after_the_other_and_the_rest_stays_live(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: stored(name) for name in NAMES}
    write, serving = MemoryStore.write, list[int]()

    def counts(store: MemoryStore, *arguments: object) -> str:
        issuer = memory.WORLD.issuer("gate")
        serving.append(sum(issuer.accepts(stored(name)) for name in NAMES))
        return write(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryStore, "write", counts)
    names = service.playbooks().meant(["gate"])
    assert names == MEMBERS
    assert [report.code for report in service.rotate_all(names, Request(wait=True))] == [0, 0, 0]
    assert serving == [3, 3, 3], "each works while another one is replaced"
    after = {name: stored(name) for name in NAMES}
    assert not set(before.values()) & set(after.values())
    live = {key.value for key in memory.WORLD.issuer("gate").keys.values() if key.state == "live"}
    assert live == set(after.values())
    with service.journal.database.read() as connection:
        of = tables.rotations.c
        rows = connection.execute(select(of.began, of.ended).order_by(of.began)).all()
    assert all(one.ended <= two.began for one, two in itertools.pairwise(rows)), "one at a time"


def test_one_key_of_a_pool_may_leak_and_go_alone(service: Service) -> None:
    before = {name: stored(name) for name in NAMES}
    assert service.rotate("gate-key_1", Request(compromised=True, wait=True)).code == 0
    assert not memory.WORLD.issuer("gate").accepts(before["KEY_1"])
    assert stored("KEY_1") != before["KEY_1"]
    assert (stored("KEY"), stored("KEY_2")) == (before["KEY"], before["KEY_2"])


def test_two_of_a_pool_with_one_key_are_refused_before_anything_is_made(service: Service) -> None:
    held("KEY_2", stored("KEY"))
    keys = len(memory.WORLD.issuer("gate").keys)
    refused = service.rotate("gate-key")
    assert refused.code == 6 and refused.rotation is not None
    assert "gate-key_2 of the same pool has the same key" in refused.rotation.problem
    assert len(memory.WORLD.issuer("gate").keys) == keys


def test_a_key_of_a_pool_that_holds_nothing_is_refused_and_the_others_go(service: Service) -> None:
    memory.WORLD.cell("KEY_1").values = None
    codes = {report.playbook: report.code for report in service.rotate_all(MEMBERS, Request())}
    assert codes == {"gate-key": 0, "gate-key_1": 6, "gate-key_2": 0}


def test_a_pool_that_gets_longer_or_shorter_keeps_each_ones_history(service: Service) -> None:
    assert service.rotate("gate-key_2").code == 0
    key = stored("KEY_2")
    path = service.settings.home / "playbooks" / "gate.yaml"
    path.write_text(BOOK.replace("[KEY, KEY_1, KEY_2]", "[KEY_2, KEY]"))
    assert service.rotate("gate-key_2").code == 0
    assert stored("KEY_2") != key
    assert not memory.WORLD.issuer("gate").accepts(key)


def test_the_command_takes_a_pools_name_for_all_its_keys(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = service.settings.home
    monkeypatch.setenv("ROTATOR_HOME", str(home))
    monkeypatch.setenv("ROTATOR_PLAYBOOKS", str(home / "playbooks"))
    monkeypatch.setenv("ROTATOR_DATABASE_URL", service.settings.url)
    assert rotate_command.main(["gate"], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert all(f"{name}: verified" in said for name in MEMBERS), said
    assert plan_command.main(["gate"], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in MEMBERS), said
