"""People's orders as a pure function; the table state × verb in the docs is generated from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from rotator.core import debt as debts_of
from rotator.core import debt_before, debt_death, incident, resume, undo
from rotator.core.action import Done, Failed
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.plan import Plan
from rotator.core.state import FORWARD_AFTER_GENERATE, UNDOING, Cause, Phase, Rotation
from rotator.model import Overlap, Recovery


class Order(StrEnum):
    RESUME = "resume"
    UNDO = "undo"
    COMPROMISED = "compromised"
    REVOKE_FIRST = "revoke first"
    ABANDON = "abandon"
    FORGET = "forget"
    REVOKE = "revoke"
    CONFIRM = "confirm"


# Why a rotation ended as a person ordered: no failure
ABANDONED = "abandoned by a person's order"
UNDONE = "undone by a person's order"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order cannot be carried out in this state. NAME in the hint is the playbook's name."""

    reason: str
    hint: str = ""

    def hint_for(self, playbook: str) -> str:
        """The hint as it is typed for this playbook."""
        return self.hint.replace("NAME", playbook)


def order_rotation(rotation: Rotation, order: Order, at: float) -> Rotation | Refusal:
    """The rotation after the order, or why not."""
    rotation = replace(rotation, now=max(rotation.now, at))
    if rotation.phase is Phase.ENDED:
        return Refusal("this rotation is over", "start the next one with `rotate NAME`")
    match order:
        case Order.RESUME:
            return resume.resumed(rotation)
        case Order.UNDO:
            return _undo(rotation)
        case Order.COMPROMISED:
            return _compromise(rotation)
        case Order.REVOKE_FIRST:
            return incident.carried_on(rotation, [rotation.old] if rotation.old else [], None, at)
        case Order.ABANDON:
            return incident.over(rotation, ABANDONED, at=at)
        case Order.REVOKE:
            return Refusal(
                "a rotation is under way",
                "`rotator resume NAME` or `rotator undo NAME` ends it first",
            )
        case _:
            return Refusal("nothing waits for a confirmation")


def _undo(rotation: Rotation) -> Rotation | Refusal:
    phase = rotation.came_from if rotation.phase is Phase.STUCK else rotation.phase
    if rotation.compromised and phase is not Phase.RECOGNISE:
        return Refusal(
            "nothing goes back to a compromised key", "`rotator resume NAME` goes on to the new one"
        )
    if phase in UNDOING:
        return Refusal(
            "it is being undone already", "`rotator resume NAME` carries a stuck undo on"
        )
    if phase in FORWARD_AFTER_GENERATE:
        if (
            rotation.forward_only
            and rotation.phase is Phase.STUCK
            and rotation.old is not None
            and rotation.new
        ):
            return incident.over(
                rotation, "given up by a person's order", at=rotation.now
            )  # neither on nor back
        if rotation.forward_only:
            return Refusal(
                "there is no previous key to go back to",
                "`rotator resume NAME` goes on to the new one",
            )
        return undo.begin(rotation, Failed(rotation.now, UNDONE))
    if phase is Phase.RECOGNISE or (rotation.phase is Phase.STUCK and phase is Phase.RECOVER):
        return _give_up(rotation, phase)
    if phase in (Phase.PREFLIGHT, Phase.REVIVE) or (
        phase is Phase.GENERATE and rotation.plan.supplied
    ):
        return undo.settled(replace(rotation, problem=UNDONE))
    return Refusal(
        "a key may just have been made", "let it be found first: `rotate NAME` carries on"
    )


def _give_up(rotation: Rotation, phase: Phase) -> Rotation | Refusal:
    """A new key that nothing holds, and whose id is not certain: it is looked for by its label,
    else by a person.
    """
    if rotation.plan.overlap is Overlap.NONE:
        return Refusal(
            "the new key may have killed the previous one",
            "`rotator resume NAME` goes on to the new one",
        )
    ordered = replace(rotation, problem=UNDONE, question="", hint="")
    if phase is Phase.RECOVER:  # a person has looked, and what there is stays named
        return undo.settled(ordered)
    ordered = replace(
        ordered, possible_orphan=f"{rotation.new}, attempt {rotation.attempt} of {rotation.id}"
    )
    if rotation.plan.recovery is not Recovery.LABEL:
        return undo.settled(ordered)
    return replace(ordered.to(Phase.RECOVER), new=None, last_create=True)


def _compromise(rotation: Rotation) -> Rotation | Refusal:
    if rotation.phase is Phase.STUCK:
        return incident.hurried(rotation, rotation.now)
    if rotation.phase in UNDOING:
        return Refusal(
            "it is being undone; that is finished first, then a compromised rotation follows"
        )
    return replace(rotation, compromised=True, forward_only=True)


