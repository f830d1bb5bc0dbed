"""Keys of one consumer that are due together restart it once; each is proven by itself."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from rotator.engine import together
from rotator.engine.clock import SystemClock
from rotator.errors import PermanentError, Rejected
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import tables
from rotator.model import Change, Credential, Label, NotYet, Overlap, Progress
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases.report import Report
from rotator.usecases.service import Request, Service

NAMES = ("a", "b", "c")
BOOK = """
generate: {{uses: memory, issuer: {name}}}
store: [{{uses: memory, cell: {name}}}]
restart: [{{uses: memory, consumers: [api]}}]
revoke: {{grace: 1h, quiet: 0s, soak: 0s, watch: 0s}}
limits: {{pass_interval: 1ms, step: {step}, list_lag: 0s{limits}}}
"""


class Api:
    """A consumer that reads all three cells when it starts. `reads` is what it read, each time."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.reads: list[dict[str, str]] = []
        (folder / "playbooks").mkdir()
        for name in NAMES:
            first = memory.WORLD.issuer(name).create("by hand")
            cell = memory.WORLD.cell(name)
            cell.values, cell.version, cell.note = {"key": Secret(first.value)}, 1, None
            self.playbook(name)
        memory.WORLD.consumers["api"] = memory.Consumer("a", started_at=memory.WORLD.now())

    def playbook(self, name: str, limits: str = "", step: str = "30s") -> None:
        text = BOOK.format(name=name, limits=limits, step=step)
        (self.folder / "playbooks" / f"{name}.yaml").write_text(text)

    def service(self) -> Service:
        """A process, so to say."""
        settings = Settings(
            self.folder, playbooks=(self.folder / "playbooks",), database_url=self.url
        )
        return Service(settings, "test")

    def rotate(self, *names: str) -> list[Report]:
        service = self.service()
        try:
            return service.rotate_all(names or NAMES, Request())
        finally:
            service.close()

    def runs_with_its_keys(self) -> None:
        """What it read last is what the stores hold, and each of these keys is live."""
        assert self.reads[-1] == {name: stored(name) for name in NAMES}
        for name in NAMES:
            assert memory.WORLD.issuer(name).accepts(stored(name))


def stored(name: str) -> str:
    return next(iter((memory.WORLD.cell(name).values or {}).values())).reveal()


@pytest.fixture
def api(
    tmp_path: Path, url: str, memory_world: memory.World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Api]:
    found = Api(tmp_path, url)
    start = memory.WORLD.start

    def reads(name: str) -> memory.Consumer:
        found.reads.append({name: stored(name) for name in NAMES})
        return start(name)

    monkeypatch.setattr(memory.WORLD, "start", reads)
    yield found


def test_three_keys_that_are_rotated_together_restart_their_consumer_once(api: Api) -> None:
    assert [report.code for report in api.rotate()] == [0, 0, 0]
    assert len(api.reads) == 1
    api.runs_with_its_keys()
    for name in NAMES:
        assert len(memory.WORLD.issuer(name).live) == 2, "the old one waits out its grace"


def test_of_two_processes_on_one_journal_one_orders_the_restart(api: Api) -> None:
    codes: list[int] = []

    def one(*names: str) -> None:
        codes.extend(report.code for report in api.rotate(*names))

    threads = [threading.Thread(target=one, args=names) for names in (("a", "b"), ("c",))]
    hold = threading.Barrier(2)
    with pytest.MonkeyPatch.context() as patch:
        _meet_before_the_write(patch, hold, ("a", "c"))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert codes == [0, 0, 0]
    assert len(api.reads) == 1
    api.runs_with_its_keys()


def _meet_before_the_write(
    patch: pytest.MonkeyPatch, hold: threading.Barrier, names: tuple[str, ...]
) -> None:
    """Each of these waits for the others before it writes its store."""
    write = MemoryStore.write

    def wait(store: MemoryStore, *arguments: Any) -> str:
        if store.cell in names:
            hold.wait(60)
        return write(store, *arguments)

    patch.setattr(MemoryStore, "write", wait)


def test_who_is_not_waited_for_is_restarted_by_itself(api: Api) -> None:
    """`together: 0s` waits for nobody, and what was ordered before its store was written is not
    taken over.
    """
    for name in NAMES:
        api.playbook(name, ", together: 0s")
    assert [report.code for report in api.rotate("a")] == [0]
    assert [report.code for report in api.rotate("b")] == [0]
    assert len(api.reads) == 2
    assert api.reads[-1]["b"] == stored("b")


