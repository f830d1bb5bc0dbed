"""How long a command stays with what it began."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Key, Plan, Policy
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.engine.staying import SHORT, Stay, needs_attention

NOW = 1_000_000.0
DAY = 86_400.0
PLAN = Plan(policy=Policy(deadline=600.0, grace=DAY))
ENDED = Rotation("r", "one", PLAN, Phase.ENDED, now=NOW, since=NOW, outcome=Outcome.VERIFIED)


def running(phase: Phase, wake: float, tries: int = 1, since: float = 0.0) -> Rotation:
    return replace(
        ENDED, phase=phase, outcome=None, wake=NOW + wake, tries=tries, since=NOW - since
    )


def debt(
    phase: DebtPhase, wake: float | None = None, attention: str = "", since: float = 0.0
) -> Debt:
    at = NOW + wake if wake is not None else None
    made = Debt(
        "d",
        "one",
        "r",
        Key("k"),
        Cause.ROTATED,
        PLAN,
        phase,
        now=NOW,
        since=NOW - since,
        born=NOW - since,
    )
    return replace(made, wake=at, attention=attention)


def over(rotation: Rotation | None, *debts: Debt, wait: bool = False) -> bool:
    return Stay(wait).is_over(rotation, debts, NOW)


def test_a_step_that_is_tried_again_is_sat_out() -> None:
    assert not over(running(Phase.PREFLIGHT, 5.0))
    assert over(running(Phase.GENERATE, 61.0)) and not over(
        running(Phase.GENERATE, 61.0), wait=True
    )


def test_who_only_watches_does_not_hold_a_command_up() -> None:
    """The watch asks its probes every half minute, the grace of another key lasts a day."""
    both = debt(DebtPhase.WATCH, 30.0), debt(DebtPhase.GRACE)
    assert over(ENDED, *both) and over(None, *both)
    assert over(running(Phase.GENERATE, 600.0), *both)
    assert over(ENDED, debt(DebtPhase.WATCH, 30.0), wait=True) and over(
        ENDED, debt(DebtPhase.HELD, 30.0), wait=True
    )


def test_an_old_key_that_is_not_revoked_is_followed_for_a_minute() -> None:
    stay, failing = Stay(False), debt(DebtPhase.LOOK, 30.0)
    assert not stay.is_over(ENDED, (failing,), NOW)
    assert stay.is_over(ENDED, (replace(failing, wake=NOW + SHORT + 10),), NOW + 30)


@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.SETTLE])
def test_with_wait_until_attention_stands(phase: Phase) -> None:
    stay, failing, rotation = Stay(True), debt(DebtPhase.LOOK, 30.0), replace(ENDED, phase=phase)
    for minute in range(100):
        assert not stay.is_over(
            rotation, (replace(failing, wake=NOW + minute * 60 + 30),), NOW + minute * 60
        )
    assert stay.is_over(rotation, (replace(failing, wake=NOW + 7000, attention="503"),), NOW + 6960)


def test_with_wait_for_a_day_at_most() -> None:
    assert not over(ENDED, debt(DebtPhase.GRACE), wait=True)
    later = replace(debt(DebtPhase.GRACE), plan=Plan(policy=Policy(grace=2 * DAY)))
    assert over(ENDED, later, wait=True)


def test_attention_of_one_key_does_not_stop_another_that_is_about_to_die() -> None:
    dying, held = debt(DebtPhase.PROVE, 1.0), debt(DebtPhase.HELD, 3600.0, "somebody holds it")
    assert not over(ENDED, dying, held) and not over(ENDED, dying, held, wait=True)


def test_a_soak_is_not_sat_out() -> None:
    """Its probes are asked every half minute, but it is over only later."""
    assert over(ENDED, debt(DebtPhase.SOAK, 30.0)) and not over(
        ENDED, debt(DebtPhase.SOAK, 30.0), wait=True
    )
    assert not over(ENDED, debt(DebtPhase.SOAK, 10.0, since=590.0))
    assert over(ENDED, debt(DebtPhase.SUSPECT, 30.0)) and not over(
        ENDED, debt(DebtPhase.SUSPECT, 10.0, since=590.0)
    )


def test_who_waits_for_room_leaves_when_the_key_in_its_place_lives_on() -> None:
    waiting = running(Phase.PREFLIGHT, 60.0, tries=0)
    assert over(waiting, debt(DebtPhase.GRACE)) and not over(waiting, debt(DebtPhase.REVOKE, 5.0))
    assert over(waiting, debt(DebtPhase.LOOK, 5.0, "503"), wait=True)
    assert over(running(Phase.PREFLIGHT, 60.0, since=700.0), debt(DebtPhase.GRACE))
    assert not over(running(Phase.PREFLIGHT, 5.0), debt(DebtPhase.GRACE))  # that one is tried again


@pytest.mark.parametrize("phase", [Phase.DISCARD, Phase.UNDO_VERIFY, Phase.RESTORE_READ])
def test_a_step_that_is_repeated_without_end_is_left_when_it_takes_too_long(phase: Phase) -> None:
    stay, late = Stay(True), running(phase, 5.0, since=600.0)
    assert not over(running(phase, 5.0, since=500.0), wait=True) and needs_attention(late)
    assert not stay.is_over(late, (), NOW)  # who comes later tries once itself
    assert stay.is_over(late, (), NOW)
    assert not needs_attention(running(Phase.VERIFY, 5.0, since=600.0))
