"""Which values must stay sealed: promise 3, as a pure function."""

from __future__ import annotations

from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation


def still_needed(rotation: Rotation | None, debts: tuple[Debt, ...]) -> tuple[Key, ...]:
    """Keys whose value some later step may need.

    The old and the new key of an unfinished rotation; the current one while a debt of its playbook
    is open (the debt's probes and looks need it); an owed one until its death is proven.
    """
    needed: list[Key] = []
    unfinished = rotation is not None and rotation.phase is not Phase.ENDED
    open_debts = [debt for debt in debts if debt.open]
    unproven = [debt for debt in open_debts if debt.phase not in DEAD_PHASES or not debt.proven]
    if rotation is not None and unfinished:
        needed += [key for key in (rotation.old, rotation.new) if key is not None]
    elif rotation is not None and (
        open_debts or any(store.write_only for store in rotation.plan.stores)
    ):
        current = rotation.new if rotation.pivoted else rotation.old
        needed += [current] if current is not None else []
    needed += [debt.key for debt in unproven]
    return tuple(needed)
