"""Preflight and generate: until there is a new key that its provider shows and accepts.

One function a phase; total.
"""

from __future__ import annotations

from dataclasses import replace

from rotator.core import forward, undo
from rotator.core.action import (
    Action,
    Ask,
    Call,
    Done,
    Failed,
    Kind,
    Op,
    Ready,
    Recognised,
    Result,
    Unknown,
)
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Owed, Phase, Rotation, Write
from rotator.model import Overlap, Recovery


def preflight(rotation: Rotation, result: Result) -> Rotation:
    """Nothing has changed yet: a failure refuses; a full quota or slot waits for the debt that
    fills it.
    """
    if isinstance(result, Failed):
        return _nothing_made(rotation, result)
    if not (isinstance(result, Done) and isinstance(result.data, Ready)):
        return rotation
    ready = result.data
    if ready.wait:
        return replace(rotation.later(rotation.plan.policy.longest_retry), problem=ready.wait)
    owed = tuple(Owed(key, Cause.ROTATED) for key in ready.superseded)
    if (
        owed and rotation.plan.overlap is Overlap.TWO_SLOTS
    ):  # somebody may still hold what the idle slot has
        return replace(rotation.later(rotation.plan.policy.first_retry), old=ready.old, owed=owed)
    writes = tuple(Write(expect=version, replaced=version) for version in ready.versions)
    there_already = (
        rotation.back and ready.old is not None and ready.old.same(rotation.new)
    )  # put back by hand
    no_way_back = rotation.compromised or ready.old_dead or ready.old is None or there_already
    rotation = replace(
        rotation, old=ready.old, writes=writes, owed=owed, forward_only=no_way_back, problem=""
    )
    rotation = replace(rotation, snapshot=ready.listed, shown=ready.shown)
    return begin_attempt(rotation)


def begin_attempt(rotation: Rotation) -> Rotation:
    """Before a create: note what there is, where recovery will need it.

    Going back creates nothing.
    """
    if rotation.back:
        return rotation.to(Phase.REVIVE if rotation.revive else Phase.CHECK)
    if rotation.plan.supplied or rotation.plan.recovery not in (
        Recovery.DIFFERENCE,
        Recovery.REREAD,
    ):
        return replace(rotation.to(Phase.GENERATE), asked_at=rotation.now)
    return rotation.to(Phase.SNAPSHOT)


