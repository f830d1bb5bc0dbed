"""Which values must stay sealed: promise 3, as a pure function."""

from __future__ import annotations

from rotator.core.state import DEAD_PHASES, Debt, Key, Phase, Rotation


def still_needed(rotation: Rotation | None, debts: tuple[Debt, ...]) -> tuple[Key, ...]:
    """Keys whose value some later step may need.

    The old and the new key of an unfinished rotation; the current one while a debt of its playbook is open (the debt's
    probes and looks need it); an owed one until its death is proven.
    """
    needed: list[Key] = []
    unfinished = rotation is not None and rotation.phase is not Phase.ENDED
    open_debts = [debt for debt in debts if debt.open]
    alive = [debt for debt in open_debts if debt.phase not in DEAD_PHASES or debt.phase.value == "prove"]
    if rotation is not None and (unfinished or open_debts):
        needed += [key for key in (rotation.old, rotation.new) if key is not None and (unfinished or key is _current(rotation))]
    needed += [debt.key for debt in alive]
    return tuple(needed)


def _current(rotation: Rotation) -> Key | None:
    return rotation.new if rotation.pivoted else rotation.old
