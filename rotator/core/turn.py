"""Whose turn it is: rotations and debts of one playbook together."""

from __future__ import annotations

from dataclasses import replace

from rotator.core import debt as debts_of
from rotator.core import incident, machine
from rotator.core.action import Action, Ask, Call, Finish, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.state import DANGER, FORWARD_AFTER_GENERATE, Cause, Phase, Rotation
from rotator.core.undo import settled

Unit = Rotation | Debt


def turn(rotation: Rotation | None, debts: tuple[Debt, ...]) -> tuple[Unit | None, Action]:
    """The one unit that acts now, and its action; else the earliest wait, else a question, else
    Finish.

    A rotation's question comes before waits, but for those of what is to die at once.

    What is to die at once goes first, then other compromised debts, the rotation, the other debts.
    """
    asked: tuple[Unit, Action] | None = None
    waits: list[tuple[float, int, Unit, WaitUntil]] = []
    for unit in _in_order(rotation, debts):
        action = action_of(unit)
        if isinstance(action, Call):
            return unit, action
        if isinstance(action, WaitUntil):
            waits.append((action.at, len(waits), unit, action))
        elif isinstance(action, Ask) and (asked is None or _asks(unit)):
            asked = (unit, action)
    dying = [
        row
        for row in waits
        if isinstance(row[2], Debt) and row[2].at_once and incident.ending(row[2]) is None
    ]
    if asked is not None and _asks(asked[0]) and not dying:
        return asked
    if waits:
        _, _, unit, wait = min(dying or waits, key=lambda row: row[:2])
        return unit, wait
    return asked or (None, Finish(rotation.outcome if rotation else None))


def _asks(unit: Unit) -> bool:
    """Whether a question of this unit comes before those of old keys."""
    return isinstance(unit, Rotation) and unit.phase is not Phase.SETTLE


def may_act(debt: Debt, rotation: Rotation | None) -> bool:
    """No debt acts between a rotation's first store write and its pivot, nor ever on the key it may
    go back to.

    But what a person ordered to die at once: then nothing goes back to it.
    """
    if (
        rotation is None
        or rotation.phase is Phase.ENDED
        or debt.phase in DEAD_PHASES
        or debt.at_once
    ):
        return True
    if debt.key.same(rotation.old) or (
        debt.key.same(rotation.new) and rotation.phase is not Phase.SETTLE
    ):
        return False
    return rotation.phase not in DANGER


def current_again(rotation: Rotation, debts: tuple[Debt, ...]) -> tuple[Debt, ...]:
    """Debts whose key the rotation found in the stores, or is bringing there: no debts any more."""
    keys = [rotation.new] if rotation.pivoted else [rotation.old]
    if rotation.phase in FORWARD_AFTER_GENERATE:
        keys.append(rotation.new)
    return tuple(
        debt
        for debt in debts
        if debt.open
        and debt.phase not in DEAD_PHASES
        and not debt.at_once
        and any(debt.key.same(key) for key in keys)
    )


def _in_order(rotation: Rotation | None, debts: tuple[Debt, ...]) -> list[Unit]:
    still = sorted((debt for debt in debts if debt.open), key=lambda debt: not debt.at_once)
    urgent = [debt for debt in still if debt.cause is Cause.COMPROMISED]
    others = [debt for debt in still if debt.cause is not Cause.COMPROMISED]
    middle: list[Unit] = (
        [rotation] if rotation is not None and rotation.phase is not Phase.ENDED else []
    )
    return [
        *(debt for debt in urgent if may_act(debt, rotation)),
        *middle,
        *(debt for debt in others if may_act(debt, rotation)),
    ]


def action_of(unit: Unit) -> Action:
    """What this unit would do by itself; SETTLE waits for its debt."""
    if isinstance(unit, Debt):
        return debts_of.next_action(unit)
    if unit.phase is Phase.SETTLE:
        return Ask("settle", unit.problem)
    return machine.next_action(unit)


def settle(rotation: Rotation, debts: tuple[Debt, ...]) -> Rotation:
    """A rotation that waits for its new key's death is rolled back once that debt is closed or
    proven dead.
    """
    if rotation.phase is not Phase.SETTLE:
        return rotation
    mine = [
        debt
        for debt in debts
        if debt.rotation == rotation.id
        and debt.cause is Cause.UNDONE
        and debt.key.same(rotation.new)
    ]
    if mine and not any(debt.open for debt in mine):
        return settled(rotation)
    return rotation


def unblocked(rotation: Rotation, debt: Debt) -> Rotation:
    """A rotation that waits for room (a slot, a quota) need not sit its wait out once the key in it
    is dead.
    """
    waiting = rotation.phase is Phase.PREFLIGHT and rotation.wake is not None
    dead = debt.phase in DEAD_PHASES or not debt.open
    return replace(rotation, wake=None) if waiting and dead else rotation
