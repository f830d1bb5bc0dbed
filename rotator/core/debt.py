"""Paying a debt: grace, quiet, look, deactivate, soak, look, revoke, prove, retire, sweep; then
watch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rotator.core import debt_before, debt_death
from rotator.core.action import (
    Action,
    Ask,
    Call,
    Done,
    Failed,
    Finish,
    Later,
    Op,
    Result,
    WaitUntil,
)
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.state import CLOCKS_AGREE, Cause

P = DebtPhase
_TOLD_AFTER = 4  # failures in a row of what is to happen at once: some seconds
DECIDE = (
    "`rotator adopt {name}` makes what the stores hold the key in force, `rotator revoke {name}"
    " --key {key}` kills"
)

_CALLS: dict[DebtPhase, Op] = {
    P.QUIET: Op.QUIET,
    P.BASELINE: Op.WATCH,
    P.LOOK: Op.LOOK,
    P.DEACTIVATE: Op.DEACTIVATE,
    P.SOAK: Op.WATCH,
    P.SUSPECT: Op.SUSPECT,
    P.LAST_LOOK: Op.LOOK,
    P.REVOKE: Op.REVOKE,
    P.PROVE: Op.PROVE,
    P.RETIRE: Op.RETIRE,
    P.SWEEP: Op.SWEEP,
    P.WATCH: Op.WATCH,
    P.REACTIVATE: Op.REACTIVATE,
}


def next_action(debt: Debt) -> Action:
    if not debt.open:
        return Finish(None)
    if debt.wake is not None:
        return WaitUntil(debt.wake, f"{debt.phase} of {debt.key}")
    if debt.phase is P.GRACE:
        return WaitUntil(debt.born + debt.plan.policy.grace, f"grace of {debt.key}")
    if debt.phase is P.HELD:
        return Ask("adopt" if debt.cause is Cause.UNDECIDED else "resume", debt.attention)
    if debt.asks:
        return Ask(
            "confirm",
            debt.attention or f"destroy {debt.key} in the provider's console, then say so",
        )
    return Call(_CALLS[debt.phase], "revoke", debt.target, debt.key)


def apply(debt: Debt, result: Result) -> Debt:
    """What a result teaches. Pure and total over phases and results."""
    debt = replace(debt, now=max(debt.now, result.at))
    if not debt.open:
        return debt
    if debt.wake is not None:
        return _woken(debt) if isinstance(result, Done) else debt
    if isinstance(result, Later):
        return debt.later(result.retry_in)
    if (
        isinstance(result, Failed)
        and not result.permanent
        and debt.phase not in (P.SOAK, P.WATCH, P.BASELINE)
    ):
        return _again(debt, result)
    return _ROWS[debt.phase](debt, result)


def begin(debt: Debt) -> Debt:
    """Where a new debt starts: only an orderly rotation's old key has grace and quiet."""
    debt = replace(debt, born=debt.now)
    match debt.cause:
        case Cause.ROTATED:
            return debt.to(P.GRACE)
        case Cause.DISCARDED:
            return replace(debt.to(P.SUSPECT), deactivated=True)
        case Cause.UNDECIDED:
            decide = DECIDE.format(name=debt.playbook, key=debt.key)
            return debt.held(f"nobody has decided about {debt.key}: {decide}", person=True)
        case _:
            return debt_before.before_look(debt)


def by_boot_clock(debt: Debt, now: float, boot: str, boot_now: float) -> Debt:
    """No wait is over, and none becomes endless, because the wall clock jumped.

    Within one boot its clock must agree to five minutes; what the debt knows of times is moved by
    what it does not.
    """
    if debt.boot != boot or not boot:
        return debt
    jumped = (now - debt.born) - (boot_now - debt.boot_at)
    if abs(jumped) <= CLOCKS_AGREE:
        return debt
    moved = {name: getattr(debt, name) + jumped for name in ("born", "since", "now", "asked_at")}
    return replace(debt, wake=debt.wake + jumped if debt.wake is not None else None, **moved)


def kill(debt: Debt) -> Debt:
    """A person's order that it die at once, whoever holds it.

    What is dead already only goes on being proven.
    """
    debt = replace(debt, at_once=True, cause=Cause.COMPROMISED)
    if debt.phase in DEAD_PHASES:
        return replace(debt, wake=None)
    asked = debt.plan.supplied or debt.by_hand
    return replace(debt.to(P.REVOKE), person=False, attention="", revoke_intended=not asked)


def void(debt: Debt) -> Debt:
    """The key is current debt_before.again: no debt."""
    return debt.to(P.VOID)


def _woken(debt: Debt) -> Debt:
    debt = replace(debt, wake=None)
    if debt.phase is P.HELD and not debt.person:
        return _look_again(debt)
    return debt


def _look_again(debt: Debt) -> Debt:
    """From the look that stopped it, or its quiet; the attention stays until the look passes."""
    if debt.cause is Cause.DISCARDED:
        return debt.to(P.SUSPECT)
    return debt_before.again(debt)


def _again(debt: Debt, failed: Failed) -> Debt:
    """A debt has no deadline: it is asked debt_before.again for ever, and told when that lasts."""
    tries = debt.tries + 1
    pause = debt.plan.policy.pause(tries, failed.retry_in)
    lasting = debt.now - debt.since >= debt.plan.policy.deadline
    told = lasting or (debt.at_once and tries >= _TOLD_AFTER)
    attention = failed.message if told else debt.attention
    if debt.phase in (P.REVOKE, P.DEACTIVATE):
        debt = replace(debt_before.again(debt), since=debt.since)
    return replace(debt.later(pause), tries=tries, attention=attention)


def _held(debt: Debt, result: Result) -> Debt:
    return debt


_ROWS: dict[DebtPhase, Callable[[Debt, Result], Debt]] = {
    P.GRACE: debt_before.grace,
    P.QUIET: debt_before.quiet,
    P.BASELINE: debt_before.baseline,
    P.LOOK: debt_before.look_before,
    P.LAST_LOOK: debt_before.look_before,
    P.DEACTIVATE: debt_before.deactivate,
    P.SOAK: debt_before.soak,
    P.SUSPECT: debt_before.suspect,
    P.REVOKE: debt_death.revoke,
    P.PROVE: debt_death.prove,
    P.RETIRE: debt_death.retire,
    P.SWEEP: debt_death.sweep,
    P.WATCH: debt_death.watch,
    P.REACTIVATE: debt_before.reactivate,
    P.HELD: _held,
}