def test_the_undo_of_one_is_a_restart_of_its_own_and_the_others_stay(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider refuses the new key of `b` once its consumer has it."""
    api.playbook("b", step="4s")
    refuse_after_the_restart(monkeypatch, api, "b")
    before = stored("b")
    assert {report.playbook: report.code for report in api.rotate()} == {"a": 0, "b": 3, "c": 0}
    assert stored("b") == before
    assert len(api.reads) == 2, "one for the three, one for the way back"
    api.runs_with_its_keys()
    assert len(memory.WORLD.issuer("b").live) == 1


def test_an_undo_follows_a_restart_that_another_one_ordered_after_its_own(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a workload keeps the last change alone: `c` comes while `b` is on its way back."""
    api.playbook("b", step="4s")
    api.playbook("c", ", together: 0s")
    refuse_after_the_restart(monkeypatch, api, "b")
    restart, progress = MemoryRestarter.restart, MemoryRestarter.progress
    marks: list[str] = []
    others = [threading.Thread(target=api.rotate, args=("c",))]

    def marked(restarter: MemoryRestarter, change: Change) -> None:
        marks.append(change.id)
        restart(restarter, change)

    def of_the_last(restarter: MemoryRestarter, change: Change) -> Progress:
        if ".undo." in change.id and others:
            other = others.pop()
            other.start()
            other.join(60)
        found = progress(restarter, change)
        return found if change.id == marks[-1] else replace(found, converged=False)

    monkeypatch.setattr(MemoryRestarter, "restart", marked)
    monkeypatch.setattr(MemoryRestarter, "progress", of_the_last)
    before = stored("b")
    assert [report.code for report in api.rotate("b")] == [3]
    assert not others
    assert stored("b") == before
    assert memory.WORLD.issuer("b").live == ["b-key1"]
    api.runs_with_its_keys()


def test_a_clock_that_is_set_back_after_the_restart_undoes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour: when the consumer started is an hour earlier by that clock, too."""
    for name in ("a", "b"):
        api.playbook(name, step="4s")
    restart, back = MemoryRestarter.restart, [0.0]

    def then_set_back(restarter: MemoryRestarter, change: Change) -> None:
        restart(restarter, change)
        if not back[0]:
            back[0] = 3600.0
            memory.WORLD.consumers["api"].started_at -= back[0]

    monkeypatch.setattr(MemoryRestarter, "restart", then_set_back)
    monkeypatch.setattr(SystemClock, "now", lambda _: time.time() - back[0])
    monkeypatch.setattr(memory.WORLD, "now", lambda: time.time() - back[0])
    codes: list[int] = []

    def rotate() -> None:
        codes.extend(report.code for report in api.rotate("a", "b"))

    rotating = threading.Thread(target=rotate, daemon=True)
    rotating.start()
    rotating.join(30)
    assert codes == [0, 0]
    api.runs_with_its_keys()


def refuse_after_the_restart(monkeypatch: pytest.MonkeyPatch, api: Api, name: str) -> None:
    accepts = memory.Issuer.accepts
    first = stored(name)

    def judged(issuer: memory.Issuer, value: str) -> bool:
        refused = issuer.name == name and value != first and bool(api.reads)
        return not refused and accepts(issuer, value)

    monkeypatch.setattr(memory.Issuer, "accepts", judged)


def test_an_order_that_takes_several_calls_is_taken_over_when_it_is_given(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart = MemoryRestarter.restart
    calls: list[Change] = []

    def in_waves(restarter: MemoryRestarter, change: Change) -> NotYet | None:
        calls.append(change)
        if len(calls) < 3:
            return NotYet(0.01, text="the first wave starts")
        return restart(restarter, change)

    monkeypatch.setattr(MemoryRestarter, "restart", in_waves)
    assert [report.code for report in api.rotate()] == [0, 0, 0]
    assert len(api.reads) == 1
    assert len({change.id for change in calls}) == 1
    api.runs_with_its_keys()


def test_a_restart_that_was_refused_is_nobodys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for it orders one itself."""
    restart = MemoryRestarter.restart
    refused: list[str] = []

    def once(restarter: MemoryRestarter, change: Change) -> None:
        if not refused:
            refused.append(change.id)
            raise PermanentError("no")
        restart(restarter, change)

    monkeypatch.setattr(MemoryRestarter, "restart", once)
    codes = sorted(report.code for report in api.rotate())
    assert codes == [0, 0, 3]
    api.runs_with_its_keys()


class Died(BaseException):
    """As if the process had ended there."""


def _dies(*_: object) -> None:
    raise Died


def test_an_order_whose_answer_was_never_written_down_is_given_once_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between the restart and the journal; the consumer has the key already."""

    with monkeypatch.context() as patch:
        patch.setattr(together.roll_outs, "ordered", _dies)
        with pytest.raises(Died):
            api.rotate("a")
    assert len(api.reads) == 1
    assert [report.code for report in api.rotate()] == [0, 0, 0]
    api.runs_with_its_keys()


def test_a_leaked_key_waits_for_nobody(api: Api) -> None:
    service = api.service()
    waited: list[str] = []

    def seen(unit: object, call: object, performed: Any, took: float) -> None:
        text = getattr(getattr(performed, "result", None), "text", "")
        waited.append(text) if text.startswith("waits for") else None

    service.observe = seen
    hold = threading.Barrier(2)
    with pytest.MonkeyPatch.context() as patch:
        _meet_before_the_write(patch, hold, ("b", "test"))
        other = threading.Thread(target=api.rotate, args=("b",))
        other.start()
        report = service.rotate("a", Request(compromised=True, wait=True))
        hold.wait(60)
        other.join(60)
    service.close()
    assert report.code == 0
    assert not waited
    assert api.reads[-1]["b"] == stored("b")


def test_who_is_without_a_key_until_the_restart_waits_for_nobody(api: Api) -> None:
    """The provider ends the old key when it makes the new one."""
    memory.WORLD.issuer("a").overlap = Overlap.NONE
    text = BOOK.format(name="a", limits=", together: 25s", step="60s")
    text = text.replace("issuer: a", "issuer: a, overlap: none")
    (api.folder / "playbooks" / "a.yaml").write_text(f"{text}allow_downtime: true\n")
    hold = threading.Event()
    write = MemoryStore.write

    def waits(store: MemoryStore, *arguments: Any) -> str:
        if store.cell == "b":
            assert hold.wait(60)
        return write(store, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStore, "write", waits)
        other = threading.Thread(target=api.rotate, args=("b",))
        other.start()
        begun = time.monotonic()
        assert [report.code for report in api.rotate("a")] == [0]
        took = time.monotonic() - begun
        hold.set()
        other.join(60)
    assert took < 20.0, "not the 25 s for which others are waited for"
    api.runs_with_its_keys()


@pytest.mark.parametrize("raises", [False, True])
def test_where_nobody_names_the_thing_each_restarts_for_itself(
    api: Api, monkeypatch: pytest.MonkeyPatch, raises: bool
) -> None:
    def unnamed(restarter: MemoryRestarter) -> str | None:
        if raises:
            raise Rejected("who asks?")
        return None

    monkeypatch.setattr(MemoryRestarter, "shared_as", unnamed)
    assert [report.code for report in api.rotate()] == [0, 0, 0]
    api.runs_with_its_keys()
    service = api.service()
    with service.journal.database.read() as connection:
        assert not connection.execute(select(tables.sharers)).all()
    service.close()


def test_a_service_of_many_parts_fits_the_columns_and_indexes_of_its_names(api: Api) -> None:
    """PostgreSQL takes no longer ones, and no rotation would begin."""
    parts = [f"service-number-{number:04d}-of-many" for number in range(200)]
    for part in parts:
        memory.WORLD.consumers[part] = memory.Consumer("a", started_at=memory.WORLD.now())
    for name in ("a", "b"):
        text = BOOK.format(name=name, limits="", step="30s").replace("[api]", f"{parts}")
        (api.folder / "playbooks" / f"{name}.yaml").write_text(text)
    assert [report.code for report in api.rotate("a", "b")] == [0, 0]
    assert len(api.reads) == len(parts), "once for both"
    service = api.service()
    with service.journal.database.read() as connection:
        rows = connection.execute(select(tables.sharers.c.name, tables.sharers.c.consumer)).all()
    service.close()
    assert rows
    assert all(len(row.name) <= 300 and len(row.consumer) <= 300 for row in rows)


def test_what_a_newer_rotator_wrote_of_another_rotation_fails_none(api: Api) -> None:
    """Its process is about to restart the same, in a phase that this version does not know."""

    def dies(provider: MemoryProvider, label: Label, like: Credential | None) -> Credential:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryProvider, "generate", dies)
        with pytest.raises(Died):
            api.rotate("b")
    service, row = api.service(), tables.rotations.c
    with service.journal.database.write() as connection:
        state = func.replace(row.state, '"phase":"generate"', '"phase":"of tomorrow"')
        connection.execute(update(tables.rotations).where(row.playbook == "b").values(state=state))
    service.close()
    assert [report.code for report in api.rotate("a")] == [0]
    assert api.reads[-1]["a"] == stored("a")


def test_names_that_never_come_again_are_forgotten_with_what_ended(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a container which is another one each time."""
    count = itertools.count()
    monkeypatch.setattr(MemoryRestarter, "shared_as", lambda _: f"api of {next(count)}")
    for _ in range(3):
        assert [report.code for report in api.rotate("a")] == [0]
    service = api.service()
    with service.journal.database.read() as connection:
        sharers = connection.execute(select(tables.sharers.c.rotation)).scalars().all()
        orders = connection.execute(select(tables.roll_outs.c.n)).scalars().all()
    service.close()
    assert len(set(sharers)) == 1, "of the last rotation alone"
    assert len(orders) <= 2


def test_what_has_ended_is_forgotten_and_the_newest_order_stays(api: Api) -> None:
    """The journal does not grow by restarts."""
    for _ in range(3):
        api.rotate()
    service = api.service()
    with service.journal.database.read() as connection:
        sharers = connection.execute(select(tables.sharers.c.playbook)).scalars().all()
        orders = connection.execute(select(tables.roll_outs.c.n)).scalars().all()
    service.close()
    assert len(sharers) == len(set(sharers)) <= len(NAMES)
    assert len(orders) <= 2
