"""What the daemon's metrics say of each state of a playbook; that they end with it; and that what
is asked does not grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from rotator.core.order import Order
from rotator.daemon.families import FAMILIES, PREFIX, Kind, Source
from rotator.daemon.log import Log
from rotator.daemon.loop import Loop
from rotator.daemon.metrics import Metrics
from rotator.daemon.reloads import Reloads
from rotator.daemon.supervisor import Supervisor
from rotator.errors import PermanentError, Rejected, TransientError
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.probe import MemoryProbe
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import pauses
from rotator.model import Credential
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases import orders, pause
from rotator.usecases.service import Request, Service
from rotator.views.status import status_of
from tests.integration.conftest import Bench, statements
from tests.simulation.simulator import VirtualClock

HOUR, DAY = 3_600.0, 86_400.0
MIDNIGHT = 1_826_841_600.0  # 2027-11-22 00:00 UTC
SCHEDULE = "schedule: {every: 30d}"
_OF = '{playbook="one"}'
_LAST, _DUE = (
    f"rotator_key_last_rotation_timestamp_seconds{_OF}",
    f"rotator_key_next_due_timestamp_seconds{_OF}",
)
_OVERDUE, _ATTENTION = (
    f"rotator_key_overdue_timestamp_seconds{_OF}",
    f"rotator_needs_attention{_OF}",
)
_BEGAN, _RETRY = (
    f"rotator_rotation_began_timestamp_seconds{_OF}",
    f"rotator_rotation_retry_timestamp_seconds{_OF}",
)
_FAILING, _IN_USE = (
    f"rotator_verify_failing_timestamp_seconds{_OF}",
    f"rotator_old_key_in_use_timestamp_seconds{_OF}",
)
_PAUSE = f"rotator_pause_ends_timestamp_seconds{_OF}"


class Daemon:
    """A daemon's metrics without its loop: the clock is turned by hand."""

    def __init__(self, bench: Bench, clock: VirtualClock) -> None:
        settings = Settings(
            bench.folder, playbooks=(bench.folder / "playbooks",), database_url=bench.url
        )
        bench.service.close()
        self.service = bench.service = Service(settings, "daemon", clock=clock)
        self._reloads = Reloads(settings, self.service.directory, clock.now, lambda: settings)
        loop = Loop(self.service, self._reloads, Log("error", "json"), Supervisor())
        self.metrics = Metrics(loop)
        self.service.listeners.add(self.metrics.counts)

    def scrape(self) -> dict[str, float]:
        """Value of each series, named as it stands there, after the files were read again."""
        self._reloads.again()
        lines = [line for line in self.metrics.text().splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (one.rpartition(" ") for one in lines)}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    found = VirtualClock(at=MIDNIGHT)
    monkeypatch.setattr(memory.WORLD, "now", found.now)
    return found


@pytest.fixture
def daemon(bench: Bench, clock: VirtualClock) -> Daemon:
    bench.playbook(more=SCHEDULE)
    return Daemon(bench, clock)


def _revoke(bench: Bench, how: str) -> None:
    """How old keys of the playbook go from now on."""
    path = bench.folder / "playbooks" / "one.yaml"
    none = {"grace": "0s", "quiet": "0s", "soak": "0s", "watch": "0s"}
    text = path.read_text()
    for setting in how.split(", "):
        name = setting.partition(":")[0]
        usual = f"{name}: {none[name]}" if name in none else "watch: 0s"
        text = text.replace(usual, setting if name in none else f"{usual}, {setting}")
    path.write_text(text)


def _of(found: dict[str, float], name: str = "one") -> set[str]:
    return {series for series in found if f'playbook="{name}"' in series}


