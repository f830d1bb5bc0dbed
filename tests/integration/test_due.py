"""When the clock rotates: at each call of a timer, once after a gap, by the playbook as
it is now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from rotator.cli import explained, overview, shapes, todos
from rotator.core.order import Order
from rotator.errors import JournalError
from rotator.integrations.memory import world as memory
from rotator.journal import tables, upkeep
from rotator.journal.database import Database
from rotator.settings import Settings
from rotator.usecases import orders
from rotator.usecases.service import Request, Service
from rotator.views.explain import Event, explain
from rotator.views.status import State, status_of
from rotator.views.todo import PERSON
from tests.integration.conftest import Bench, statements
from tests.integration.test_rotation import by_hand, patient
from tests.simulation.simulator import VirtualClock

MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
MIDNIGHT = 1_826_841_600.0  # 2027-11-22 00:00 UTC, a Monday


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """The service's, and the world's; it stands at a midnight."""
    found = VirtualClock(at=MIDNIGHT)
    monkeypatch.setattr(memory.WORLD, "now", found.now)
    bench.service.close()
    bench.service = _service(bench, found)
    return found


def _service(bench: Bench, clock: VirtualClock) -> Service:
    settings = Settings(
        bench.folder, playbooks=(bench.folder / "playbooks",), database_url=bench.url
    )
    return Service(settings, "test", clock=clock)


def _rotated(bench: Bench, clock: VirtualClock, at: float) -> bool:
    """Whether a timer that calls now rotates."""
    before, clock.at = bench.stored, at
    reports, _ = bench.service.due(Request())
    assert all(report.code == 0 for report in reports), reports
    return bench.stored != before


def test_a_schedule_of_the_timers_own_interval_rotates_at_each_of_its_calls(
    bench: Bench, clock: VirtualClock
) -> None:
    """As one saw it: once a minute, a little early or late, each rotation taking a second."""
    bench.playbook(more="schedule: {every: 60s}")
    for late in (0.8, 61.9, 120.7, 180.9, 240.5, 300.7, 360.6):
        assert _rotated(bench, clock, MIDNIGHT + late), late
        clock.at += 1.0
        assert not _rotated(bench, clock, clock.at + 1), "and once in each interval"


def test_a_month_of_sleep_is_one_rotation_and_the_old_times_stay(
    bench: Bench, clock: VirtualClock
) -> None:
    bench.playbook(more="schedule: {every: 1d}")
    assert _rotated(bench, clock, MIDNIGHT)
    assert _rotated(bench, clock, MIDNIGHT + 30 * DAY + 7 * HOUR)
    assert not _rotated(bench, clock, MIDNIGHT + 30 * DAY + 8 * HOUR)
    assert not _rotated(bench, clock, MIDNIGHT + 31 * DAY - HOUR)
    assert _rotated(bench, clock, MIDNIGHT + 31 * DAY + 1)


def test_by_hand_it_counts_from_the_beginning_and_the_next_is_an_interval_later(
    bench: Bench, clock: VirtualClock
) -> None:
    bench.playbook(more="schedule: {every: 1d}")
    assert _rotated(bench, clock, MIDNIGHT)
    clock.at = MIDNIGHT + 10 * HOUR
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + DAY + HOUR)
    assert _rotated(bench, clock, MIDNIGHT + DAY + 10 * HOUR + 1)


def test_by_hand_right_before_a_cron_moment_does_not_stand_for_it(
    bench: Bench, clock: VirtualClock
) -> None:
    """It began before it, whenever it ended."""
    bench.playbook(more='schedule: {cron: "0 3 * * *"}')
    assert _rotated(bench, clock, MIDNIGHT)
    start = memory.WORLD.start

    def slowly(name: str) -> memory.Consumer:
        clock.at += 90
        return start(name)

    clock.at = MIDNIGHT + 3 * HOUR - MINUTE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory.WORLD, "start", slowly)
        patch.setattr(clock, "boot", lambda: ("simulated", clock.at))
        assert bench.service.rotate("one").code == 0
    assert clock.at > MIDNIGHT + 3 * HOUR
    assert _rotated(bench, clock, MIDNIGHT + 3 * HOUR + 5 * MINUTE)
    assert not _rotated(bench, clock, MIDNIGHT + 3 * HOUR + 10 * MINUTE)


def test_one_that_is_rolled_back_stays_due_and_its_time_is_not_moved(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(more="schedule: {every: 1d}")
    assert _rotated(bench, clock, MIDNIGHT)
    accepts, clock.at = memory.Issuer.accepts, MIDNIGHT + DAY
    with monkeypatch.context() as patch:
        patch.setattr(
            memory.Issuer,
            "accepts",
            lambda self, value: value == bench.stored and accepts(self, value),
        )
        reports, _ = bench.service.due(Request())
        assert [report.code for report in reports] != [0]
    for _ in range(20):
        clock.at += HOUR / 4
        bench.service.due(Request())
    assert not _rotated(bench, clock, MIDNIGHT + 2 * DAY - HOUR)
    assert _rotated(bench, clock, MIDNIGHT + 2 * DAY + 1)


def _in_vain(patch: pytest.MonkeyPatch, bench: Bench) -> list[float]:
    """From now on no new key works; the moments at which one was made."""
    accepts, create, made = memory.Issuer.accepts, memory.Issuer.create, []

    def creating(self: memory.Issuer, *given: object, **named: object) -> object:
        made.append(memory.WORLD.now())
        return create(self, *given, **named)  # type: ignore[arg-type]

    patch.setattr(memory.Issuer, "create", creating)
    patch.setattr(
        memory.Issuer, "accepts", lambda self, value: value == bench.stored and accepts(self, value)
    )
    return made


def test_what_failed_is_tried_again_after_an_hour_then_later_each_time_and_never_given_up(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer that calls every quarter of an hour makes one key in each of these waits, not one a call;
    a process that begins anew knows it, too.
    """
    bench.playbook(more="schedule: {every: 30d}")
    with monkeypatch.context() as patch:
        made = _in_vain(patch, bench)
        for call in range(4 * 24 * 7):
            clock.at = MIDNIGHT + call * 15 * MINUTE
            if call % 200 == 199:
                bench.service.close()
                bench.service = _service(bench, clock)
            bench.service.due(Request())
    waits = [(later - earlier) / HOUR for earlier, later in zip(made, made[1:], strict=False)]
    assert [round(wait) for wait in waits[:3]] == [1, 2, 4]
    assert 8 <= waits[3] < 9.3 and 16 <= waits[4] < 18.3
    assert len(waits) >= 7 and all(32 <= wait < 35.6 for wait in waits[5:])
    assert len(bench.live) == 1, "each of them was destroyed"
    assert _rotated(bench, clock, made[-1] + 36 * HOUR)


