"""A debt before its key ends: grace, quiet, the look, deactivation and soak."""

from __future__ import annotations

from dataclasses import replace

from rotator.core.action import Done, Failed, Kind, Result, Unknown
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.look import Facts, look
from rotator.core.state import Cause

P = DebtPhase
WATCH_EVERY = 30.0  # seconds between two rounds of probes, in soak and in watch
BAD_IN_A_ROW = 3  # rounds in which a probe fails, until that counts
# Seconds until a provider that did not say when a key was last used is asked again
_UNKNOWN_USE = 600.0


def again(debt: Debt) -> Debt:
    """Quiet and the look are only worth something right before their act: both are asked again."""
    if debt.at_once:
        return debt.to(P.REVOKE)
    return debt.to(P.QUIET) if _asks_quiet(debt) else _look_phase(debt)


def _look_phase(debt: Debt) -> Debt:
    return debt.to(P.LAST_LOOK if debt.deactivated else P.LOOK)


def _asks_quiet(debt: Debt) -> bool:
    """Before the first act that disturbs.

    A leaked key is not waited for, nor one that nobody can use any more.
    """
    told = debt.plan.tells_use is not False
    return (
        told and debt.plan.policy.quiet > 0 and debt.cause is Cause.ROTATED and not debt.deactivated
    )


def grace(debt: Debt, result: Result) -> Debt:
    return after_grace(debt) if isinstance(result, Done) else debt


def after_grace(debt: Debt) -> Debt:
    """Where the provider does not tell when a key was last used, grace alone protects whoever still
    uses it.
    """
    return debt.to(P.QUIET) if _asks_quiet(debt) else before_look(debt)


def quiet(debt: Debt, result: Result) -> Debt:
    """Quiet long enough? `Done.data` is when the key was last used by others than us, None if
    never.

    A provider that tells the last use, and does not now, has not said that the key is unused.
    """
    if isinstance(result, Failed):
        if result.kind is Kind.UNSUPPORTED and debt.plan.tells_use is None:
            return before_look(debt)
        return _not_quiet(
            debt, f"when {debt.key} was last used cannot be told: {result.message}", _UNKNOWN_USE
        )
    if not isinstance(result, Done):
        return debt
    used = result.data if isinstance(result.data, (int, float)) else None
    if used is None or debt.now - used >= debt.plan.policy.quiet:
        return before_look(debt)
    return _not_quiet(
        debt, f"{debt.key} is still being used", used + debt.plan.policy.quiet - debt.now
    )


def _not_quiet(debt: Debt, why: str, pause: float) -> Debt:
    if debt.now - debt.since >= debt.plan.policy.quiet_deadline:
        return debt.held(why)
    return debt.later(max(1.0, pause))


def before_look(debt: Debt) -> Debt:
    return _act(debt, P.BASELINE if _soaks(debt) else P.LOOK)


def _soaks(debt: Debt) -> bool:
    policy = debt.plan.policy
    return (
        debt.plan.can_deactivate
        and policy.soak > 0
        and debt.cause in (Cause.ROTATED, Cause.COMPROMISED)
    )


def baseline(debt: Debt, result: Result) -> Debt:
    """A probe that fails already says nothing when it fails in soak."""
    if isinstance(result, Unknown):
        return debt
    return replace(_act(debt, P.LOOK), probes_pass=isinstance(result, Done))


def look_before(debt: Debt, result: Result) -> Debt:
    """Anyone who holds the key, or may, stops it here."""
    if isinstance(result, Failed):
        return debt.held(result.message)
    if not (isinstance(result, Done) and isinstance(result.data, Facts)):
        return debt
    facts = result.data if debt.stored else replace(result.data, consumers=())
    verdict = look(facts, debt.key)
    if not verdict.clear:
        text = verdict.words(str(debt.key))
        if debt.revoke_intended:
            text += "; a revocation of it was already under way: it may be dead"
        return debt.held(text)
    debt = replace(debt, attention="")
    if debt.phase is P.LOOK and _soaks(debt):
        return replace(_act(debt, P.DEACTIVATE), deactivate_intended=True)
    return replace(_act(debt, P.REVOKE), revoke_intended=not debt.plan.supplied)


def _act(debt: Debt, phase: P) -> Debt:
    """The next step towards the key's end; the tries that failed before it go on being counted."""
    since = debt.since if debt.tries else debt.now
    return replace(debt.to(phase), tries=debt.tries, since=since)


def deactivate(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Done):
        return replace(debt.to(P.SOAK), deactivated=True)
    if isinstance(result, Failed):
        unable = result.kind is Kind.UNSUPPORTED
        return (
            replace(debt.to(P.REVOKE), revoke_intended=True)
            if unable
            else debt.held(result.message)
        )
    return again(debt)  # a lost answer: ask again before doing it again


def soak(debt: Debt, result: Result) -> Debt:
    """Deactivated, not destroyed: if a probe that passed now fails in any way, several times, give
    the key back.
    """
    if isinstance(result, Failed) and debt.probes_pass:
        bad = debt.tries + 1
        if bad < BAD_IN_A_ROW:
            return replace(debt.later(min(1.0, debt.plan.policy.first_retry)), tries=bad)
        what = f"a probe fails since {debt.key} was deactivated: {result.message}"
        if debt.cause is Cause.COMPROMISED:
            return debt.held(what + "; it is compromised and stays deactivated", person=True)
        return replace(debt.to(P.REACTIVATE), attention=what)
    if isinstance(result, Unknown):
        return debt
    left = debt.since + debt.plan.policy.soak - debt.now
    return (
        replace(debt.later(min(left, WATCH_EVERY)), tries=0) if left > 0 else debt.to(P.LAST_LOOK)
    )


def reactivate(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    if isinstance(result, Failed):
        return debt.held(
            f"{debt.attention}; and it could not be reactivated: {result.message}", person=True
        )
    return replace(debt, deactivated=False).held(debt.attention, person=True)


def suspect(debt: Debt, result: Result) -> Debt:
    """`Done.data` is True while the key is as we left it: deactivated and unused."""
    if isinstance(result, Failed):
        return debt.held(result.message)
    if not isinstance(result, Done):
        return debt
    if result.data is not True:
        return debt.held(
            f"{debt.key} was used or reactivated: it may be a colleague's", person=True
        )
    left = debt.born + debt.plan.policy.soak - debt.now
    return debt.later(min(left, WATCH_EVERY)) if left > 0 else debt.to(P.LAST_LOOK)