def test_a_key_is_told_by_times_from_before_its_first_rotation_on(
    daemon: Daemon, clock: VirtualClock
) -> None:
    seen = daemon.scrape()
    assert MIDNIGHT < seen[_DUE] < MIDNIGHT + 1 and seen[_OVERDUE] == seen[_DUE] + DAY
    clock.at = MIDNIGHT + HOUR
    assert daemon.scrape()[_DUE] == seen[_DUE], "since it was first seen, not since now"
    daemon.service.due(Request())
    clock.at += 60
    daemon.service.due(Request())
    found = daemon.scrape()
    assert MIDNIGHT + HOUR < found[_LAST] < MIDNIGHT + HOUR + 60
    assert 30 * DAY - 60 < found[_DUE] - found[_LAST] <= 30 * DAY
    assert found[_OVERDUE] == found[_DUE] + DAY and found[_ATTENTION] == 0
    assert not {_BEGAN, _RETRY, _FAILING, _IN_USE, _PAUSE} & found.keys()


def test_what_is_counted_is_there_at_zero_before_it_happens(daemon: Daemon) -> None:
    """Prometheus sees no increase of a series that was not there."""
    verified = 'rotator_rotations_total{outcome="verified",playbook="one"}'
    attempts = 'rotator_attempts_total{result="done",step="generate"}'
    before = daemon.scrape()
    assert before[verified] == before[attempts] == 0
    assert daemon.service.rotate("one").code == 0
    after = daemon.scrape()
    assert after[verified] == 1 and after[attempts] > 0
    assert {name for name in after if name.startswith("rotator_attempts_total")} == {
        name for name in before if name.startswith("rotator_attempts_total")
    }, "no step and no result is missing at the start"
    assert after['rotator_step_duration_seconds_count{step="verify"}'] >= 1


