"""The pictures of ARCHITECTURE.md show what the model does, and nothing that it cannot do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rotator.core.debt_state import DebtPhase
from rotator.core.state import Outcome, Phase
from tests.docs import diagrams
from tests.model import explore
from tests.model.world import Config, World, initial

# Small worlds that between them meet a lost create, an undo, a deactivation and a slow provider.
CONFIGS = [
    Config(answers="unknown", strangers=0),
    Config(faults=1, strangers=0, consumers=0),
    Config(faults=1, strangers=0, can_deactivate=True),
    Config(faults=0, strangers=0, slowly=True),
]


def _steps(config: Config) -> Iterator[tuple[World, World]]:
    """Every step that happens by itself, from every state that is reached so."""
    seen = {initial(config)}
    frontier = list(seen)
    while frontier:
        world = frontier.pop()
        for _, after in explore.by_itself(world):
            yield world, after
            if after not in seen:
                seen.add(after)
                frontier.append(after)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_transition_of_the_model_is_drawn(config: Config) -> None:
    rotations, debts = diagrams.rotation_edges(), diagrams.debt_edges()
    met = 0
    for before, after in _steps(config):
        one = diagrams._place(before.rotation), diagrams._place(after.rotation)
        assert one[0] == one[1] or one in rotations, one
        met += one[0] != one[1]
        phases = {debt.id: debt.phase for debt in before.debts}
        for debt in after.debts:
            edge = str(phases.get(debt.id, "[*]")), str(debt.phase)
            # A key that becomes current again is a debt no more, whatever its phase.
            drawn = edge in debts or edge[0] == edge[1] or debt.phase is DebtPhase.VOID
            assert drawn, edge
    assert met >= 10


def test_every_phase_is_reached_and_left() -> None:
    rotations, debts = diagrams.rotation_edges(), diagrams.debt_edges()
    ends = {str(outcome) for outcome in Outcome}
    for phase in set(Phase) - {Phase.ENDED, Phase.STUCK}:
        assert any(before == phase for before, _ in rotations), phase
        assert phase is Phase.PREFLIGHT or any(after == phase for _, after in rotations), phase
    for debt_phase in set(DebtPhase) - {DebtPhase.VOID}:
        assert debt_phase is DebtPhase.PAID or any(b == debt_phase for b, _ in debts), debt_phase
        assert any(after == debt_phase for _, after in debts), debt_phase
    assert ends - {str(Outcome.ABANDONED)} <= {after for _, after in rotations}


def test_the_layers_are_those_that_import_linter_checks() -> None:
    """An upward arrow, or a room that no layer names, would be drawn: here it fails."""
    floors = diagrams._floors()
    height = {name: i for i, names in enumerate(floors) for name in names}
    arrows = diagrams._imports({name: name for name in height})
    assert len(arrows) > 50
    assert not [(one, other) for one, other in arrows if height[one] >= height[other]]
