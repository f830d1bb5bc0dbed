"""Thousands of rotations with bad luck keep the promises; a failing seed names the command that
replays it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rotator.core import debt_before, forward
from rotator.core.debt_state import DebtPhase
from tests.simulation.simulator import Broken, Simulation

ROTATIONS = int(os.environ.get("ROTATOR_SIMULATED", "150"))
FIRST = int(os.environ.get("ROTATOR_FIRST_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(36_000)
def test_unlucky_rotations_keep_every_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Crashes, lost answers, lagging lists, lost leases, strangers and clock jumps, by seed."""
    simulation = Simulation(tmp_path)
    faults = 0
    try:
        for seed in range(FIRST, FIRST + ROTATIONS // 2):
            world = simulation.run(seed, 2)
            faults += sum(line.startswith("fault") for line in world.trace)
    finally:
        simulation.close()
    with capsys.disabled():
        print(f"\nsimulation: {ROTATIONS} rotations, {faults} faults, no broken promise")
    assert faults > ROTATIONS // 2


def test_a_careless_engine_is_caught_by_the_simulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without restarts and looks, some seed shows a key revoked while somebody holds it."""
    monkeypatch.setattr(forward, "begin_restarts", lambda rotation: forward.pivot(rotation))
    monkeypatch.setattr(debt_before, "before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    simulation = Simulation(tmp_path)
    try:
        with pytest.raises(Broken):
            for seed in range(50):
                simulation.run(seed, 2)
    finally:
        simulation.close()
