"""Paying a debt: grace, quiet, look, deactivate, soak, look, revoke, prove, retire, sweep; then
watch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rotator.core.action import (
    Action,
    Ask,
    Call,
    Done,
    Failed,
    Finish,
    Kind,
    Later,
    Op,
    Result,
    Unknown,
    WaitUntil,
)
from rotator.core.debt_state import DEAD_PHASES, PROOFS, Debt, DebtPhase, Proof
from rotator.core.look import Facts, look
from rotator.core.state import CLOCKS_AGREE, Cause

P = DebtPhase
_WATCH_EVERY = 30.0
_BAD_IN_A_ROW = 3
_TOLD_AFTER = 4  # failures in a row of what is to happen at once: some seconds
DECIDE = (
    "`rotator adopt {name}` makes what the stores hold the key in force, `rotator revoke {name}"
    " --key {key}` kills"
)
_UNTOLD = 600.0  # seconds until a provider that did not say when a key was last used is asked again

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
            return _before_look(debt)


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
    """The key is current again: no debt."""
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
    return again(debt)


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


def _again(debt: Debt, failed: Failed) -> Debt:
    """A debt has no deadline: it is asked again for ever, and told when that lasts."""
    tries = debt.tries + 1
    pause = debt.plan.policy.pause(tries, failed.retry_in)
    lasting = debt.now - debt.since >= debt.plan.policy.deadline
    told = lasting or (debt.at_once and tries >= _TOLD_AFTER)
    attention = failed.message if told else debt.attention
    if debt.phase in (P.REVOKE, P.DEACTIVATE):
        debt = replace(again(debt), since=debt.since)
    return replace(debt.later(pause), tries=tries, attention=attention)


def _grace(debt: Debt, result: Result) -> Debt:
    return _after_grace(debt) if isinstance(result, Done) else debt


def _after_grace(debt: Debt) -> Debt:
    """Where the provider does not tell when a key was last used, grace alone protects whoever still
    uses it.
    """
    return debt.to(P.QUIET) if _asks_quiet(debt) else _before_look(debt)


def _quiet(debt: Debt, result: Result) -> Debt:
    """Quiet long enough? `Done.data` is when the key was last used by others than us, None if
    never.

    A provider that tells the last use, and does not now, has not said that the key is unused.
    """
    if isinstance(result, Failed):
        if result.kind is Kind.UNSUPPORTED and debt.plan.tells_use is None:
            return _before_look(debt)
        return _not_quiet(
            debt, f"when {debt.key} was last used cannot be told: {result.message}", _UNTOLD
        )
    if not isinstance(result, Done):
        return debt
    used = result.data if isinstance(result.data, (int, float)) else None
    if used is None or debt.now - used >= debt.plan.policy.quiet:
        return _before_look(debt)
    return _not_quiet(
        debt, f"{debt.key} is still being used", used + debt.plan.policy.quiet - debt.now
    )


def _not_quiet(debt: Debt, why: str, pause: float) -> Debt:
    if debt.now - debt.since >= debt.plan.policy.quiet_deadline:
        return debt.held(why)
    return debt.later(max(1.0, pause))


def _before_look(debt: Debt) -> Debt:
    return _act(debt, P.BASELINE if _soaks(debt) else P.LOOK)


def _soaks(debt: Debt) -> bool:
    policy = debt.plan.policy
    return (
        debt.plan.can_deactivate
        and policy.soak > 0
        and debt.cause in (Cause.ROTATED, Cause.COMPROMISED)
    )


def _baseline(debt: Debt, result: Result) -> Debt:
    """A probe that fails already says nothing when it fails in soak."""
    if isinstance(result, Unknown):
        return debt
    return replace(_act(debt, P.LOOK), probes_pass=isinstance(result, Done))


def _look(debt: Debt, result: Result) -> Debt:
    """Anyone who holds the key, or may, stops it here."""
    if isinstance(result, Failed):
        return debt.held(result.message)
    if not (isinstance(result, Done) and isinstance(result.data, Facts)):
        return debt
    facts = result.data if debt.stored else replace(result.data, consumers=())
    verdict = look(facts, debt.key)
    if not verdict.clear:
        text = verdict.text.replace("the old key", str(debt.key))
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


def _deactivate(debt: Debt, result: Result) -> Debt:
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


def _soak(debt: Debt, result: Result) -> Debt:
    """Deactivated, not destroyed: if a probe that passed now fails in any way, several times, give
    the key back.
    """
    if isinstance(result, Failed) and debt.probes_pass:
        bad = debt.tries + 1
        if bad < _BAD_IN_A_ROW:
            return replace(debt.later(min(1.0, debt.plan.policy.first_retry)), tries=bad)
        what = f"a probe fails since {debt.key} was deactivated: {result.message}"
        if debt.cause is Cause.COMPROMISED:
            return debt.held(what + "; it is compromised and stays deactivated", person=True)
        return replace(debt.to(P.REACTIVATE), attention=what)
    if isinstance(result, Unknown):
        return debt
    left = debt.since + debt.plan.policy.soak - debt.now
    return (
        replace(debt.later(min(left, _WATCH_EVERY)), tries=0) if left > 0 else debt.to(P.LAST_LOOK)
    )


def _reactivate(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    if isinstance(result, Failed):
        return debt.held(
            f"{debt.attention}; and it could not be reactivated: {result.message}", person=True
        )
    return replace(debt, deactivated=False).held(debt.attention, person=True)


def _suspect(debt: Debt, result: Result) -> Debt:
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
    return debt.later(min(left, _WATCH_EVERY)) if left > 0 else debt.to(P.LAST_LOOK)


def _revoke(debt: Debt, result: Result) -> Debt:
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


def _prove(debt: Debt, result: Result) -> Debt:
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


def _retire(debt: Debt, result: Result) -> Debt:
    """An old version that cannot be retired holds a dead key: told in the audit, nothing waits for
    it.
    """
    return debt if isinstance(result, Unknown) else _retire_next(debt, debt.target + 1)


def _sweep(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    debt = replace(debt, swept=True)
    if debt.proven:
        return _over(debt)
    return replace(debt.to(P.PROVE), wake=max(debt.now, debt.asked_at + _between_proofs(debt)))


def _over(debt: Debt) -> Debt:
    watches = debt.plan.policy.watch > 0 and debt.cause in (Cause.ROTATED, Cause.COMPROMISED)
    return debt.to(P.WATCH if watches else P.PAID)


def _watch(debt: Debt, result: Result) -> Debt:
    if isinstance(result, Unknown):
        return debt
    bad = debt.tries + 1 if isinstance(result, Failed) else 0
    if not bad:
        debt = replace(debt, attention="")
    if bad == _BAD_IN_A_ROW and isinstance(result, Failed):
        debt = replace(
            debt, attention=f"a probe fails since {debt.key} was revoked: {result.message}"
        )
    left = debt.since + debt.plan.policy.watch - debt.now
    return replace(debt.later(min(left, _WATCH_EVERY)), tries=bad) if left > 0 else debt.to(P.PAID)


def _held(debt: Debt, result: Result) -> Debt:
    return debt


_ROWS: dict[DebtPhase, Callable[[Debt, Result], Debt]] = {
    P.GRACE: _grace,
    P.QUIET: _quiet,
    P.BASELINE: _baseline,
    P.LOOK: _look,
    P.LAST_LOOK: _look,
    P.DEACTIVATE: _deactivate,
    P.SOAK: _soak,
    P.SUSPECT: _suspect,
    P.REVOKE: _revoke,
    P.PROVE: _prove,
    P.RETIRE: _retire,
    P.SWEEP: _sweep,
    P.WATCH: _watch,
    P.REACTIVATE: _reactivate,
    P.HELD: _held,
}
