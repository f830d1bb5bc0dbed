"""Forward: preflight, generate, check, store, restart, verify, look, pivot. One function a phase; each is total."""

from __future__ import annotations

from dataclasses import replace

from rotator.core import undo
from rotator.core.action import Action, Ask, Call, Done, Failed, Kind, Op, Read, Ready, Result, Unknown, Written
from rotator.core.look import Facts
from rotator.core.look import look as verdict_of
from rotator.core.state import Cause, Key, Outcome, Owed, Phase, Rotation, Write
from rotator.model import Overlap, Recovery


def preflight(rotation: Rotation, result: Result) -> Rotation:
    """Nothing has changed yet: a failure refuses; a full quota or slot waits for the debt that fills it."""
    if isinstance(result, Failed):
        return replace(rotation.end(Outcome.REFUSED), problem=result.message, hint=result.hint)
    if not (isinstance(result, Done) and isinstance(result.data, Ready)):
        return rotation
    ready = result.data
    if ready.wait:
        return replace(rotation.later(rotation.plan.policy.longest_retry), problem=ready.wait)
    owed = tuple(Owed(key, Cause.ROTATED) for key in ready.superseded)
    if owed and rotation.plan.overlap is Overlap.TWO_SLOTS:  # somebody may still hold what the idle slot has
        return replace(rotation.later(rotation.plan.policy.first_retry), old=ready.old, owed=owed)
    writes = tuple(Write(expect=version, replaced=version) for version in ready.versions)
    there_already = rotation.back and ready.old is not None and ready.old.same(rotation.new)  # put back by hand
    no_way_back = rotation.compromised or ready.old_dead or ready.old is None or there_already
    rotation = replace(rotation, old=ready.old, writes=writes, owed=owed, forward_only=no_way_back, problem="")
    return begin_attempt(rotation)


def begin_attempt(rotation: Rotation) -> Rotation:
    """Before a create: note what there is, where recovery will need it. Going back creates nothing."""
    if rotation.back:
        return rotation.to(Phase.REVIVE if rotation.revive else Phase.CHECK)
    if rotation.plan.supplied or rotation.plan.recovery not in (Recovery.DIFFERENCE, Recovery.REREAD):
        return replace(rotation.to(Phase.GENERATE), asked_at=rotation.now)
    return rotation.to(Phase.SNAPSHOT)


