"""A debt from the revocation on: its proof, what is left in stores, and the watch after it."""

from __future__ import annotations

from dataclasses import replace

from rotator.core.action import Done, Failed, Kind, Result, Unknown
from rotator.core.debt_before import BAD_IN_A_ROW, WATCH_EVERY, again
from rotator.core.debt_state import PROOFS, Debt, DebtPhase, Proof
from rotator.core.state import Cause

P = DebtPhase


def revoke(debt: Debt, result: Result) -> Debt:
    """After a lost answer ask again before repeating: the world may have changed meanwhile."""
    if isinstance(result, Done):
        return replace(to_be_proven(debt), attention="")
    if isinstance(result, Failed):
        return _not_revoked(debt, result)
    return again(debt)


def _not_revoked(debt: Debt, failed: Failed) -> Debt:
    """What its provider cannot do at all is asked of a person; what is to happen at once is tried
    again and again.
    """
    text = f"{debt.key} could not be revoked: {failed.message}"
    if failed.kind is Kind.UNSUPPORTED:
        hand = (
            f"{text}; destroy it in the provider's console, then `rotator confirm {debt.playbook}`"
        )
        return replace(debt.to(P.REVOKE), by_hand=True, revoke_intended=False, attention=hand)
    if not debt.at_once:
        return debt.held(text)
    tries = debt.tries + 1
    return replace(debt.later(debt.plan.policy.backoff(tries)), tries=tries, attention=text)


def to_be_proven(debt: Debt) -> Debt:
    """Revoked, as its provider or a person says."""
    return replace(debt.to(P.PROVE), passes=0)


def prove(debt: Debt, result: Result) -> Debt:
    """`Done.data` is the proof of its death that was seen, if any; several times in a row is
    enough.
    """
    if isinstance(result, Failed):
        unable = result.kind is Kind.UNSUPPORTED
        return _proven(replace(debt, passes=PROOFS)) if unable else debt.held(result.message)
    if not isinstance(result, Done):
        return debt
    debt = replace(debt, asked_at=debt.now)
    if not isinstance(result.data, Proof) or not result.data:
        return _accepted(debt)
    debt = replace(debt, passes=debt.passes + 1)
    if debt.passes >= PROOFS:
        return _proven(replace(debt, proof=result.data, attention=""))
    pause = _between_proofs(debt)
    if pause and _told_by_its_provider(debt):
        return _retire_next(debt, 0)
    return debt.later(pause) if pause else debt


def _accepted(debt: Debt) -> Debt:
    """It still works somewhere: the proofs begin anew, with longer pauses between them."""
    tries = debt.tries + 1
    if (debt.plan.supplied or debt.by_hand) and tries >= PROOFS:
        return replace(
            debt.to(P.REVOKE), attention=f"{debt.key} was said to be destroyed, and still works"
        )
    if debt.now - debt.since >= max(debt.plan.policy.deadline, _until_known(debt)):
        return debt.held(f"{debt.key} was revoked but is still accepted")
    return replace(debt.later(debt.plan.policy.backoff(tries)), tries=tries, passes=0)


def _between_proofs(debt: Debt) -> float:
    """They are spread over the time in which the end of a key becomes known everywhere."""
    return debt.plan.policy.spacing(_until_known(debt), PROOFS, debt.tries)


def _until_known(debt: Debt) -> float:
    """Seconds after its revocation in which some edge may still accept a key."""
    policy = debt.plan.policy
    return policy.propagation if policy.revocation is None else policy.revocation


def _told_by_its_provider(debt: Debt) -> bool:
    """That it is dead, and it was refused at once: then what is left of it is put away between two
    proofs.

    On a person's word, or where it worked for a while, all of them come first.
    """
    return not (debt.swept or debt.plan.supplied or debt.by_hand or debt.tries)


def _proven(debt: Debt) -> Debt:
    return _over(debt) if debt.swept else _retire_next(debt, 0)


def _retire_next(debt: Debt, target: int) -> Debt:
    """What died at once may still be the present version of a store: nothing of it is retired."""
    last = debt.at_once or target >= len(debt.plan.stores)
    return debt.to(P.SWEEP) if last else debt.to(P.RETIRE, target)


def retire(debt: Debt, result: Result) -> Debt:
    """An old version that cannot be retired holds a dead key: told in the audit, nothing waits for
    it.
    """
    return debt if isinstance(result, Unknown) else _retire_next(debt, debt.target + 1)


def sweep(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    debt = replace(debt, swept=True)
    if debt.proven:
        return _over(debt)
    return replace(debt.to(P.PROVE), wake=max(debt.now, debt.asked_at + _between_proofs(debt)))


def _over(debt: Debt) -> Debt:
    watches = debt.plan.policy.watch > 0 and debt.cause in (Cause.ROTATED, Cause.COMPROMISED)
    return debt.to(P.WATCH if watches else P.PAID)


def watch(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    bad = debt.tries + 1 if isinstance(result, Failed) else 0
    if not bad:
        debt = replace(debt, attention="")
    if bad == BAD_IN_A_ROW and isinstance(result, Failed):
        debt = replace(
            debt, attention=f"a probe fails since {debt.key} was revoked: {result.message}"
        )
    left = debt.since + debt.plan.policy.watch - debt.now
    return replace(debt.later(min(left, WATCH_EVERY)), tries=bad) if left > 0 else debt.to(P.PAID)