def test_what_failed_is_tried_again_before_the_key_in_force_ends(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of three hours is replaced after two. One failure then, and the next try an hour later,
    would leave consumers without a key, though its cause was gone after a minute.
    """
    _lives(bench, clock, "3h")
    assert _rotated(bench, clock, MIDNIGHT)
    begins = MIDNIGHT + 2 * HOUR + MINUTE
    with monkeypatch.context() as patch:
        made = _in_vain(patch, bench)
        clock.at = begins
        bench.service.due(Request())
        assert len(made) == 1
    assert not _rotated(bench, clock, begins + 20 * MINUTE), "half of what is left is not over"
    assert _rotated(bench, clock, begins + 34 * MINUTE)


def test_a_key_that_has_ended_is_replaced_as_soon_as_one_that_was_killed(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lives(bench, clock, "3h")
    assert _rotated(bench, clock, MIDNIGHT)
    with monkeypatch.context() as patch:
        _in_vain(patch, bench)
        clock.at = MIDNIGHT + 4 * HOUR
        bench.service.due(Request())
    assert _rotated(bench, clock, MIDNIGHT + 4 * HOUR + 2 * MINUTE)


def test_how_long_a_failure_holds_it_back_is_shown_and_a_change_or_a_person_ends_it(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    with monkeypatch.context() as patch:
        _in_vain(patch, bench)
        bench.service.due(Request())
    clock.at = MIDNIGHT + 10 * MINUTE
    assert not _rotated(bench, clock, clock.at), "not yet"
    status = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    assert status.put_off == "failure" and not status.is_due and status.due is not None
    assert HOUR <= status.due.begins - MIDNIGHT <= 1.1 * HOUR
    assert "it failed, and is tried again 2027-11-22 01:0" in " ".join(overview.cells(status))
    bench.playbook(more="schedule: {every: 30d}\ntags: [mended]")
    assert _rotated(bench, clock, clock.at + 1), "another playbook is another try"
    clock.at += 31 * DAY
    with monkeypatch.context() as patch:
        _in_vain(patch, bench)
        bench.service.due(Request())
    clock.at += MINUTE
    assert bench.service.rotate("one").code == 0, "a person is never held back"
    assert not _rotated(bench, clock, clock.at + DAY)


def _undone_while_it_waited(bench: Bench, clock: VirtualClock) -> None:
    """For a key that a person makes."""
    by_hand(bench)
    bench.service.due(Request())
    assert orders.order(bench.service, "one", Order.UNDO, Request()).code == 0


def _undone_after_its_pivot(bench: Bench, clock: VirtualClock) -> None:
    patient(bench, grace="90d")
    assert _rotated(bench, clock, clock.at)
    assert orders.order(bench.service, "one", Order.UNDO, Request()).code == 0


@pytest.mark.parametrize("undo", [_undone_while_it_waited, _undone_after_its_pivot])
@pytest.mark.parametrize("another_process", [False, True])
def test_what_a_person_undid_no_timer_begins_again(
    bench: Bench,
    clock: VirtualClock,
    undo: Callable[[Bench, VirtualClock], None],
    another_process: bool,
) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    before = bench.stored
    undo(bench, clock)
    assert bench.stored == before
    if another_process:
        bench.service.close()
        bench.service = _service(bench, clock)
    for days in (0.2, 2, 31, 70):
        clock.at = MIDNIGHT + days * DAY
        bench.service.due(Request())
        playbook = bench.service.playbooks().get("one")
        status = status_of(bench.service, "one", playbook)
        assert status.running is None and bench.stored == before, "it waits for a person"
    assert status.put_off == "undone" and not status.is_due
    assert f"due, undone by {bench.service.actor.text}" in overview.cells(status)[-1]
    told = shapes.status(status)
    assert told["put_off"] == "undone" and told["begins"] is None
    why = explain(bench.service, "one")
    assert (Event.ROTATION_ORDERED, None) in [(one.event, one.at) for one in why.next]
    assert any("undone by" in line for _, line in explained.ahead(why))


@pytest.mark.parametrize("undo", [_undone_while_it_waited, _undone_after_its_pivot])
def test_what_a_person_undid_no_timer_begins_again_wherever_it_was_started(
    bench: Bench,
    clock: VirtualClock,
    undo: Callable[[Bench, VirtualClock], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person stands in the playbooks' folder, a service in the root: to them the file has another
    name.
    """
    bench.playbook(more="schedule: {every: 30d}")
    before = bench.stored
    monkeypatch.chdir(bench.folder)
    undo(bench, clock)
    bench.service.close()
    monkeypatch.chdir("/")
    bench.service = _service(bench, clock)
    for days in (0.2, 2, 31, 70):
        clock.at = MIDNIGHT + days * DAY
        bench.service.due(Request())
        status = status_of(bench.service, "one", bench.service.playbooks().get("one"))
        assert status.running is None and bench.stored == before, "it waits for a person"
    assert status.put_off == "undone"


def test_a_person_or_another_playbook_goes_on_after_an_undo(
    bench: Bench, clock: VirtualClock
) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    _undone_after_its_pivot(bench, clock)
    clock.at = MIDNIGHT + 31 * DAY
    assert not _rotated(bench, clock, clock.at)
    with pytest.MonkeyPatch.context() as patch:
        _in_vain(patch, bench)
        assert bench.service.rotate("one").code != 0, "a person's try, which fails by itself"
    assert not _rotated(bench, clock, MIDNIGHT + 31 * DAY + HOUR / 2)
    assert _rotated(bench, clock, MIDNIGHT + 31 * DAY + 2 * HOUR), "a failure like any"
    assert orders.order(bench.service, "one", Order.UNDO, Request()).code == 0
    assert not _rotated(bench, clock, MIDNIGHT + 70 * DAY)
    bench.playbook(more="schedule: {every: 30d}\ntags: [mended]")
    assert _rotated(bench, clock, MIDNIGHT + 71 * DAY), "another playbook is another try"


def test_of_a_key_that_was_never_rotated_nobody_says_since_when_it_is_due(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not since 1970."""
    bench.playbook(more="schedule: {every: 30d}")
    with monkeypatch.context() as patch:
        _in_vain(patch, bench)
        bench.service.due(Request())
    clock.at += MINUTE
    told = shapes.status(status_of(bench.service, "one", bench.service.playbooks().get("one")))
    assert told["put_off"] == "failure" and told["due"] is None
    assert told["begins"].startswith("2027-11-22T01:0")


@pytest.mark.parametrize("another_process", [False, True])
def test_a_clock_that_was_wrong_when_it_failed_holds_it_back_no_longer(
    bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, another_process: bool
) -> None:
    """It stood a month ahead: nobody waits for that month."""
    bench.playbook(more="schedule: {every: 30d}")
    clock.at = MIDNIGHT + 30 * DAY
    with monkeypatch.context() as patch:
        _in_vain(patch, bench)
        bench.service.due(Request())
    assert not _rotated(bench, clock, clock.at + MINUTE)
    if another_process:
        bench.service.close()
        bench.service = _service(bench, clock)
    assert _rotated(bench, clock, MIDNIGHT)


def test_a_schedule_that_changes_holds_at_the_next_call(bench: Bench, clock: VirtualClock) -> None:
    """Whether it was reckoned by this process, or by another one before."""
    bench.playbook(more="schedule: {every: 30d}")
    assert _rotated(bench, clock, MIDNIGHT)
    assert not _rotated(bench, clock, MIDNIGHT + 2 * DAY)
    bench.playbook(more="schedule: {every: 1d}")
    assert _rotated(bench, clock, MIDNIGHT + 2 * DAY + 1)
    bench.playbook(more="schedule: {every: 30d}")
    bench.service.close()
    bench.service = _service(bench, clock)
    assert not _rotated(bench, clock, MIDNIGHT + 4 * DAY)
    bench.playbook()
    assert not _rotated(bench, clock, MIDNIGHT + 400 * DAY), "without one it is on demand"


def test_a_success_of_another_process_is_seen(bench: Bench, clock: VirtualClock) -> None:
    bench.playbook(more="schedule: {every: 1d}")
    assert _rotated(bench, clock, MIDNIGHT)
    assert not _rotated(bench, clock, MIDNIGHT + HOUR)
    other = _service(bench, clock)
    clock.at = MIDNIGHT + 20 * HOUR
    assert other.rotate("one").code == 0
    other.close()
    assert not _rotated(bench, clock, MIDNIGHT + DAY + HOUR)
    assert _rotated(bench, clock, MIDNIGHT + DAY + 20 * HOUR + 1)


@pytest.fixture
def asked(bench: Bench, clock: VirtualClock) -> Iterator[list[str]]:
    with statements(bench.service) as found:
        yield found


def test_a_call_with_nothing_to_do_asks_as_much_of_a_hundred_playbooks_as_of_one(
    bench: Bench, clock: VirtualClock, asked: list[str]
) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    assert _rotated(bench, clock, MIDNIGHT)
    bench.service.due(Request())
    asked.clear()
    bench.service.due(Request())
    of_one = list(asked)
    for number in range(100):
        (bench.folder / "playbooks" / f"more{number}.yaml").write_text(
            (bench.folder / "playbooks" / "one.yaml")
            .read_text()
            .replace("cell: one", f"cell: more{number}")
        )
    with bench.service.journal.database.write() as connection:
        columns = "definition, last_success, current_key, counts_from, reconciled"
        for number in range(100):
            connection.execute(
                text(
                    f"INSERT INTO playbooks (name, {columns}) SELECT 'more{number}', {columns} FROM"
                    " playbooks WHERE name = 'one'"
                )
            )
    bench.service.due(Request())
    asked.clear()
    assert bench.service.due(Request())[0] == []
    assert asked == of_one
    assert not any("state" in statement.split("FROM")[0] for statement in asked), (
        "no state is read to find what is due"
    )


def test_a_rotation_that_waits_in_grace_is_finished_after_the_upgrade(
    tmp_path: Path, memory_world: memory.World
) -> None:
    """By the journal of the version before, which had no due times to ask for, and counted from the
    end.
    """
    bench = Bench(tmp_path, f"sqlite:///{tmp_path}/journal.db")
    path = tmp_path / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1h") + "schedule: {every: 30d}\n")
    assert bench.service.rotate("one").code == 0 and len(bench.live) == 2
    bench.service.close()
    with sqlite3.connect(tmp_path / "journal.db") as old:
        for table in (tables.playbooks, tables.rotations, tables.debts):
            new = [c.name for c in table.columns if c.name in _ADDED]
            for index in table.indexes:
                if index.name in _INDEXES:
                    old.execute(f"DROP INDEX {index.name}")
            for column in new:
                if column != "due" or table is tables.playbooks:
                    old.execute(f"ALTER TABLE {table.name} DROP COLUMN {column}")
        old.execute("INSERT INTO meta VALUES ('reconciled one', '1.5')")
        old.execute("UPDATE alembic_version SET version_num = '0005'")
    with pytest.raises(JournalError, match="version 0005"):
        bench.fresh().due(Request())
    assert upkeep.upgrade(Database(bench.url)) == ("0005", tables.HEAD)
    later = bench.fresh()
    clock = VirtualClock(at=later.clock.now() + 2 * HOUR)
    later.clock = clock
    reports, _ = later.due(Request())
    assert [report.code for report in reports] == [0]
    assert bench.live == [bench.stored]
    with later.journal.database.read() as connection:
        row = connection.execute(text("SELECT counts_from, last_success FROM playbooks")).first()
        assert row is not None and row[0] == row[1]
        assert (
            connection.execute(
                text("SELECT count(*) FROM meta WHERE name LIKE 'reconciled %'")
            ).scalar()
            == 0
        )
    later.close()


def _lives(
    bench: Bench, clock: VirtualClock, life: str, schedule: str = "schedule: {every: 90d}"
) -> None:
    bench.issuer.now = clock.now
    bench.playbook(provider=f", life: {life}", more=schedule)


def test_a_key_that_ends_before_its_next_rotation_is_replaced_after_two_thirds_of_its_life(
    bench: Bench, clock: VirtualClock
) -> None:
    """Else production would stand still for a month, with everything as the playbook says."""
    _lives(bench, clock, "60d")
    assert _rotated(bench, clock, MIDNIGHT)
    assert not _rotated(bench, clock, MIDNIGHT + 40 * DAY - HOUR)
    assert _rotated(bench, clock, MIDNIGHT + 40 * DAY + 1)
    assert not _rotated(bench, clock, MIDNIGHT + 80 * DAY - HOUR)
    assert _rotated(bench, clock, MIDNIGHT + 80 * DAY + 2)


def test_a_key_that_outlives_its_next_rotation_changes_no_schedule(
    bench: Bench, clock: VirtualClock
) -> None:
    _lives(bench, clock, "365d")
    assert _rotated(bench, clock, MIDNIGHT)
    assert not _rotated(bench, clock, MIDNIGHT + 89 * DAY)
    assert _rotated(bench, clock, MIDNIGHT + 90 * DAY)


def test_without_a_schedule_no_timer_rotates_a_key_that_ends_and_status_asks_a_person(
    bench: Bench, clock: VirtualClock
) -> None:
    _lives(bench, clock, "60d", schedule="")
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + 59 * DAY)
    stands = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    (todo,) = todos.worded(stands)
    assert (todo.who, todo.command) == (
        PERSON,
        "rotate one",
    ) and "its key ends 2028-01-21" in todo.what


def test_status_says_when_a_key_ends_and_that_it_is_due_for_that(
    bench: Bench, clock: VirtualClock
) -> None:
    _lives(bench, clock, "60d")
    assert _rotated(bench, clock, MIDNIGHT)
    stands = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    assert stands.due is not None
    assert stands.due.at == pytest.approx(MIDNIGHT + 40 * DAY, abs=5)
    assert [
        line
        for line in overview.details(stands)
        if "its key ends 2028-01-21" in line and "due earlier for that" in line
    ]
    assert shapes.status(stands)["key_ends"].startswith("2028-01-21T")
    explanation = explain(bench.service, "one")
    assert "its key ends in 59 d" in " ".join(explained.facts(explanation))
    assert explanation.next[0].event is Event.ROTATION_BEGINS_FOR_END
    assert "as its key ends" in explained.ahead(explanation)[0][1]
    clock.at = MIDNIGHT + 61 * DAY
    late = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    assert late.state is State.DUE and "its key has ended" in list(overview.details(late))


def test_going_back_to_the_key_before_goes_back_to_its_end(
    bench: Bench, clock: VirtualClock
) -> None:
    """What counts is the key in force, not the one made last."""
    _lives(bench, clock, "60d")
    bench.playbook(provider=", life: 60d", revoke=", grace: 30d", more="schedule: {every: 90d}")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s, ", "", 1))
    assert _rotated(bench, clock, MIDNIGHT)
    clock.at = MIDNIGHT + 20 * DAY
    assert bench.service.rotate("one").code == 0
    assert orders.order(bench.service, "one", Order.UNDO, Request()).code == 0
    stands = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    assert stands.key_ends == pytest.approx(MIDNIGHT + 60 * DAY, abs=60)
    assert stands.due is not None and stands.due.at == stands.renew
    assert stands.due.at == pytest.approx(MIDNIGHT + 40 * DAY, abs=60)


# --- windows, blackouts, jitter ---
_NIGHTS = "schedule: {every: 1d, timezone: Europe/Berlin, window: 'tue-fri 22:00-02:00'%s}"


def _next(bench: Bench) -> str:
    stands = status_of(bench.service, "one", bench.service.playbooks().get("one"))
    return overview.cells(stands)[-1]


def test_a_timer_begins_a_rotation_within_its_window_alone(
    bench: Bench, clock: VirtualClock
) -> None:
    """On a wall clock an hour ahead of UTC: from Tuesday 21:00Z on, until Saturday 01:00Z."""
    bench.playbook(more=_NIGHTS % "")
    assert not _rotated(bench, clock, MIDNIGHT), "never rotated, on a Monday"
    assert _next(bench) == "due, its window opens 2027-11-23 21:00 UTC"
    assert not _rotated(bench, clock, MIDNIGHT + 45 * HOUR - 1)
    assert _rotated(bench, clock, MIDNIGHT + 45 * HOUR)
    assert not _rotated(bench, clock, MIDNIGHT + 2 * DAY), "once"
    assert _rotated(bench, clock, MIDNIGHT + 70 * HOUR), "in the window of Wednesday"
    assert not _rotated(bench, clock, MIDNIGHT + 4 * DAY + 2 * HOUR), "that of Thursday was missed"
    assert _next(bench) == "due, its window opens 2027-11-26 21:00 UTC"
    assert _rotated(bench, clock, MIDNIGHT + 5 * DAY)
    assert not _rotated(bench, clock, MIDNIGHT + 6 * DAY), "a Sunday"


def test_a_person_rotates_whenever_they_want(bench: Bench, clock: VirtualClock) -> None:
    bench.playbook(more=_NIGHTS % ", blackout: {from: 2027-11-01, to: 2027-12-31}")
    assert not _rotated(bench, clock, MIDNIGHT)
    assert bench.service.rotate("one").code == 0


def test_a_window_holds_back_only_so_long(bench: Bench, clock: VirtualClock) -> None:
    bench.playbook(more=_NIGHTS % ", max_overdue: 12h")
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + DAY + 12 * HOUR - MINUTE)
    assert _rotated(bench, clock, MIDNIGHT + DAY + 12 * HOUR + MINUTE)
    bench.playbook(more=_NIGHTS % "" + "\nmax_age: 30h")
    begun = MIDNIGHT + DAY
    assert not _rotated(bench, clock, begun + 30 * HOUR - MINUTE)
    assert _rotated(bench, clock, begun + 30 * HOUR + MINUTE)


def test_a_blackout_holds_back_whatever_is_overdue(bench: Bench, clock: VirtualClock) -> None:
    """Up to the end of its last day, there."""
    more = ", max_overdue: 1h, blackout: [{from: 2027-11-20, to: 2027-11-24}, sat 00:00-24:00]"
    bench.playbook(more=_NIGHTS % more)
    assert not _rotated(bench, clock, MIDNIGHT + 3 * DAY - HOUR - 1)
    told = "due, in the blackout 2027-11-20 to 2027-11-24, until 2027-11-24 23:00 UTC"
    assert _next(bench) == told
    assert _rotated(bench, clock, MIDNIGHT + 3 * DAY - HOUR)


def test_a_key_that_ends_is_held_back_by_no_window(bench: Bench, clock: VirtualClock) -> None:
    _lives(bench, clock, "60d", schedule="")
    bench.playbook(
        provider=", life: 60d",
        more="schedule: {every: 90d, window: 'sun 10:00-11:00'}",
    )
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + 40 * DAY - HOUR)
    assert _rotated(bench, clock, MIDNIGHT + 40 * DAY + HOUR), "a Saturday"


def test_jitter_delays_a_playbook_by_the_same_each_time(bench: Bench, clock: VirtualClock) -> None:
    bench.playbook(more="schedule: {every: 1d, jitter: 12h}")
    book = bench.service.playbooks().get("one")
    due = book.due(MIDNIGHT, MIDNIGHT) if book is not None else None
    assert due is not None and due.at == MIDNIGHT + DAY
    part = due.begins - due.at
    assert 10 * MINUTE < part < 12 * HOUR
    assert bench.service.rotate("one").code == 0
    for day in (1, 2, 3):
        assert not _rotated(bench, clock, MIDNIGHT + day * DAY + part - 6 * MINUTE)
        assert _rotated(bench, clock, MIDNIGHT + day * DAY + part + 5 * MINUTE)


def test_nothing_begins_before_the_day_that_it_may_begin_on(
    bench: Bench, clock: VirtualClock
) -> None:
    bench.playbook(more="schedule: {every: 1d, not_before: 2027-11-25, timezone: America/New_York}")
    assert not _rotated(bench, clock, MIDNIGHT + 3 * DAY + 5 * HOUR - MINUTE)
    assert _next(bench) == "due, not before 2027-11-25 05:00 UTC"
    assert _rotated(bench, clock, MIDNIGHT + 3 * DAY + 5 * HOUR)


def test_what_is_put_off_is_asked_again_when_it_may_begin(
    bench: Bench, clock: VirtualClock
) -> None:
    """And not at each tick: its row says when."""
    bench.playbook(more=_NIGHTS % "")
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + DAY + HOUR)
    assert not _rotated(bench, clock, MIDNIGHT + 3 * DAY + 2 * HOUR)
    with bench.service.journal.database.read() as connection:
        row = connection.execute(text("SELECT due FROM playbooks")).scalar_one()
    assert row == MIDNIGHT + 3 * DAY + 21 * HOUR


_INDEXES = {
    "playbooks_by_due",
    "playbooks_by_reconciled",
    "active_rotations_by_due",
    "active_rotations_by_clock",
    "rotations_that_stand",
    "debts_at_once",
    "open_debts_by_due",
    "open_debts_by_clock",
    "debts_that_stand",
}
_ADDED = {
    "counts_from",
    "schedule",
    "due",
    "reconciled",
    "seen",
    "attention",
    "at_once",
    "ends",
    "renew",
}


def test_a_playbook_that_is_gone_is_begun_by_no_timer(bench: Bench, clock: VirtualClock) -> None:
    """Its row in the journal is due all the same."""
    bench.playbook(more="schedule: {every: 1d}")
    assert bench.service.rotate("one").code == 0
    assert not _rotated(bench, clock, MIDNIGHT + HOUR), "it is reckoned when it will be due"
    path = bench.folder / "playbooks" / "one.yaml"
    text_of_it = path.read_text()
    path.unlink()
    assert not _rotated(bench, clock, MIDNIGHT + 2 * DAY)
    path.write_text(text_of_it)
    assert _rotated(bench, clock, MIDNIGHT + 2 * DAY)