def snapshot(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return _nothing_made(rotation, result)
    if isinstance(result, Done) and isinstance(result.data, tuple):
        return replace(rotation.to(Phase.GENERATE), snapshot=result.data, asked_at=rotation.now)
    return rotation


_SAME = "a create must make a key; does it answer the one that is there already?"


def ask_or_generate(rotation: Rotation) -> Action:
    if rotation.plan.supplied:
        return Ask("supply", "the new key, made by a person in the provider's console")
    return Call(Op.GENERATE, "generate", attempt=rotation.attempt, handle=rotation.handle)


def generate(rotation: Rotation, result: Result) -> Rotation:
    """The one call that is never repeated blindly."""
    match result:
        case Done(data=Key() as key) if (
            key.fingerprint and rotation.old and key.fingerprint == rotation.old.fingerprint
        ):
            return _nothing_made(
                rotation, Failed(result.at, "the create answered the key that is in force", _SAME)
            )
        case Done(data=Key() as key):
            return made(rotation, key)
        case Unknown(message=message, hint=hint, unreadable=True):
            return replace(rotation.to(Phase.RECOVER), problem=message, hint=hint, last_create=True)
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
    return _to_recognise(rotation)


def _to_recognise(rotation: Rotation) -> Rotation:
    """What the provider can show it must show before any store is written: a key is destroyed by
    its id.
    """
    plan = rotation.plan
    if plan.supplied or plan.recovery is not Recovery.NONE:
        return rotation.to(Phase.CHECK if plan.supplied else Phase.RECOGNISE)
    new, old = rotation.new, rotation.old
    if plan.overlap is Overlap.MANY and new and old and new.id and new.id == old.id:
        return _unrecognised(
            rotation.to(Phase.RECOGNISE), "the create answered the id of the key in force", ""
        )
    return rotation.to(Phase.CHECK)


def _nothing_made(rotation: Rotation, failed: Failed) -> Rotation:
    """A definite no: there is no new key."""
    rotation = replace(rotation, problem=failed.message, hint=failed.hint)
    if rotation.attempt > 1 and rotation.plan.overlap is Overlap.NONE:
        return rotation.stuck(f"no new key, and the old one may be dead: {failed.message}")
    outcome = (
        Outcome.ROLLED_BACK if rotation.attempt > 1 or rotation.possible_orphan else Outcome.REFUSED
    )
    return rotation.end(outcome)


def revive(rotation: Rotation, result: Result) -> Rotation:
    """Going back to a key that its debt had deactivated. Nothing else has changed yet."""
    if isinstance(result, Failed):
        problem = f"the previous key could not be reactivated: {result.message}"
        return replace(rotation.end(Outcome.REFUSED), problem=problem, hint=result.hint)
    return rotation.to(Phase.CHECK) if isinstance(result, Done) else rotation


def recognise(rotation: Rotation, result: Result) -> Rotation:
    """The new key as the provider shows it.

    Else nobody knows by which id it would be destroyed: a person looks.
    """
    if isinstance(result, Failed):
        return _unrecognised(rotation, f"the keys cannot be listed: {result.message}", result.hint)
    if not (isinstance(result, Done) and isinstance(result.data, Recognised)):
        return rotation
    found = result.data
    if found.problem:
        return _unrecognised(rotation, found.problem, found.hint)
    if found.shown:
        return replace(rotation.to(Phase.CHECK), snapshot=(), problem="", hint="")
    policy, waited = rotation.plan.policy, rotation.now - rotation.since
    if waited >= policy.list_lag:
        return _unrecognised(rotation, f"the provider does not show it after {waited:.0f} s", "")
    tries = rotation.tries + 1
    return replace(
        rotation.later(min(policy.backoff(tries), policy.list_lag - waited)), tries=tries
    )


def _unrecognised(rotation: Rotation, problem: str, hint: str) -> Rotation:
    question = (
        f"the new key {rotation.new} is not certain to be the one that the provider shows:"
        f" {problem}"
    )
    way_out = (
        f"no store was written; `rotator resume {rotation.playbook}` looks again, `rotator undo`"
        " gives it up"
    )
    return replace(rotation.stuck(question), hint=f"{hint}; {way_out}" if hint else way_out)


def check(rotation: Rotation, result: Result) -> Rotation:
    """Several passes, spread over the time in which a new key becomes known everywhere.

    A refusal begins them anew.
    """
    policy = rotation.plan.policy
    match result:
        case Done() if rotation.passes + 1 < policy.passes:
            return replace(rotation.later(_spacing(rotation)), passes=rotation.passes + 1)
        case Done():
            return forward.store_from(rotation, 0)
        case Failed(kind=Kind.REJECTED) if not _lastingly_refused(rotation):
            refused = replace(rotation, tries=rotation.tries + 1, passes=0, problem=result.message)
            return refused.later(max(policy.backoff(refused.tries), _spacing(refused)))
        case Failed():
            return undo.begin(rotation, result)
        case _:
            return rotation


def _lastingly_refused(rotation: Rotation) -> bool:
    """A new key may be unknown for a while, and a revived one; a previous key that is refused
    several times is dead.
    """
    policy = rotation.plan.policy
    if rotation.back and not rotation.revive:
        return rotation.tries + 1 >= policy.refusals
    return rotation.now - rotation.since >= policy.deadline


def _spacing(rotation: Rotation) -> float:
    """The pause between two passes; each refusal doubles it."""
    policy = rotation.plan.policy
    return policy.spacing(policy.propagation, policy.passes, rotation.tries)
