"""Rotations of one group never overlap, whichever process works on them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from rotator.cli.overview import cells
from rotator.engine.clock import SystemClock
from rotator.errors import BusyError, JournalError
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import grouped, leases, tables
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.report import Report
from rotator.usecases.runtime import DAEMON
from rotator.usecases.service import Request, Service
from rotator.views.explain import Why, explain
from rotator.views.status import status

NAMES = ("a", "b", "c")
BOOK = """
schedule: {{every: 1d}}
group: payments
generate: {{uses: memory, issuer: {name}}}
store: [{{uses: memory, cell: {name}}}]
restart: [{{uses: memory, consumers: [{name}]}}]
revoke: {{grace: 1h, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, step: 30s, list_lag: 0s}}
"""


class Team:
    """Three playbooks of one group, each with a consumer of its own."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        (folder / "playbooks").mkdir()
        for name in NAMES:
            first = memory.WORLD.issuer(name).create("by hand")
            cell = memory.WORLD.cell(name)
            cell.values, cell.version, cell.note = {"key": Secret(first.value)}, 1, None
            (folder / "playbooks" / f"{name}.yaml").write_text(BOOK.format(name=name))
            memory.WORLD.consumers[name] = memory.Consumer(name)
            memory.WORLD.start(name)

    def service(self) -> Service:
        settings = Settings(
            self.folder, playbooks=(self.folder / "playbooks",), database_url=self.url
        )
        return Service(settings, "test")

    def spans(self, service: Service) -> list[tuple[float, float]]:
        """When each rotation began and ended, in their order."""
        table = tables.rotations
        with service.journal.database.read() as connection:
            rows = connection.execute(table.select().order_by(table.c.began)).all()
        return [(row.began, row.ended) for row in rows]


@pytest.fixture
def team(tmp_path: Path, url: str, memory_world: memory.World) -> Team:
    return Team(tmp_path, url)


@pytest.fixture
def service(team: Team) -> Iterator[Service]:
    found = team.service()
    yield found
    found.close()


class Held:
    """`a` is being rotated: it stands before its store until `release`."""

    def __init__(self, team: Team, patch: pytest.MonkeyPatch) -> None:
        self.there, self.go = threading.Event(), threading.Event()
        write, codes = MemoryStore.write, list[int]()

        def waits(store: MemoryStore, *arguments: Any) -> str:
            if store.cell == "a":
                self.there.set()
                assert self.go.wait(60)
            return write(store, *arguments)

        patch.setattr(MemoryStore, "write", waits)
        other = team.service()

        def rotate() -> None:
            codes.append(other.rotate("a").code)
            other.close()

        self.codes, self.thread = codes, threading.Thread(target=rotate)
        self.thread.start()
        assert self.there.wait(60)

    def release(self) -> None:
        self.go.set()
        self.thread.join(60)
        assert self.codes == [0]


@pytest.fixture
def held(team: Team, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    found = Held(team, monkeypatch)
    yield found
    found.go.set()
    found.thread.join(60)


def test_in_one_process_one_comes_after_the_other(team: Team, service: Service) -> None:
    assert [report.code for report in service.rotate_all(NAMES, Request())] == [0, 0, 0]
    spans = team.spans(service)
    assert len(spans) == len(NAMES)
    assert all(ended <= began for (_, ended), (began, _) in zip(spans, spans[1:], strict=False))


def test_beside_another_process_it_ends_as_busy_and_says_for_whom_it_waits(
    service: Service, held: Held
) -> None:
    before = memory.WORLD.issuer("b").live
    report = service.rotate("b")
    assert report.code == 75
    assert isinstance(report.error, BusyError)
    assert report.error.message == "b waits for a of group payments"
    assert memory.WORLD.issuer("b").live == before
    held.release()
    assert service.rotate("b").code == 0, "the old key of a, in its grace, holds nobody up"


def test_status_and_explain_say_so(service: Service, held: Held) -> None:
    found = {one.name: one for one in status(service).playbooks}
    assert [found[name].put_off for name in NAMES] == ["", "group", "group"]
    assert not found["b"].is_due
    assert cells(found["b"])[-1] == "due, waits for a of its group"
    assert Why.GROUP_HELD in [one.why for one in explain(service, "b").reasons]
    held.release()
    found = {one.name: one for one in status(service).playbooks}
    assert found["b"].is_due
    assert not found["b"].put_off


def test_a_leaked_key_waits_for_nobody_and_holds_nobody_up(service: Service, held: Held) -> None:
    assert service.rotate("b", Request(compromised=True)).code == 0
    held.release()


def test_old_keys_of_who_waits_for_its_turn_die_in_time(
    service: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer comes for `b` when it is due, and so is the end of its old key."""
    held.release()
    assert service.rotate("b").code == 0
    issuer = memory.WORLD.issuer("b")
    assert len(issuer.live) == 2, "the old one is in its grace"
    _hold_the_group(service, "a")
    later = 2 * 86_400.0
    monkeypatch.setattr(SystemClock, "now", lambda _: time.time() + later)
    monkeypatch.setattr(
        SystemClock, "boot", lambda _: (leases.boot_id(), leases.boot_clock() + later)
    )
    report = service.rotate("b", Request(only_if_due=True))
    assert isinstance(report.error, BusyError), "due, and its turn has not come"
    assert len(issuer.live) == 1


def _hold_the_group(service: Service, name: str, held: bool = True) -> None:
    """As a rotation of another process that is under way, or stuck."""
    row = update(tables.rotations).where(tables.rotations.c.playbook == name)
    with service.journal.database.write() as connection:
        connection.execute(row.values(active=held, in_group="payments"))


def test_in_a_daemon_who_waited_is_rotated_by_the_playbook_of_then(
    team: Team, service: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a person mended meanwhile was read by the daemon, not by the work that waits."""
    held.release()
    _hold_the_group(service, "a")
    daemon, waits = team.service(), threading.Event()
    daemon.way = DAEMON

    def holds(name: str) -> bool:
        waits.set()
        return bool(name)

    monkeypatch.setattr(daemon.keeper, "holds", holds)
    reports: list[Report] = []
    due = Request(only_if_due=True)
    waiting = threading.Thread(target=lambda: reports.append(daemon.rotate("b", due)))
    waiting.start()
    assert waits.wait(60)
    text = (team.folder / "playbooks" / "b.yaml").read_text()
    memory.WORLD.cell("mended").values = memory.WORLD.cell("b").values
    (team.folder / "playbooks" / "b.yaml").write_text(text.replace("cell: b", "cell: mended"))
    _hold_the_group(service, "a", False)
    waiting.join(60)
    assert isinstance(reports[0].error, BusyError)
    before = memory.WORLD.cell("b").version
    assert daemon.rotate("b", due).code == 0
    assert memory.WORLD.cell("b").version == before
    assert memory.WORLD.cell("mended").version > 0
    daemon.close()


def test_the_journal_itself_refuses_a_second_one(
    service: Service, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouped, "holder", lambda *_: "")
    report = service.rotate("b")
    assert isinstance(report.error, JournalError)
    with service.journal.database.read() as connection:
        active = connection.execute(select(tables.rotations.c.playbook).where(tables.ACTIVE))
        assert active.scalars().all() == ["a"]
