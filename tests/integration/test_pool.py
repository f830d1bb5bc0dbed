"""Keys that serve side by side: one at a time, each with its own history."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from rotator.cli.keys import keys as keys_command
from rotator.cli.planned import plan_command
from rotator.cli.rotate import rotate_command
from rotator.cli.validated import validate
from rotator.errors import ConfigError, NotFound, TransientError
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import tables
from rotator.model import Held
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.service import Request, Service
from rotator.views.plan import Asked, plan

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


def findings(service: Service, name: str, compromised: bool = False) -> list[str]:
    told = plan(service, name, Asked(compromised), service.playbooks()).seen.findings
    return [f"{one.level}: {one.text}" for one in told]


def test_a_leaked_key_that_is_in_the_pool_twice_dies_and_the_other_one_is_told(
    service: Service,
) -> None:
    held("KEY_2", stored("KEY"))
    told = "gate-key_2 of the same pool has the same key"
    assert any(one.startswith(f"error: {told}") for one in findings(service, "gate-key"))
    assert any(one.startswith(f"warning: {told}") for one in findings(service, "gate-key", True))


def test_a_key_that_is_missing_is_told_before_another_one_is_rotated(service: Service) -> None:
    memory.WORLD.cell("KEY_1").values = {}
    told = "warning: gate-key_1 of the same pool holds no key: it serves nobody"
    assert told in findings(service, "gate-key")


@pytest.mark.parametrize(
    ("error", "compromised", "level"),
    [
        (NotFound("it is gone"), False, "error"),
        (TransientError("it is away"), False, "error"),
        (TransientError("it is away"), True, "warning"),
        (ValueError("it is odd"), True, "warning"),
    ],
)
def test_a_pools_key_that_cannot_be_read_holds_others_back_but_no_leaked_one(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    compromised: bool,
    level: str,
) -> None:
    read = MemoryStore.read

    def away(store: MemoryStore) -> Held | None:
        if store.cell == "KEY_2":
            raise error
        return read(store)

    monkeypatch.setattr(MemoryStore, "read", away)
    told = [one for one in findings(service, "gate-key", compromised) if str(error) in one]
    assert told and told[0].startswith(level), told
    keys = len(memory.WORLD.issuer("gate").keys)
    report = service.rotate("gate-key", Request(compromised=compromised, wait=compromised))
    assert (report.code == 0) is compromised
    assert len(memory.WORLD.issuer("gate").keys) == keys + compromised


class Killed(BaseException):
    pass


def test_what_a_dead_process_left_half_way_goes_first_and_the_rest_of_the_pool_waits(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the pool before anybody has taken it up again."""

    def killed(*_: object) -> str:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(MemoryStore, "write", killed)
        service.rotate("gate-key_2")
    keys = len(memory.WORLD.issuer("gate").keys)
    assert service.rotate("gate-key").code == 75
    assert len(memory.WORLD.issuer("gate").keys) == keys, "none begins while one is half way"
    reports = service.rotate_all(MEMBERS, Request(wait=True))
    assert [report.code for report in reports] == [0, 0, 0]
    live = {key.value for key in memory.WORLD.issuer("gate").keys.values() if key.state == "live"}
    assert live == {stored(name) for name in NAMES}


def test_at_no_instant_has_a_consumer_of_the_pool_a_dead_key(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = list[str]()

    def watched(it: object, name: str, value: object) -> None:
        object.__setattr__(it, name, value)
        if name in ("state", "holds"):  # of a key, of a consumer
            changed.append(name)
            holds = [memory.WORLD.consumers[one].holds for one in NAMES]
            assert all(map(memory.WORLD.issuer("gate").accepts, holds)), holds
            assert len(set(holds)) == len(NAMES)

    for kind in (memory.IssuedKey, memory.Consumer):
        monkeypatch.setattr(kind, "__setattr__", watched)
    reports = service.rotate_all(MEMBERS, Request(wait=True))
    assert [report.code for report in reports] == [0, 0, 0]
    assert min(changed.count("state"), changed.count("holds")) >= len(NAMES)


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
    assert keys_command.main(["gate"], standalone_mode=False) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in MEMBERS), said
    assert validate.main(["gate"], standalone_mode=False) == 0
    assert "gate: 3 right" in capsys.readouterr().out
    first = ["gate", "--compromised", "--revoke-first", "--key", "gate-key1"]
    with pytest.raises(ConfigError, match="gate-key1 is a key of one of gate-key, gate-key_1"):
        rotate_command.main(first, standalone_mode=False)