def snapshot(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return _nothing_made(rotation, result)
    if isinstance(result, Done) and isinstance(result.data, tuple):
        return replace(rotation.to(Phase.GENERATE), snapshot=result.data, asked_at=rotation.now)
    return rotation


def ask_or_generate(rotation: Rotation) -> Action:
    if rotation.plan.supplied:
        return Ask("supply", "the new key, made by a person in the provider's console")
    return Call(Op.GENERATE, "generate", attempt=rotation.attempt, handle=rotation.handle)


def generate(rotation: Rotation, result: Result) -> Rotation:
    """The one call that is never repeated blindly."""
    match result:
        case Done(data=Key() as key):
            return made(rotation, key)
        case Unknown():
            return rotation.to(Phase.RECOVER)
        case Failed():
            return _nothing_made(rotation, result)
        case _:
            return rotation


def made(rotation: Rotation, key: Key) -> Rotation:
    """The new key exists and is sealed. Where a new key kills the old one, this is the pivot."""
    rotation = replace(rotation, new=key, problem="")
    if rotation.plan.overlap is Overlap.NONE:
        rotation = replace(rotation, forward_only=True)
    if rotation.revoke_first and rotation.old is not None:
        return rotation.to(Phase.KILL)
    return rotation.to(Phase.CHECK)


def _nothing_made(rotation: Rotation, failed: Failed) -> Rotation:
    """A definite no: there is no new key. With --revoke-first the leaked one dies all the same."""
    rotation = replace(rotation, problem=failed.message, hint=failed.hint)
    if rotation.revoke_first and rotation.old is not None:
        return rotation.to(Phase.KILL)
    if rotation.attempt > 1 and rotation.plan.overlap is Overlap.NONE:
        return rotation.stuck(f"no new key, and the old one may be dead: {failed.message}")
    outcome = Outcome.ROLLED_BACK if rotation.attempt > 1 or rotation.possible_orphan else Outcome.REFUSED
    return rotation.end(outcome)


def kill(rotation: Rotation, result: Result) -> Rotation:
    """--revoke-first: a person ordered that the old key die before the consumers have the new one."""
    if isinstance(result, Failed):
        return replace(rotation.stuck("the old key could not be revoked: " + result.message), hint=result.hint)
    if not isinstance(result, Done):
        return rotation
    if rotation.new is None:
        return rotation.end(Outcome.ABANDONED)
    return rotation.to(Phase.CHECK)


def revive(rotation: Rotation, result: Result) -> Rotation:
    """Going back to a key that its debt had deactivated. Nothing else has changed yet."""
    if isinstance(result, Failed):
        problem = f"the previous key could not be reactivated: {result.message}"
        return replace(rotation.end(Outcome.REFUSED), problem=problem, hint=result.hint)
    return rotation.to(Phase.CHECK) if isinstance(result, Done) else rotation


def check(rotation: Rotation, result: Result) -> Rotation:
    """A fresh key may take a while to be known everywhere: a refusal is asked again until the deadline."""
    match result:
        case Done():
            return _store(rotation, 0)
        case Failed(kind=Kind.REJECTED) if rotation.now - rotation.since < rotation.plan.policy.deadline:
            tries = rotation.tries + 1
            return replace(rotation.later(rotation.plan.policy.backoff(tries)), tries=tries, problem=result.message)
        case Failed():
            return undo.begin(rotation, result)
        case _:
            return rotation


def _store(rotation: Rotation, target: int) -> Rotation:
    """The next store, or, all written, the consumers. A followed store is only read; so is one that may be written."""
    if target >= len(rotation.plan.stores):
        return begin_restarts(rotation)
    following = rotation.plan.stores[target].follows
    rotation = rotation.to(Phase.READ if following else Phase.WRITE, target)
    return rotation.with_write(intended=True)


def write(rotation: Rotation, result: Result) -> Rotation:
    match result:
        case Done(data=Written(version=version)):
            rotation = rotation.with_write(version=version, expect=version, at=rotation.now, touched=True)
            return _store(rotation, rotation.target + 1)
        case Unknown():
            return _read_back(rotation.with_write(uncertain=True, touched=True), result)
        case Failed(kind=Kind.CONFLICT) if rotation.tries < rotation.plan.policy.rounds:
            return _read_back(rotation, result)
        case Failed():
            return undo.begin(rotation, result)
        case _:
            return rotation


def _read_back(rotation: Rotation, result: Unknown | Failed) -> Rotation:
    """See what the store holds now, a few times at most."""
    tries = rotation.tries + 1
    if tries > rotation.plan.policy.rounds:
        return undo.begin(rotation, Failed(result.at, f"{rotation.store.name}: {result.message}"))
    return replace(rotation.to(Phase.READ, rotation.target), tries=tries)


def read(rotation: Rotation, result: Result) -> Rotation:
    """After a lost answer or a conflict: is it ours, still the old one, or a stranger's?"""
    if isinstance(result, Failed):
        return undo.begin(rotation, result)
    if not (isinstance(result, Done) and isinstance(result.data, Read)):
        return rotation
    found = result.data
    new = rotation.new
    if new is not None and found.fingerprint == new.fingerprint and not rotation.store.write_only:
        rotation = rotation.with_write(version=found.version, expect=found.version, at=rotation.now, touched=True)
        return _store(rotation, rotation.target + 1)
    if rotation.store.follows:
        return _follow(rotation, result)
    if rotation.old is not None and found.fingerprint not in (None, "", rotation.old.fingerprint):
        return undo.begin(
            rotation,
            Failed(
                result.at,
                f"{rotation.store.name} was changed by somebody else",
                "find out who writes it; rotator never overwrites a value it does not know",
            ),
        )
    tries = rotation.tries
    return replace(rotation.with_write(expect=found.version).to(Phase.WRITE, rotation.target), tries=tries)


def _follow(rotation: Rotation, result: Result) -> Rotation:
    """A store that a controller fills: wait until it holds the new key."""
    if rotation.now - rotation.since >= rotation.plan.policy.deadline:
        return undo.begin(
            rotation,
            Failed(result.at, f"{rotation.store.name} did not take over the new key", "is its controller running?"),
        )
    tries = rotation.tries + 1
    return replace(rotation.later(rotation.plan.policy.backoff(tries)), tries=tries)


def begin_restarts(rotation: Rotation) -> Rotation:
    """Restart every consumer, in order, as one change."""
    rotation = replace(rotation, round=rotation.round + 1, round_at=rotation.now)
    return _restart(rotation, 0)


def _restart(rotation: Rotation, target: int) -> Rotation:
    if target >= len(rotation.plan.consumers):
        return rotation.to(Phase.VERIFY)
    return rotation.to(Phase.RESTART, target)


def restart(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return undo.begin(rotation, result)
    return rotation.to(Phase.CONVERGE, rotation.target) if isinstance(result, Done) else rotation


def converge(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return undo.begin(rotation, result)
    return _restart(rotation, rotation.target + 1) if isinstance(result, Done) else rotation


def verify(rotation: Rotation, result: Result) -> Rotation:
    """All probes, several times in a row; a refusal may be a slow edge, so it is asked again until the deadline."""
    match result:
        case Done():
            passes = rotation.passes + 1
            if passes < rotation.plan.policy.passes:
                return replace(rotation.later(rotation.plan.policy.pass_interval), passes=passes)
            return rotation.to(Phase.LOOK)
        case Failed(kind=Kind.REJECTED) if rotation.now - rotation.since < rotation.plan.policy.deadline:
            tries = rotation.tries + 1
            pause = rotation.plan.policy.backoff(tries)
            return replace(rotation.later(pause), tries=tries, passes=0, problem=result.message)
        case Failed():
            return undo.begin(rotation, result)
        case _:
            return rotation


def look(rotation: Rotation, result: Result) -> Rotation:
    """Read everything once more; only then is the new key current and the old one a debt."""
    if isinstance(result, Failed):
        return undo.begin(rotation, result)
    if not (isinstance(result, Done) and isinstance(result.data, Facts)):
        return rotation
    verdict = verdict_of(result.data, rotation.old or Key(), rotation.new)
    stores = {store.name for store in result.data.stores}
    in_stores = [name for name in verdict.holders if name.split(" (written by ")[0] in stores]
    if verdict.clear and not verdict.strangers:
        return pivot(rotation)
    if in_stores or verdict.strangers:
        names = ", ".join([*in_stores, *verdict.strangers])
        return undo.begin(
            rotation,
            Failed(
                result.at,
                f"somebody changed {names} after it was written",
                "find out who writes it (GitOps, another rotator, a person)",
            ),
        )
    if rotation.round < rotation.plan.policy.rounds:
        return begin_restarts(rotation)
    return undo.begin(
        rotation,
        Failed(
            result.at,
            f"not proven to run with the new key: {verdict.text}",
            "does the consumer read the key when it starts?",
        ),
    )


def pivot(rotation: Rotation) -> Rotation:
    """From here on only forward: the old key is a debt."""
    owed = rotation.owed
    if rotation.old is not None and not (rotation.new is not None and rotation.old.same(rotation.new)):
        cause = Cause.COMPROMISED if rotation.compromised else Cause.ROTATED
        owed = (*owed, Owed(rotation.old, cause))
    return replace(rotation.end(Outcome.VERIFIED), owed=owed, pivoted=True, problem="", hint="")
