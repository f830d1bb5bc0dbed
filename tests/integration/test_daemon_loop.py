"""The daemon's loop in one process: what it does where its surroundings fail."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rotator.daemon import loop as loop_module
from rotator.daemon.log import Log
from rotator.daemon.loop import Loop
from rotator.daemon.reloads import Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.daemon.telling import Telling
from rotator.engine.keeper import Keeper
from rotator.errors import ConfigError, JournalError
from rotator.integrations.memory import world as memory
from rotator.journal import tables
from rotator.journal.journal import Journal
from rotator.notices.outbox import Outbox
from rotator.playbook.directory import Loaded
from rotator.settings import Settings
from rotator.usecases import due, rotate, runtime
from rotator.views.status import status_of
from tests.integration.conftest import Bench

SCHEDULE = "schedule: {every: 30d}"
ALL_DAY = "00:00-24:00"


class Heard(Log):
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("debug", "json")
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def say(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append((level, event, fields))

    def texts(self, level: str) -> list[str]:
        return [event for of, event, _ in self.lines if of == level]


class Told(Supervisor):
    """A supervisor that keeps what it is told, but for signs of life."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def tell(self, *lines: str) -> None:
        if lines[0] != "WATCHDOG=1":
            self.lines.append(lines[0])


class Running:
    """A loop in a thread of its own."""

    def __init__(self, bench: Bench, settings: Callable[[], Settings] | None = None) -> None:
        self.bench, self.log, self.supervisor = bench, Heard(), Told()
        self.service = bench.fresh()
        self.settings = settings or (lambda: self.service.settings)
        reloads = Reloads(
            self.service.settings,
            self.service.directory,
            self.service.clock.now,
            lambda: self.settings(),
        )
        self.loop = Loop(self.service, reloads, self.log, self.supervisor)
        self.thread = threading.Thread(target=self.loop.run, daemon=True)

    def start(self) -> Running:
        self.thread.start()
        return self

    def stop(self) -> None:
        self.loop.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.service.close()

    def until(self, what: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.log.lines[-10:]
            assert self.thread.is_alive(), "the loop has died"
            time.sleep(0.01)

    def turns(self, number: int = 3) -> None:
        """So many further turns."""
        for _ in range(number):
            before = self.loop.turned
            self.until(lambda: self.loop.turned > before)  # noqa: B023


@pytest.fixture
def bench(
    tmp_path: Path, memory_world: memory.World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A playbook with a schedule, never rotated; the loop turns quickly."""
    monkeypatch.setattr(loop_module, "LOOK", 0.02)
    monkeypatch.setattr(loop_module, "_SHARE", 1)
    found = Bench(tmp_path, f"sqlite:///{tmp_path / 'journal.db'}")
    found.playbook(more=SCHEDULE)
    yield found
    found.service.close()


@pytest.fixture
def running(bench: Bench) -> Iterator[Running]:
    found = Running(bench)
    yield found
    if found.thread.is_alive():
        found.stop()


def _rotated(bench: Bench) -> Callable[[], bool]:
    before = bench.stored
    return lambda: bench.stored != before


def test_it_rotates_what_is_due_and_then_finds_nothing(running: Running) -> None:
    """A tick that finds nothing begins nothing, and is a good one."""
    rotated = _rotated(running.bench)
    running.start().until(rotated)
    running.until(lambda: not running.loop.under_way)
    key, ticked = running.bench.stored, running.loop.ticked
    running.loop.reload()
    running.until(lambda: running.loop.ticked != ticked)
    running.turns()
    assert running.bench.stored == key and running.loop.under_way == 0
    assert not running.log.texts("error")


def test_a_journal_that_cannot_be_read_is_told_once_and_is_back(
    running: Running, bench: Bench
) -> None:
    """It is tried again by itself; what was due meanwhile is begun then."""
    rotated = _rotated(bench)
    with running.service.journal.database.write() as connection:
        connection.execute(text("ALTER TABLE playbooks RENAME TO away"))
    running.start().until(lambda: running.loop.tick_error)
    running.turns(120)
    told = [line for line in running.log.texts("error") if line == "no look at what is due"]
    assert len(told) == 1 and running.loop.ticked is None
    assert "READY=1" not in running.supervisor.lines
    with running.service.journal.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO playbooks"))
    running.until(rotated, 20)
    assert running.loop.tick_error == "" and "READY=1" in running.supervisor.lines


def test_a_journal_that_goes_away_later_is_told_to_be_back(running: Running, bench: Bench) -> None:
    running.start().until(_rotated(bench))
    running.until(lambda: not running.loop.under_way)
    with running.service.journal.database.write() as connection:
        connection.execute(text("ALTER TABLE playbooks RENAME TO away"))
    running.until(lambda: running.loop.tick_error)
    with running.service.journal.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO playbooks"))
    running.until(lambda: "it looks again what is due" in running.log.texts("info"), 20)


def test_it_is_not_ready_where_the_journal_can_be_read_and_not_be_written(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, a lock of others: nothing is begun, and whoever waits for it is told."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    from rotator.daemon.web import _missing

    running.start().until(_rotated(bench))
    running.until(lambda: not running.loop.under_way and not _missing(running.loop))

    def full(_: object) -> None:
        raise JournalError("the journal cannot be written: disk is full", "free some space")

    with monkeypatch.context() as patch:
        patch.setattr(due, "ticked", full)
        running.loop.reload()
        running.until(lambda: running.loop.tick_error)
        assert _missing(running.loop) == ["the journal cannot be written: disk is full"]
    running.until(lambda: not _missing(running.loop), 20)


def test_a_mistake_in_a_work_is_told_and_tried_again_after_a_change(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw ends the work on one playbook, not the daemon."""
    rotated, begun = _rotated(bench), list[str]()
    right = rotate.rotating

    def wrong(runtime: Any, name: str, *more: Any) -> Any:
        begun.append(name)
        raise ZeroDivisionError("by nothing")
        yield

    monkeypatch.setattr(loop_module, "rotating", wrong)
    running.start().until(lambda: begun and not running.loop.under_way)
    running.turns(10)
    assert begun == ["one"], "not before its wait is over"
    [line] = [fields for of, _, fields in running.log.lines if of == "error"]
    assert line["playbook"] == "one" and line["then"] == "tried again in 60 s"
    [told] = running.log.texts("error")
    assert told.startswith("internal: ZeroDivisionError: by nothing (test_daemon_loop.py:")
    monkeypatch.setattr(loop_module, "rotating", right)
    bench.playbook(more=f"{SCHEDULE}\ntags: [changed]")
    running.until(rotated)


def test_a_wrong_setting_of_a_playbook_is_tried_again_later_and_after_a_reload(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ConfigError that no reading of the files shows: later each time, and at once after
    a reload.
    """
    rotated, right, now = _rotated(bench), rotate.rotating, [time.monotonic()]
    begun: list[float] = []

    def wrong(runtime: Any, name: str, *more: Any) -> Any:
        begun.append(now[0])
        yield 0.0
        raise ConfigError("DEMO_ADMIN_KEY is not set", "set it")

    monkeypatch.setattr(loop_module, "rotating", due_error(wrong))
    running.start().until(lambda: running.log.texts("error"))
    running.turns(10)
    assert len(begun) == 1
    for number, seconds in enumerate((120, 240), 2):
        running.loop._waits["one"].until = 0.0  # that time has passed
        running.loop._next_tick = 0.0
        running.until(lambda: len(running.log.texts("error")) == number)  # noqa: B023
        told = [fields["then"] for of, _, fields in running.log.lines if of == "error"]
        assert told[-1] == f"tried again in {seconds} s"
    monkeypatch.setattr(loop_module, "rotating", right)
    running.loop.reload()
    running.until(rotated)


def due_error(work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, its error in the report, as `rotating` has it."""
    from rotator.core.action import Finish
    from rotator.errors import RotatorError
    from rotator.usecases.report import Report

    def reporting(runtime: Any, name: str, *more: Any) -> Any:
        try:
            return (yield from work(runtime, name, *more))
        except RotatorError as error:
            return Report(name, None, (), Finish(None), error, 0.0)

    return reporting


def test_settings_that_were_changed_hold_from_the_next_start(running: Running) -> None:
    running.start().until(lambda: running.loop.ticked)
    now = running.service.settings
    running.settings = lambda: replace(now, log_level="debug", audit_export="cat")
    running.until(lambda: running.log.texts("warning"))
    running.turns()
    assert running.log.texts("warning") == [
        "settings were changed that hold from the next start: log_level, audit_export"
    ]
    assert running.loop.reloads.last.good and running.loop.runtime.settings is now


def test_blackouts_of_the_settings_hold_at_once(running: Running, bench: Bench) -> None:
    """They stop what is due without a restart, and let it go on; no other setting does."""
    now, rotated = running.service.settings, _rotated(bench)
    running.settings = lambda: replace(now, blackout=(ALL_DAY,))
    running.loop.reloads.again()
    running.start().until(lambda: running.loop.ticked)
    running.turns()
    assert not rotated()
    running.settings = lambda: replace(now, blackout=({"from": "2020-01-01", "to": "2020-01-02"},))
    running.until(rotated)
    assert not running.log.texts("warning")


def test_a_calendar_is_read_again_when_it_changes_and_holds_back_while_it_is_broken(
    running: Running, bench: Bench
) -> None:
    pytest.importorskip("icalendar")
    calendar, rotated = bench.folder / "freeze.ics", _rotated(bench)
    empty = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//\r\n{}END:VCALENDAR\r\n"
    event = "BEGIN:VEVENT\r\nUID:1\r\nDTSTART:{}\r\nDURATION:P1W\r\nSUMMARY:audit\r\nEND:VEVENT\r\n"
    today = time.strftime("%Y%m%dT000000Z", time.gmtime())
    now = running.service.settings
    running.settings = lambda: replace(now, blackout=({"calendar": str(calendar)},))
    running.loop.reloads.again()
    assert not running.loop.reloads.last.good, "it is not there"
    running.start().until(lambda: running.loop.ticked)
    calendar.write_text(empty.format(event.format(today)))
    running.until(lambda: running.loop.reloads.last.good)
    running.turns()
    status = status_of(running.service, "one", running.service.playbooks().playbooks["one"])
    assert status.put_off == "blackout" and status.due is not None
    assert status.due.blackout == "audit (freeze.ics)"
    calendar.write_text(empty.format(event.format(today))[:-20])
    running.until(lambda: not running.loop.reloads.last.good)
    running.turns()
    assert not rotated(), "what cannot be read is no leave to begin"
    assert running.service.rotate("one").code == 0, "a person is not held back"
    calendar.write_text(empty.format(""))
    running.until(lambda: running.loop.reloads.last.good)


def test_settings_that_are_broken_show_and_rotations_go_on(running: Running, bench: Bench) -> None:
    """A start would fail: the gauge says so before the next start."""
    pytest.importorskip("prometheus_client")
    from rotator.daemon.metrics import Metrics

    def broken() -> Settings:
        raise ConfigError("rotator.toml: unknown setting 'hme'", "known are home")

    rotated = _rotated(bench)
    running.settings = broken
    metrics = Metrics(running.loop)
    running.start().until(rotated)
    running.loop.reload()
    line = "rotator_config_last_reload_successful"
    assert f"\n{line} 0.0\n" in metrics.text()
    assert "rotator.toml: unknown setting 'hme'" in running.log.texts("error")
    running.settings = lambda: running.service.settings
    running.until(lambda: f"\n{line} 1.0\n" in metrics.text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log_level": "loud"}, "no 'loud'"),
        ({"log_format": "xml"}, "no 'xml'"),
        ({"database_url": "mysql://there"}, "is of mysql"),
        ({"database_url": "journal.db"}, "is no URL"),
    ],
)
def test_settings_that_the_next_start_would_refuse_show_now(
    bench: Bench, change: dict[str, str], words: str
) -> None:
    settings = bench.service.settings
    reloads = Reloads(
        settings, bench.service.directory, time.time, lambda: replace(settings, **change)
    )
    assert words in reloads.last.of_settings and not reloads.last.good


def test_a_reload_while_it_looks_what_is_due_is_not_lost(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A playbook that came meanwhile is begun at once, not a minute later."""
    looks, go_on, right = list[float](), threading.Event(), due.names_due

    def slow(*arguments: Any, **more: Any) -> set[str]:
        found = right(*arguments, **more)
        looks.append(time.monotonic())
        go_on.wait(10)
        return found

    running.start().until(_rotated(bench))
    running.until(lambda: not running.loop.under_way)
    running.turns(50)  # nothing of it is left to be reckoned
    monkeypatch.setattr(due, "names_due", slow)
    running.loop.reload()
    running.until(lambda: looks)
    two = Bench(bench.folder, bench.url, "two")
    two.playbook(more=SCHEDULE)
    rotated = _rotated(two)
    running.loop.reload()
    go_on.set()
    running.until(rotated)
    two.service.close()


def test_what_nobody_foresaw_in_a_look_does_not_end_it(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated, right = _rotated(bench), due.names_due

    def wrong(*_: Any, **__: Any) -> set[str]:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(due, "names_due", wrong)
    running.start().until(lambda: running.loop.tick_error)
    running.turns(5)
    assert running.log.texts("error") == ["no look at what is due"]
    monkeypatch.setattr(due, "names_due", right)
    running.until(rotated, 20)


def test_files_whose_reading_fails_leave_what_was_read_last(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rotated = _rotated(bench)
    running.start().until(lambda: running.loop.ticked)

    def wrong() -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr(running.loop.reloads, "look", wrong)
    running.until(lambda: running.log.texts("error"))
    running.turns(5)
    assert running.log.texts("error") == ["files were not read again"]
    running.until(rotated)


def test_leases_of_one_process_have_one_keeper(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Works that begin at the same moment do not open one each."""
    made, right = list[str](), Keeper.__init__

    def slowly(self: Keeper, *arguments: Any) -> None:
        made.append(threading.current_thread().name)
        time.sleep(0.1)
        right(self, *arguments)

    benches = [Bench(bench.folder, bench.url, f"more-{number}") for number in range(6)]
    for one in benches:
        one.playbook(more=SCHEDULE)
    first = {one.name: one.stored for one in benches}
    monkeypatch.setattr(Keeper, "__init__", slowly)
    running = Running(bench).start()
    for one in benches:
        running.until(lambda: len(one.live) == 1 and one.stored != first[one.name])  # noqa: B023
    running.stop()
    assert len(made) == 1
    for one in benches:
        one.service.close()


def test_threads_that_open_the_journal_at_once_have_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a database that was away comes back: the loop, notices and scrapes wait for it."""
    together, right = threading.Barrier(3, timeout=20), runtime.open_journal
    opened, got = list[Journal](), list[Journal]()

    def slowly(*arguments: Any) -> Journal:
        opened.append(right(*arguments))
        together.wait()
        return opened[-1]

    monkeypatch.setattr(runtime, "open_journal", slowly)
    service = bench.fresh()
    threads = [threading.Thread(target=lambda: got.append(service.journal)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(opened) == len(got) == 3
    assert {id(one) for one in got} == {id(service.journal)}
    with service.journal.database.read() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    service.close()


def test_an_audit_log_that_is_not_taken_outside_is_told(bench: Bench) -> None:
    """Once for each cause, while it runs: nobody sees its end."""
    bench.service.close()
    running = Running(bench)
    running.service.settings = replace(running.service.settings, audit_export="exit 3")
    running.start()
    running.until(lambda: running.log.texts("error"))
    running.turns(5)
    running.stop()
    assert running.log.texts("error") == ["the audit log was not taken outside"]


def test_a_process_stops_although_its_journal_is_gone(running: Running, bench: Bench) -> None:
    """Leases that cannot be given back end by themselves."""
    running.service.keeper.take("one")
    running.start().until(lambda: running.loop.ticked)
    with running.service.journal.database.write() as connection:
        connection.execute(text("DROP TABLE leases"))
    running.stop()


_SIGNALLED = """
import signal, threading, time
from types import SimpleNamespace
from rotator.daemon.loop import Loop
from rotator.engine.clock import SystemClock

loop = Loop(SimpleNamespace(clock=SystemClock(), stopping=threading.Event()), None, None, None)
turns, end = 0, time.monotonic() + 2
signal.signal(signal.SIGALRM, lambda *_: loop.read_again())
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
while time.monotonic() < end:
    loop.pause()
    turns += 1
print(turns)
"""


def test_signals_at_any_instant_of_a_turn_leave_it_turning() -> None:
    """A handler runs between any two instructions of the loop, and takes no lock that it holds."""
    ended = subprocess.run(
        [sys.executable, "-c", _SIGNALLED], capture_output=True, text=True, timeout=30
    )
    assert int(ended.stdout) > 100, ended.stderr


def test_a_journal_that_was_moved_away_is_written_no_more(running: Running, bench: Bench) -> None:
    """SQLite would go on in the file that nobody finds again; what was due is begun once it is
    back.
    """
    running.start().until(_rotated(bench))
    running.until(lambda: not running.loop.under_way)
    aside = bench.folder / "aside"
    aside.mkdir()
    files = sorted(bench.folder.glob("journal.db*"))
    for file in files:
        file.rename(aside / file.name)
    running.loop.reload()
    running.until(lambda: "is gone" in running.loop.tick_error)
    with pytest.raises(JournalError, match="is gone"), running.service.journal.database.write():
        pass
    assert not list(bench.folder.glob("journal.db*")), "no other one is made in its place"
    (bench.folder / "journal.db").touch()
    with pytest.raises(JournalError, match="another file"), running.service.journal.database.read():
        pass
    for file in files:
        (aside / file.name).rename(file)
    running.until(lambda: not running.loop.tick_error, 20)


def test_a_process_without_a_free_connection_says_so(running: Running) -> None:
    """It is an error of the journal's like others, for which nothing ends."""
    database = running.service.journal.database
    running.service.journal.database.engine.pool._timeout = 0.1  # type: ignore[attr-defined]
    with contextlib.ExitStack() as held, pytest.raises(JournalError, match="all connections"):
        for _ in range(100):
            held.enter_context(database.read())
    with database.read():
        pass


def test_files_are_looked_at_soon_after_they_were_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them takes long, looking whether they changed does not."""
    right = bench.service.directory.load
    slow = [0.4]

    def load() -> Loaded:
        time.sleep(slow.pop() if slow else 0)
        return right()

    monkeypatch.setattr(bench.service.directory, "load", load)
    service = bench.service
    reloads = Reloads(
        service.settings, service.directory, service.clock.now, lambda: service.settings
    )
    time.sleep(0.1)
    bench.playbook(more=f"{SCHEDULE}\ntags: [changed]")
    assert reloads.look()


def test_a_log_whose_disk_was_full_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are lost while it is; a line of other people's words stays one line."""
    right, full = os.write, [False]

    def write(fd: int, data: bytes) -> int:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return right(fd, data)

    with (tmp_path / "log").open("w") as file:
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setattr(os, "write", write)
        log = Log("INFO", "text")
        log.info("before")
        full[0] = True
        log.error("meanwhile")
        full[0] = False
        log.error("is no YAML:\n  line 2", hint="a\nb")
    before, after = (tmp_path / "log").read_text().split("\n\n")
    assert before.endswith("before") and "meanwhile" not in after
    assert "is no YAML:   line 2" in after and after.count("\n") == 1


def test_a_journal_that_was_upgraded_beneath_it_is_left_alone_and_that_is_told(
    running: Running, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer rotator may rest on what this one does not write."""
    running.start().until(lambda: running.loop.ticked is not None)
    version, database = text("UPDATE alembic_version SET version_num = :to"), bench.service.journal
    with database.database.write() as connection:
        connection.execute(version, {"to": "9999"})
    before = bench.stored
    bench.playbook(more=SCHEDULE)
    running.until(lambda: "of version 9999" in running.loop.tick_error)
    assert bench.stored == before
    telling = Telling(running.service, lambda: running.loop.reloads.last.loaded, running.log)
    looks = list[None]()
    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "look", lambda *_: looks.append(None))
        telling.start()
        running.until(lambda: "nobody is told of anything" in running.log.texts("error"))
        telling.stop()
    assert not looks, "what the newer one has told would be told again"
    with database.database.write() as connection:
        connection.execute(version, {"to": tables.HEAD})
    running.until(lambda: bench.stored != before)
