"""A wall clock that jumps by a month, in either direction: no key dies early, nothing is lost,
nothing waits on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.engine.clock import SystemClock
from rotator.integrations.memory import world as memory
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
