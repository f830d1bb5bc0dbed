"""A leaked key dies first: which keys an order kills, what becomes of the rotation that is under
way, and how it ended.

Nothing here refuses: neither a rotation, a debt, a store nor a consumer holds the order up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from rotator.core import resume, undo
from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.core.state import (
    FORWARD_AFTER_GENERATE,
    UNDOING,
    Cause,
    Outcome,
    Owed,
    Phase,
    Rotation,
)
from rotator.model import Recovery

_OTHERS = frozenset({Cause.DISCARDED, Cause.UNDECIDED})  # perhaps a colleague's
_GOES_ON = (
    FORWARD_AFTER_GENERATE - {Phase.CHECK} | UNDOING
)  # what is stuck there has a new key that was accepted once
ORDERED = "the previous key leaked"


class Ending(StrEnum):
    """How the order to kill a key ends, where it was not refused."""

    DEAD = "dead"
    ASKED = "asked"  # a person must destroy it
    RETRIED = "retried"  # its provider does not answer, or not as it should


def to_kill(
    rotation: Rotation | None, debts: Iterable[Debt], current: Key | None
) -> tuple[Key, ...]:
    """The key in force and every older key that lives; never the new one of a rotation
    under way.
    """
    keys = [current] if current is not None else []
    if rotation is not None and rotation.phase is not Phase.ENDED:
        keys += [
            key
            for key in (rotation.old, rotation.new if rotation.back else None)
            if key is not None
        ]
    keys += [
        d.key for d in debts if d.open and d.phase not in DEAD_PHASES and d.cause not in _OTHERS
    ]
    return tuple(
        key for at, key in enumerate(keys) if not any(key.same(other) for other in keys[:at])
    )


def carried_on(
    rotation: Rotation, dying: Iterable[Key], current: Key | None, at: float
) -> Rotation:
    """The unfinished rotation once these keys die: it goes on to a key that lives, or it is over.

    Untouched where it has to do with none of them. `current` is the key in force, as the journal
    knows it.
    """
    dying = tuple(dying)
    if not any(key.same(mine) for key in dying for mine in (rotation.old or current, rotation.new)):
        return rotation
    return replace(hurried(rotation, at, dying), revoke_first=True)


def hurried(rotation: Rotation, at: float, dying: tuple[Key, ...] = ()) -> Rotation:
    """Its old key leaked: nothing goes back to it. What is undone turns round, what is stuck goes
    on.

    It is over where the new key dies, is not certain or was refused, or a person would have to look
    for what a lost create left: whoever ordered this begins another one.
    """
    rotation = replace(rotation, now=max(rotation.now, at), wake=None)
    phase = rotation.came_from if rotation.phase is Phase.STUCK else rotation.phase
    if phase is Phase.SETTLE:  # undone; the new key's debt goes its way
        return undo.settled(rotation)
    lost = any(key.same(rotation.new) for key in dying)
    if lost or (rotation.phase is Phase.STUCK and phase not in _GOES_ON):
        return over(rotation, ORDERED, dying=dying)
    rotation = replace(rotation, compromised=True, forward_only=True)
    if phase in UNDOING:
        return replace(
            rotation.to(Phase.CHECK), resumed=rotation.round, question="", problem=ORDERED
        )
    return resume.resumed(rotation) if rotation.phase is Phase.STUCK else rotation


def over(
    rotation: Rotation,
    why: str,
    current: Key | None = None,
    dying: tuple[Key, ...] = (),
    at: float = 0.0,
) -> Rotation:
    """It goes neither on nor back. `current`, where a person or the stores said so, is in force
    from now on.

    What it made, or left, is destroyed once nobody holds it; what nobody can be certain of is named
    and lives.
    """
    old, new = rotation.old, rotation.new
    phase = rotation.came_from if rotation.phase is Phase.STUCK else rotation.phase
    spared = (*dying, *([current] if current is not None else []))
    owed = list(rotation.owed)
    by_difference = rotation.plan.recovery is Recovery.DIFFERENCE
    owed += [Owed(key, Cause.UNDECIDED if by_difference else Cause.SWEPT) for key in rotation.found]
    if new is not None and not any(new.same(key) for key in spared):
        uncertain = phase is Phase.RECOGNISE  # by its id another key could be destroyed
        owed.append(
            Owed(
                new,
                Cause.UNDECIDED if uncertain else Cause.ROTATED if rotation.back else Cause.SWEPT,
            )
        )
    elif phase in (Phase.GENERATE, Phase.RECOVER) and new is None and not rotation.plan.supplied:
        lost = rotation.possible_orphan or f"attempt {rotation.attempt} of {rotation.id}"
        owed.append(Owed(Key(hint=lost), Cause.UNDECIDED))  # nobody knows whether it made one
    elif rotation.possible_orphan:
        owed.append(Owed(Key(hint=rotation.possible_orphan), Cause.UNDECIDED))
    if current is not None and old is not None and not any(old.same(key) for key in spared):
        owed.append(Owed(old, Cause.COMPROMISED if rotation.compromised else Cause.ROTATED))
    pivoted = current is not None and current.same(new)
    ended = replace(
        rotation,
        old=old if pivoted or current is None else current,
        pivoted=pivoted,
        problem=why,
        hint="",
        question="",
        possible_orphan="",
        found=(),
        owed=tuple(owed),
    )
    return replace(ended, now=max(ended.now, at)).end(Outcome.ABANDONED)


def left_open(rotation: Rotation | None) -> tuple[Owed, ...]:
    """What a rotation that is over named and nobody decided about; the next one must not make it
    forgotten.
    """
    if rotation is None or rotation.phase is not Phase.ENDED or not rotation.possible_orphan:
        return ()
    return (Owed(Key(hint=rotation.possible_orphan), Cause.UNDECIDED),)


def ending(debt: Debt) -> Ending | None:
    """How it stands with a key that was ordered to die; None while it is under way."""
    if not debt.open or (debt.phase in DEAD_PHASES and debt.proven):
        return Ending.DEAD
    if debt.asks:
        return Ending.ASKED
    return Ending.RETRIED if debt.attention else None
