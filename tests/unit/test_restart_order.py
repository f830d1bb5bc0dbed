"""Who failed is restarted first: it serves nobody, and the others serve in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from rotator.core import machine, undo
from rotator.core.action import Call, Done, Failed, Op
from rotator.core.order import Order, order_rotation
from rotator.core.plan import ConsumerPlan, Key, Plan, StorePlan
from rotator.core.state import Phase, Rotation, Write
from tests.unit.decisions import POLICY

PLAN = Plan((StorePlan("s"),), tuple(map(ConsumerPlan, "abc")), policy=POLICY)
WRITTEN = (Write("1", "2", 5.0, intended=True, touched=True, replaced="1"),)
ROTATION = Rotation(
    "r", "p", PLAN, Phase.RESTART, old=Key("old", "f-old"), new=Key("new", "f-new"), writes=WRITTEN
)
FAILED = Failed(0.0, "does not come up", permanent=True)


def restarted(rotation: Rotation) -> Iterable[str]:
    """The consumers in the order of their restarts, each converging, until something else is
    next.
    """
    while rotation.phase in (
        Phase.RESTART,
        Phase.ACCEPT,
        Phase.CONVERGE,
        Phase.UNDO_RESTART,
        Phase.UNDO_CONVERGE,
    ):
        if rotation.phase in (Phase.RESTART, Phase.UNDO_RESTART):
            yield PLAN.consumers[rotation.target].name
        rotation = machine.apply(rotation, Done(rotation.now))


def undone(rotation: Rotation) -> Rotation:
    """Its consumer fails; the store has the old key again; at the first restart of the way back."""
    rotation = machine.apply(rotation, FAILED)
    assert rotation.phase is Phase.WAY_BACK
    return undo.begin_restarts(rotation)


def resumed(rotation: Rotation) -> Rotation:
    again = order_rotation(rotation, Order.RESUME, 0.0)
    assert isinstance(again, Rotation)
    return again


def test_all_are_restarted_in_the_order_of_the_playbook() -> None:
    assert list(restarted(ROTATION)) == ["a", "b", "c"]


@pytest.mark.parametrize("phase", [Phase.RESTART, Phase.CONVERGE])
@pytest.mark.parametrize(("target", "order"), [(0, "abc"), (1, "bac"), (2, "cab")])
def test_on_the_way_back_the_one_that_failed_is_first(
    phase: Phase, target: int, order: str
) -> None:
    assert "".join(restarted(undone(replace(ROTATION, phase=phase, target=target)))) == order


@pytest.mark.parametrize("phase", [Phase.UNDO_RESTART, Phase.UNDO_CONVERGE])
def test_one_that_did_not_come_back_is_first_once_a_person_has_looked(phase: Phase) -> None:
    stuck = machine.apply(replace(ROTATION, phase=phase, target=2), FAILED)
    assert stuck.phase is Phase.STUCK and stuck.question.startswith("c did not come back")
    assert "".join(restarted(resumed(stuck))) == "cab"


def test_where_nothing_goes_back_the_one_that_failed_is_first_in_the_next_round() -> None:
    forward = replace(ROTATION, phase=Phase.CONVERGE, target=1, forward_only=True)
    stuck = machine.apply(forward, FAILED)
    assert stuck.phase is Phase.STUCK
    assert "".join(restarted(resumed(stuck))) == "bac"


def test_one_that_the_playbook_names_no_more_is_nobodys_turn() -> None:
    gone = replace(ROTATION, down="x")
    assert list(restarted(gone)) == ["a", "b", "c"]
    call = machine.next_action(gone)
    assert isinstance(call, Call) and call.op is Op.RESTART
