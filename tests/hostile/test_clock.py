"""A wall clock that jumps by a month, in either direction: no key dies early, nothing is lost,
nothing waits on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.core.order import Order
from rotator.engine.clock import SystemClock
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.store import MemoryStore
from rotator.usecases import orders
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

MONTH = 30 * 86_400.0


class Jumping(SystemClock):
    offset = 0.0

    def now(self) -> float:
        return super().now() + self.offset


@pytest.fixture
def bench(
    tmp_path: Path, memory_world: memory.World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    found = Bench(tmp_path, f"sqlite:///{tmp_path / 'journal.db'}")
    path = tmp_path / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    found.service.clock = Jumping()
    monkeypatch.setattr(memory_world, "now", found.service.clock.now)
    yield found
    found.service.close()


def test_a_month_forward_does_not_end_grace(bench: Bench) -> None:
    """The machine's own clock since its start knows better; it is told in the audit."""
    assert bench.service.rotate("one").code == 0
    both = bench.live
    bench.service.clock.offset = MONTH  # type: ignore[attr-defined]
    bench.service.due(Request())
    assert bench.live == both and len(both) == 2
    with bench.service.journal.database.read() as connection:
        told = connection.exec_driver_sql(
            "SELECT count(*) FROM audit WHERE record LIKE '%the clock jumped: its times were"
            " moved%'"
        ).scalar()
    assert told == 1, "said once"
    bench.service.clock.offset = 0.0  # type: ignore[attr-defined]
    assert bench.service.rotate("one").code == 0, "and back again"
    assert bench.stored in bench.live


def test_a_month_back_revokes_nothing_and_the_next_rotation_goes_on(bench: Bench) -> None:
    assert bench.service.rotate("one").code == 0
    both = bench.live
    bench.service.clock.offset = -MONTH  # type: ignore[attr-defined]
    bench.service.due(Request())
    assert bench.live == both
    assert bench.service.rotate("one").code == 0
    assert bench.stored in bench.live and bench.consumer.holds == bench.stored
    bench.service.clock.offset = 0.0  # type: ignore[attr-defined]
    bench.service.due(Request())
    assert bench.stored in bench.live


@pytest.mark.parametrize("offset", [MONTH, -MONTH])
def test_in_the_middle_of_a_rotation_nothing_is_lost(bench: Bench, offset: float) -> None:
    """The clock jumps between the new key and the stores: proven, or undone, never in between."""
    real = memory.WORLD.start

    def jumping(name: str) -> memory.Consumer:
        bench.service.clock.offset = offset  # type: ignore[attr-defined]
        return real(name)

    memory.WORLD.start = jumping  # type: ignore[method-assign]
    try:
        report = bench.service.rotate("one")
    finally:
        del memory.WORLD.start  # type: ignore[method-assign]
    assert report.code in (0, 3), report
    assert bench.consumer.holds == bench.stored and bench.stored in bench.live


# By an hour, and by less than clocks of two machines may differ
BY = pytest.mark.parametrize("by", [3600.0, 60.0, 3.0])


def _set_forward(bench: Bench, by: float) -> None:
    """When a process started is its boot's clock plus the wall clock: /proc tells it so much later
    now.
    """
    bench.service.clock.offset += by  # type: ignore[attr-defined]
    bench.consumer.started_at += by


@BY
def test_set_forward_makes_no_process_younger_than_the_write_before_it(
    bench: Bench, by: float
) -> None:
    """It still holds the old key, which so must live."""
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    bench.consumer.holds, bench.consumer.started_at = old, bench.consumer.started_at - by / 2
    _set_forward(bench, by)
    report = orders.order(bench.service, "one", Order.REVOKE, Request())
    assert report.code == 4 and old in bench.live, report
    memory.WORLD.start("one")
    report = orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    assert report.code == 0 and bench.live == [bench.stored] == [bench.consumer.holds], report


@BY
def test_set_forward_between_the_write_and_the_restart_a_consumer_is_restarted_all_the_same(
    bench: Bench, by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = MemoryStore.write

    def write(self: MemoryStore, *given: Any) -> Any:
        version = written(self, *given)
        if not forward:
            forward.append(True)
            _set_forward(bench, by)
        return version

    forward: list[bool] = []
    monkeypatch.setattr(MemoryStore, "write", write)
    assert bench.service.rotate("one").code == 0 and forward
    assert bench.consumer.holds == bench.stored and bench.stored in bench.live


def test_a_machine_that_stops_between_two_clocks_has_not_set_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five seconds pass between the boot's clock and the wall clock: both are read once more."""
    behind = iter([5.0])
    with bench.service.session("one") as session:
        true, boot = session._reading(), session.clock.boot

        def stopped() -> tuple[str, float]:
            found, since = boot()
            return found, since - next(behind, 0.0)

        monkeypatch.setattr(session.clock, "boot", stopped)
        assert not session._reading().jumped_since(true)