def test_a_failure_is_told_until_it_has_succeeded(
    daemon: Daemon, bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepts = memory.Issuer.accepts
    with monkeypatch.context() as patch:
        patch.setattr(
            memory.Issuer,
            "accepts",
            lambda self, value: value == bench.stored and accepts(self, value),
        )
        daemon.service.due(Request())
        daemon.service.due(Request())
    found = daemon.scrape()
    assert HOUR <= found[_RETRY] - MIDNIGHT <= 1.2 * HOUR and found[_DUE] == found[_RETRY]
    assert abs(found[_OVERDUE] - (MIDNIGHT + DAY)) < 60, "since it was begun first"
    assert found['rotator_rotations_total{outcome="rolled back",playbook="one"}'] == 1
    clock.at = found[_RETRY] + 1
    daemon.service.due(Request())
    daemon.service.due(Request())
    assert _RETRY not in daemon.scrape()


def test_what_puts_it_off_is_told_with_its_end(
    daemon: Daemon, bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> dict[str, float]:
        found = daemon.scrape()
        return {one: found[one] for one in found if one.startswith(PREFIX + "put_off_until")}

    def series(reason: str, blackout: str = "") -> str:
        labels = f'blackout="{blackout}",playbook="one",reason="{reason}"'
        return f"rotator_put_off_until_timestamp_seconds{{{labels}}}"

    assert told() == {}
    bench.playbook(more="schedule: {every: 30d, blackout: 'mon 00:00-06:00'}")
    assert told() == {series("blackout", "mon 00:00-06:00"): MIDNIGHT + 6 * HOUR}
    bench.playbook(more="schedule: {every: 30d, window: '09:00-10:00'}")
    assert told() == {series("window"): MIDNIGHT + 9 * HOUR}
    bench.playbook(more="schedule: {every: 30d, blackout: {calendar: none.ics}}")
    assert told() == {series("blackout", "none.ics, which cannot be read"): 4e9}
    bench.playbook(more=SCHEDULE)
    accepts = memory.Issuer.accepts
    with monkeypatch.context() as patch:
        patch.setattr(
            memory.Issuer, "accepts", lambda self, key: key == bench.stored and accepts(self, key)
        )
        daemon.service.due(Request())
        daemon.service.due(Request())
    assert told() == {series("failure"): daemon.scrape()[_RETRY]}
    clock.at = daemon.scrape()[_RETRY] + 1
    assert told() == {}, "it is begun"
    daemon.service.due(Request())
    assert told() == {}


def test_probes_that_fail_are_told_while_they_do(
    daemon: Daemon, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(more=f"{SCHEDULE}\nverify: [{{uses: memory, issuer: one}}]")
    probe, seen, new = MemoryProbe.probe, list[dict[str, float]](), memory.WORLD.issuer("one")

    def fails_twice(self: MemoryProbe, credential: Credential) -> None:
        if (
            credential.id == "one-key2"
            and len(new.keys) == 2
            and bench.consumer.holds == bench.stored
        ):
            seen.append(daemon.scrape())
            if len(seen) <= 2:
                raise Rejected("this edge does not know it yet")
        probe(self, credential)

    monkeypatch.setattr(MemoryProbe, "probe", fails_twice)
    assert daemon.service.rotate("one").code == 0
    first, second, third, *_ = seen
    assert _FAILING not in first and _BEGAN in first
    assert first[_BEGAN] <= second[_FAILING] == third[_FAILING] < MIDNIGHT + HOUR
    assert not {_FAILING, _BEGAN} & daemon.scrape().keys()


def test_an_old_key_that_is_used_is_told_by_the_moment_for_which_its_end_was_planned(
    daemon: Daemon, bench: Bench, clock: VirtualClock
) -> None:
    """That moment stays while somebody uses it, also where a person is asked after a while."""
    _revoke(bench, "grace: 1d, quiet: 1h, quiet_deadline: 3d")
    old = bench.stored
    assert daemon.service.rotate("one").code == 0
    assert _IN_USE not in daemon.scrape(), "nobody waits for it yet"
    planned = MIDNIGHT + DAY + HOUR
    for hour in (25, 30, 90, 120, 190):
        clock.at = MIDNIGHT + hour * HOUR
        assert bench.issuer.use(old)
        daemon.service.due(Request())
        found = daemon.scrape()
        assert abs(found[_IN_USE] - planned) < 60, hour
        assert found[_ATTENTION] == (hour > 96), hour
    clock.at += 3 * HOUR
    for _ in range(3):
        daemon.service.due(Request())
        clock.at += HOUR
    found = daemon.scrape()
    assert old not in bench.live and _IN_USE not in found and found[_ATTENTION] == 0


def test_an_old_key_that_is_held_is_told_as_is_one_of_which_nobody_can_tell(
    daemon: Daemon, bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _revoke(bench, "grace: 1h")
    old = bench.stored
    assert daemon.service.rotate("one").code == 0
    cell, clock.at = memory.WORLD.cell("one"), MIDNIGHT + 2 * HOUR
    new, cell.values = cell.values, {"key": Secret(old)}

    def away(self: MemoryStore) -> None:
        raise TransientError("it is being restarted")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "read", away)
        daemon.service.due(Request())
    found = daemon.scrape()
    assert found['rotator_revocations_outstanding{phase="look"}'] == 1
    assert abs(found[_IN_USE] - (MIDNIGHT + HOUR)) < 60
    for hour in (3, 5, 8):
        clock.at = MIDNIGHT + hour * HOUR
        daemon.service.due(Request())
        found = daemon.scrape()
        assert abs(found[_IN_USE] - (MIDNIGHT + HOUR)) < 60 and found[_ATTENTION] == 1, hour
    cell.values = new
    clock.at += 2 * HOUR
    daemon.service.due(Request())
    assert old not in bench.live and _IN_USE not in daemon.scrape()


def test_of_several_old_keys_that_are_used_the_first_is_told(
    daemon: Daemon, bench: Bench, clock: VirtualClock
) -> None:
    _revoke(bench, "grace: 1d, quiet: 1h")
    olds = []
    for hour in (0, 3):
        clock.at = MIDNIGHT + hour * HOUR
        olds.append(bench.stored)
        assert daemon.service.rotate("one").code == 0
    clock.at = MIDNIGHT + 30 * HOUR
    assert all(bench.issuer.use(old) for old in olds)
    daemon.service.due(Request())
    found = daemon.scrape()
    assert found['rotator_revocations_outstanding{phase="quiet"}'] == 2
    assert abs(found[_IN_USE] - (MIDNIGHT + DAY + HOUR)) < 60


def test_an_old_key_that_its_provider_does_not_revoke_is_not_one_that_is_used(
    daemon: Daemon, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(self: MemoryProvider, credential: Credential) -> None:
        raise PermanentError("you may not")

    monkeypatch.setattr(MemoryProvider, "revoke", refuses)
    daemon.service.rotate("one")
    found = daemon.scrape()
    assert found[_ATTENTION] == 1 and _IN_USE not in found


def test_a_probe_that_fails_after_a_revocation_is_told_while_it_is_watched(
    daemon: Daemon, bench: Bench, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can act on the key any more: it needs nobody's attention for that."""
    bench.playbook(more=f"{SCHEDULE}\nverify: [{{uses: memory, issuer: one}}]")
    _revoke(bench, "watch: 1h")
    assert daemon.service.rotate("one").code == 0
    assert bench.live == [bench.stored] and _FAILING not in daemon.scrape()

    def fails(self: MemoryProbe, credential: Credential) -> None:
        raise Rejected("somebody needed the old one")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryProbe, "probe", fails)
        for _ in range(4):
            clock.at += 60
            daemon.service.due(Request())
        found = daemon.scrape()
        assert MIDNIGHT < found[_FAILING] < MIDNIGHT + 60 and found[_ATTENTION] == 0
        assert status_of(daemon.service, "one", None).problems == ()
        assert daemon.service.due(Request())[0] == [], "and `rotate --due` reports none either"
    clock.at += 60
    daemon.service.due(Request())
    assert _FAILING not in daemon.scrape()


def test_a_pause_is_told_until_it_ends(daemon: Daemon, clock: VirtualClock) -> None:
    daemon.service.rotate("one")
    pause.begin(daemon.service, pauses.ALL, MIDNIGHT + DAY, "the launch")
    assert daemon.scrape()[_PAUSE] == MIDNIGHT + DAY
    clock.at = MIDNIGHT + DAY + 1
    assert _PAUSE not in daemon.scrape()


@pytest.fixture
def broken() -> Iterator[pytest.MonkeyPatch]:
    """No consumer can be restarted, once a test wants it; until it is undone."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def _stuck(daemon: Daemon, broken: pytest.MonkeyPatch) -> None:
    """Neither on nor back."""

    def fails(self: MemoryRestarter, change: object) -> None:
        raise Rejected("not allowed")

    assert daemon.service.rotate("one").code == 0
    broken.setattr(MemoryRestarter, "restart", fails)
    assert daemon.service.rotate("one").code == 4
    daemon.service.due(Request())


def test_the_series_of_a_playbook_end_with_its_file_but_not_what_waits_for_a_person(
    daemon: Daemon, bench: Bench, broken: pytest.MonkeyPatch
) -> None:
    _stuck(daemon, broken)
    found = daemon.scrape()
    assert found[_ATTENTION] == 1 and {_LAST, _DUE, _OVERDUE, _BEGAN} <= found.keys()
    path = bench.folder / "playbooks" / "one.yaml"
    path.rename(path.with_name("two.yaml"))
    assert _of(daemon.scrape()) == {_ATTENTION}
    assert daemon.scrape()[_ATTENTION] == 1
    path.with_name("two.yaml").rename(path)
    broken.undo()
    orders.order(daemon.service, "one", Order.RESUME, Request(wait=True))
    assert daemon.scrape()[_ATTENTION] == 0
    path.rename(path.with_name("two.yaml"))
    assert not _of(daemon.scrape())


def test_a_mistake_in_its_file_ends_no_series(
    daemon: Daemon, bench: Bench, broken: pytest.MonkeyPatch
) -> None:
    """Else an alert about its key would clear because somebody broke its file."""
    _stuck(daemon, broken)
    before = _of(daemon.scrape())
    path = bench.folder / "playbooks" / "one.yaml"
    good = path.read_text()
    path.write_text(good.replace("uses: memory", "uses: memry"))
    found = daemon.scrape()
    assert found["rotator_config_last_reload_successful"] == 0 == found["rotator_playbooks"]
    assert before and _of(found) == before
    folder = path.parent
    path.write_text(good)
    assert _of(daemon.scrape()) == before
    folder.rename(folder.with_name("elsewhere"))
    assert _of(daemon.scrape()) == before, "as where the directory is gone"


def test_an_audit_log_that_was_cut_is_told(daemon: Daemon) -> None:
    assert daemon.service.rotate("one").code == 0
    assert daemon.scrape()["rotator_audit_intact"] == 1
    with daemon.service.journal.database.write() as connection:
        connection.execute(text("DELETE FROM checkpoints"))
    assert daemon.scrape()["rotator_audit_intact"] == 0


def test_without_its_journal_it_says_so_and_nothing_of_playbooks(
    daemon: Daemon, bench: Bench
) -> None:
    assert daemon.scrape()["rotator_journal_up"] == 1
    with daemon.service.journal.database.write() as connection:
        connection.execute(text("ALTER TABLE debts RENAME TO gone"))
    try:
        found = daemon.scrape()
        assert found["rotator_journal_up"] == 0 and found["rotator_playbooks"] == 1
        of_process = {one.series for one in FAMILIES if one.source is Source.PROCESS}
        assert {name.partition("{")[0] for name in found} <= of_process
    finally:
        with daemon.service.journal.database.write() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO debts"))
    assert daemon.scrape()["rotator_journal_up"] == 1


def test_each_metric_is_there_by_name_before_it_has_a_value(daemon: Daemon) -> None:
    """A query about a metric that nobody has looks like one about a metric without a series."""
    told = daemon.metrics.text().splitlines()
    named = {line.split()[2]: line.split()[3] for line in told if line.startswith("# TYPE")}
    of_histogram = {name for name in named if name.endswith("_created")}
    assert {name: kind for name, kind in named.items() if name not in of_histogram} == {
        one.series: str(one.kind) for one in FAMILIES
    }
    labels = {label for one in FAMILIES if one.source is Source.PLAYBOOK for label in one.labels}
    # Whatever a reason or a blackout is called, it is from a fixed list, or from the settings.
    assert labels == {"playbook", "reason", "blackout"}
    assert Kind.COUNTER in {one.kind for one in FAMILIES}


@pytest.fixture
def asked(daemon: Daemon) -> Iterator[list[str]]:
    with statements(daemon.service) as found:
        yield found


def test_nothing_is_asked_for_each_playbook(daemon: Daemon, bench: Bench, asked: list[str]) -> None:
    assert daemon.service.rotate("one").code == 0
    daemon.service.due(Request())
    daemon.scrape()
    asked.clear()
    daemon.scrape()
    of_one = list(asked)
    book = bench.folder / "playbooks" / "one.yaml"
    for number in range(50):
        _copy(book, f"more{number}")
    with daemon.service.journal.database.write() as connection:
        columns = "definition, last_success, current_key, counts_from, due"
        for number in range(50):
            connection.execute(
                text(
                    f"INSERT INTO playbooks (name, {columns}) SELECT 'more{number}', {columns} FROM"
                    " playbooks WHERE name = 'one'"
                )
            )
    asked.clear()
    found = daemon.scrape()
    assert 'rotator_key_next_due_timestamp_seconds{playbook="more49"}' in found
    assert asked == of_one


def _copy(book: Path, name: str) -> None:
    text = book.read_text().replace("cell: one", f"cell: {name}")
    book.with_name(f"{name}.yaml").write_text(text)


def test_a_state_that_a_newer_rotator_wrote_is_told_and_the_rest_goes_on(
    daemon: Daemon, bench: Bench, clock: VirtualClock
) -> None:
    _revoke(bench, "grace: 1d, quiet: 1h, quiet_deadline: 3d")
    old = bench.stored
    assert daemon.service.rotate("one").code == 0
    clock.at = MIDNIGHT + 25 * HOUR
    assert bench.issuer.use(old)
    daemon.service.due(Request())
    before = daemon.scrape()
    assert before[_IN_USE] and before["rotator_journal_unread_playbooks"] == 0
    with daemon.service.journal.database.write() as connection:
        connection.execute(text('UPDATE debts SET state = \'{"of": "2030"}\''))
    after = daemon.scrape()
    assert after["rotator_journal_unread_playbooks"] == 1 and _IN_USE not in after
    assert after[_LAST] == before[_LAST] and after["rotator_journal_up"] == 1
