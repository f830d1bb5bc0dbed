"""A person has looked: a rotation that stopped goes on from where it stopped, with its patience
begun anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rotator.core import forward, recover, undo
from rotator.core.debt_state import Debt
from rotator.core.plan import Key, Plan
from rotator.core.state import FORWARD_AFTER_GENERATE, UNDOING, Phase, Rotation, Write


def resumed(rotation: Rotation) -> Rotation:
    """What stopped goes on; what waits does not wait any longer."""
    if rotation.phase is not Phase.STUCK:
        return replace(rotation, wake=None) if rotation.wake is not None else rotation
    all_gone = rotation.came_from is Phase.DISCARD and not rotation.found
    if (
        rotation.came_from is Phase.RECOVER or all_gone
    ):  # the person has looked and removed what was there
        return recover.once_more(
            replace(rotation, problem="", question="", last_create=False), looked=True
        )
    again = replace(
        rotation.to(rotation.came_from, rotation.target),
        resumed=rotation.round,
        question="",
        problem="",
    )
    if again.phase in (Phase.RESTART, Phase.CONVERGE):  # what did not come up is told once more
        return forward.begin_restarts(again)
    return (
        undo.begin_restarts(again)
        if again.phase in (Phase.UNDO_RESTART, Phase.UNDO_CONVERGE)
        else again
    )


def as_today(
    rotation: Rotation, plan: Plan, versions: Mapping[str, str], old: Key | None = None
) -> Rotation:
    """The unfinished rotation goes on with the stores and consumers of `plan`; what was done so far
    is kept by name.

    `versions` has the present version of each store that is new to it; `old` is the key in force
    that one of them showed, where none was known. Stores are gone through, and consumers restarted,
    from the first one on.
    """
    known = {
        store.name: write
        for store, write in zip(rotation.plan.stores, rotation.writes, strict=False)
    }
    fresh = (
        Write(expect=versions.get(store.name, ""), replaced=versions.get(store.name, ""))
        for store in plan.stores
    )
    writes = tuple(
        known.get(store.name, new) for store, new in zip(plan.stores, fresh, strict=True)
    )
    phase = rotation.came_from if rotation.phase is Phase.STUCK else rotation.phase
    taken = replace(
        rotation,
        plan=replace(rotation.plan, stores=plan.stores, consumers=plan.consumers),
        writes=writes if rotation.writes else (),
        old=rotation.old or old,
        resumed=rotation.round,
    )
    if phase in FORWARD_AFTER_GENERATE:
        return replace(taken.to(Phase.CHECK), question="", problem="", hint="")
    if phase in UNDOING and phase is not Phase.SETTLE:
        return undo.restore_from(replace(taken, question=""), 0)
    return resumed(taken)


def owed_as_today(debt: Debt, plan: Plan) -> Debt:
    """An old key is looked for where `plan` says."""
    held = dict(zip((store.name for store in debt.plan.stores), debt.versions, strict=False))
    versions = tuple(held.get(store.name, "") for store in plan.stores)
    return replace(
        debt,
        plan=replace(debt.plan, stores=plan.stores, consumers=plan.consumers),
        versions=versions,
        target=0,
    )
