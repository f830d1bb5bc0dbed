"""When a process of a host started, by this machine's clock: never later than it did, and as near to
that as the quickest of some readings tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from rotator.clients.hosts import Host
from rotator.integrations.systemd import manager
from rotator.integrations.systemd.manager import Manager

STARTED = 900.0  # seconds after the host's boot


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """When a unit's process seems to have started, read by a call that takes `late` seconds until
    the host looks at its clock.
    """
    monkeypatch.setattr(manager, "_BOOTS", manager._Boots())

    def read(late: float, booted: float, boot: str = "a", config: str | None = None) -> float:
        def run(self: Host, script: str, *, check: bool = True) -> str:
            return (
                f"{time.time() + late - booted:.2f} 1.0\n{boot}\n"
                "Id=app.service\nActiveState=active\nSubState=running\n"
                f"ExecMainStartTimestampMonotonic={int(STARTED * 1e6)}\n"
            )

        monkeypatch.setattr(Host, "run", run)
        (unit,) = Manager(Host("far", config)).units(["app.service"])
        return unit.started_at

    return read


def test_a_slow_call_makes_no_process_older_than_a_quick_one_showed_it(
    started: Callable[..., float],
) -> None:
    booted = time.time() - 1000.0
    assert started(20.0, booted) <= booted + STARTED - 19.0
    assert abs(started(0.0, booted) - (booted + STARTED)) < 1.0
    after_quick = started(20.0, booted)
    assert booted + STARTED - 1.0 < after_quick <= booted + STARTED + 0.1


def test_this_machines_clock_may_be_set_between_two_readings(
    started: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back by an hour: by that clock the process started an hour earlier, too."""
    booted, real = time.time() - 1000.0, time.time
    started(0.0, booted)
    monkeypatch.setattr(time, "time", lambda: real() - 3600.0)
    assert abs(started(0.0, booted - 3600.0) - (booted + STARTED - 3600.0)) < 1.0


def test_a_host_that_booted_again_is_known_by_its_new_boot(started: Callable[..., float]) -> None:
    booted = time.time() - 100_000.0
    started(0.0, booted)
    again = booted + 50_000.0
    assert abs(started(0.0, again) - (again + STARTED)) < 1.0


def test_another_machine_behind_the_same_name_is_known_by_its_own_boot(
    started: Callable[..., float],
) -> None:
    """A floating address that went over, or two configurations of ssh: by the boot of the machine
    that booted later, a process of the other would be younger than the key that it holds.
    """
    earlier = time.time() - 100_000.0
    started(0.0, earlier + 50_000.0)
    assert started(0.0, earlier, "b") <= earlier + STARTED + 0.1
    assert started(0.0, earlier, "a", "other.conf") <= earlier + STARTED + 0.1


def test_a_reading_of_long_ago_says_nothing_about_clocks_that_part(
    started: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    booted, clock = time.time() - 1000.0, manager._clock
    started(0.0, booted)
    monkeypatch.setattr(manager, "_clock", lambda: clock() + 61.0)
    # Its clock has lost 5 s since: what was read then would make each process 5 s too young.
    assert abs(started(0.0, booted - 66.0) - (booted - 66.0 + STARTED)) < 1.0