def order_debt(debt: Debt, order: Order, at: float) -> Debt | Refusal:
    """The debt after the order, or why not."""
    debt = replace(debt, now=max(debt.now, at))
    if not debt.open:
        return Refusal(f"{debt.key} is dealt with already")
    if order is Order.REVOKE_FIRST:
        return debts_of.kill(debt)
    if order is Order.FORGET:
        return _let_go(debt)
    if debt.cause is Cause.UNDECIDED and order is not Order.REVOKE:
        return Refusal(
            f"nobody has decided about {debt.key}",
            debts_of.DECIDE.format(name=debt.playbook, key=debt.key),
        )
    match order:
        case Order.RESUME:
            return _resume_debt(debt)
        case Order.UNDO:
            return _free_to_go_back(debt)
        case Order.REVOKE | Order.COMPROMISED:
            return _hurry(debt, order)
        case Order.ABANDON:
            return Refusal(
                "only a rotation can be abandoned",
                f"`rotator revoke {debt.playbook}` revokes it now",
            )
        case _:
            return _confirm(debt)


def _let_go(debt: Debt) -> Debt | Refusal:
    """A person's word that it is somebody else's. One that rotator surely made dies instead."""
    if debt.cause in (Cause.UNDECIDED, Cause.DISCARDED):
        return debts_of.void(debt)
    return Refusal(
        f"{debt.key} was made by rotator, or in force here",
        f"`rotator revoke {debt.playbook}` ends it",
    )


_NO_WAY_BACK = "rotate again: `rotate NAME`"


def _free_to_go_back(debt: Debt) -> Debt | Refusal:
    """Whether consumers may be given this key again.

    Once its revocation is intended, it counts as dead.
    """
    if debt.cause is Cause.COMPROMISED:
        return Refusal("nothing goes back to a compromised key", _NO_WAY_BACK)
    if debt.cause is not Cause.ROTATED:
        return Refusal(f"{debt.key} was never the current key", _NO_WAY_BACK)
    going = debt.phase is DebtPhase.REVOKE and not debt.plan.supplied
    if (
        going
        or debt.revoke_intended
        or debt.phase in DEAD_PHASES
        or debt.plan.overlap is Overlap.NONE
    ):
        return Refusal(f"the previous key {debt.key} is revoked, or may be", _NO_WAY_BACK)
    if debt.phase in (DebtPhase.DEACTIVATE, DebtPhase.REACTIVATE):
        return Refusal(f"{debt.key} is being changed at the provider", "try again in a moment")
    return debt


def go_back(rotation: Rotation | None, debts: tuple[Debt, ...], at: float) -> Debt | Refusal:
    """Undo after the pivot: the debt of the previous key, to which a new rotation may go back."""
    if rotation is None or rotation.old is None or not rotation.pivoted:
        return Refusal("there is nothing to undo", "`rotator status` shows how it stands")
    debt = next((one for one in debts if one.open and one.key.same(rotation.old)), None)
    if debt is None:
        return Refusal(f"the previous key {rotation.old} is revoked", _NO_WAY_BACK)
    return order_debt(debt, Order.UNDO, at)


def begin_back(new_id: str, plan: Plan, debt: Debt, at: float) -> Rotation:
    """The rotation back to the key of this debt, which is frozen from now on."""
    revive = debt.deactivated or debt.deactivate_intended
    return Rotation(
        new_id, debt.playbook, plan, now=at, since=at, new=debt.key, back=True, revive=revive
    )


def _resume_debt(debt: Debt) -> Debt:
    if debt.by_hand and debt.asks:  # its provider may be able to by now
        return debt_before.again(replace(debt, by_hand=False, attention=""))
    if debt.phase is not DebtPhase.HELD:
        return replace(debt, wake=None) if debt.phase is not DebtPhase.GRACE else debt
    at_once = replace(debt, person=False, wake=debt.now)
    return debts_of.apply(at_once, Done(debt.now))


def _confirm(debt: Debt) -> Debt | Refusal:
    if debt.asks:
        return replace(debt_death.to_be_proven(debt), revoke_intended=True, attention="")
    return Refusal(
        f"{debt.key} does not wait for a confirmation", "`rotator status` says what it waits for"
    )


def _hurry(debt: Debt, order: Order) -> Debt:
    """No grace and no quiet any more; the look stays."""
    if debt.cause is Cause.UNDECIDED:
        debt = replace(debt, cause=Cause.SWEPT)
    if order is Order.COMPROMISED and debt.cause is Cause.ROTATED:
        debt = replace(debt, cause=Cause.COMPROMISED)
    if debt.phase in (DebtPhase.GRACE, DebtPhase.QUIET):
        return debts_of.begin(replace(debt, cause=Cause.COMPROMISED))
    return replace(debt, wake=None) if debt.phase is not DebtPhase.HELD else _resume_debt(debt)
