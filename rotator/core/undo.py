"""Undo: put the previous credential back wherever the new one stands, restart all consumers,
destroy the new key.
"""

from __future__ import annotations

from dataclasses import replace

from rotator.core.action import Done, Failed, Kind, Read, Result, Unknown, Written
from rotator.core.look import Facts
from rotator.core.look import look as verdict_of
from rotator.core.state import Cause, Outcome, Owed, Phase, Rotation


def begin(rotation: Rotation, failed: Failed) -> Rotation:
    """A lasting failure between generate and pivot.

    Where nothing may go back to the old key, a person decides.
    """
    rotation = replace(rotation, problem=failed.message, hint=failed.hint)
    if rotation.forward_only or rotation.old is None:
        return rotation.stuck(
            f"the consumers cannot go on to the new key, and nothing goes back: {failed.message}"
        )
    return restore_from(rotation, 0)


def restore_from(rotation: Rotation, target: int) -> Rotation:
    """The next store that a write was ever intended for; then the consumers, if any store was
    touched.
    """
    stores = len(rotation.plan.stores)
    while target < stores and not rotation.writes[target].intended:
        target += 1
    if target < stores:
        return rotation.to(Phase.WAY_BACK, target)
    if any(write.touched for write in rotation.writes):
        return begin_restarts(rotation)
    return rotation.to(Phase.UNDO_VERIFY)


def way_back(rotation: Rotation, result: Result) -> Rotation:
    """The key that is about to be written back: refused several times, it is dead.

    Who cannot tell goes on.
    """
    match result:
        case Failed(kind=Kind.REJECTED):
            return _refused(rotation, result)
        case Done() | Failed():
            return replace(_next_step(rotation, Phase.RESTORE_READ), alive_at=rotation.now)
        case _:
            return rotation


def _next_step(rotation: Rotation, phase: Phase) -> Rotation:
    """For the same store; what failed before goes on being counted, and its deadline."""
    since = rotation.since if rotation.tries else rotation.now
    return replace(rotation.to(phase, rotation.target), tries=rotation.tries, since=since)


def _refused(rotation: Rotation, failed: Failed) -> Rotation:
    """The previous key died meanwhile: from here on only forward, once more from the check of the
    new one.
    """
    refusals = rotation.passes + 1
    if refusals < rotation.plan.policy.refusals:
        return replace(rotation.later(rotation.plan.policy.backoff(refusals)), passes=refusals)
    problem = (
        f"nothing goes back to {rotation.old}, which is refused now ({failed.message});"
        f" {rotation.problem}"
    )
    rotation = replace(rotation.to(Phase.CHECK), forward_only=True, resumed=rotation.round)
    return replace(rotation, problem=problem, hint=failed.hint)


def restore_read(rotation: Rotation, result: Result) -> Rotation:
    """Ours is replaced; the old one is rewritten only to outdate a write that may still arrive; a
    stranger's stays.
    """
    if isinstance(result, Failed):
        return replace(
            rotation.stuck(f"{rotation.store.name} cannot be read: {result.message}"),
            hint=result.hint,
        )
    if not (isinstance(result, Done) and isinstance(result.data, Read)):
        return rotation
    found, state, old, new = (
        result.data,
        rotation.writes[rotation.target],
        rotation.old,
        rotation.new,
    )
    holds_new = new is not None and found.fingerprint == new.fingerprint
    if (
        found.fingerprint is None
    ):  # write-only: put the old one back unless nothing was ever written
        holds_new = state.touched
    holds_old = old is not None and found.fingerprint == old.fingerprint
    if rotation.store.follows:
        return _follow(rotation, holds_old)
    if holds_new or (holds_old and state.uncertain):
        rotation = rotation.with_write(expect=found.version, touched=True)
        asked_long_ago = rotation.now - rotation.alive_at > rotation.plan.policy.longest_retry
        return _next_step(rotation, Phase.WAY_BACK if asked_long_ago else Phase.RESTORE)
    if not holds_old:
        rotation = rotation.with_write(
            touched=True
        )  # somebody's own value: consumers may have read ours before it
    return restore_from(rotation, rotation.target + 1)


def _follow(rotation: Rotation, holds_old: bool) -> Rotation:
    """A followed store that lags is waited for without end: nothing else would be safe."""
    rotation = rotation.with_write(touched=True)
    if holds_old:
        return restore_from(rotation.with_write(at=rotation.now), rotation.target + 1)
    tries = rotation.tries + 1
    return replace(rotation.later(rotation.plan.policy.backoff(tries)), tries=tries)


def restore(rotation: Rotation, result: Result) -> Rotation:
    match result:
        case Done(data=Written(version=version)):
            rotation = rotation.with_write(
                version=version, expect=version, at=rotation.now, uncertain=False
            )
            return restore_from(rotation, rotation.target + 1)
        case Unknown():
            return rotation.with_write(uncertain=True).to(Phase.WAY_BACK, rotation.target)
        case Failed(kind=Kind.CONFLICT) if rotation.tries < rotation.plan.policy.rounds:
            return replace(
                rotation.to(Phase.RESTORE_READ, rotation.target), tries=rotation.tries + 1
            )
        case Failed():
            question = (
                f"the previous key could not be put back into {rotation.store.name}:"
                f" {result.message}"
            )
            return replace(rotation.stuck(question), hint=result.hint)
        case _:
            return rotation


def begin_restarts(rotation: Rotation) -> Rotation:
    """All consumers: one that was never told may have started on its own and taken the
    new key up.
    """
    rotation = replace(rotation, round=rotation.round + 1, round_at=rotation.now)
    return _restart(rotation, None)


def _restart(rotation: Rotation, after: int | None) -> Rotation:
    target = rotation.consumer_after(after)
    if target is None:
        return rotation.to(Phase.UNDO_VERIFY)
    return rotation.to(Phase.UNDO_RESTART, target)


def restart(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return _not_back(rotation, result)
    return (
        rotation.to(Phase.UNDO_CONVERGE, rotation.target) if isinstance(result, Done) else rotation
    )


def converge(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return _not_back(rotation, result)
    return _restart(rotation, rotation.target) if isinstance(result, Done) else rotation


def _not_back(rotation: Rotation, failed: Failed) -> Rotation:
    question = f"{rotation.consumer} did not come back with the previous key: {failed.message}"
    return replace(rotation.that_failed().stuck(question), hint=failed.hint)


def verify(rotation: Rotation, result: Result) -> Rotation:
    """The old key must work before the new one dies. 'Cannot tell' is waited for without end."""
    if isinstance(result, Failed) and result.kind is Kind.REJECTED and not rotation.back:
        return _refused(rotation, result)
    if isinstance(result, Failed):
        return replace(
            rotation.stuck(f"the previous key is refused: {result.message}"), hint=result.hint
        )
    return rotation.to(Phase.UNDO_LOOK) if isinstance(result, Done) else rotation


def look(rotation: Rotation, result: Result) -> Rotation:
    """Nobody may hold the new key before it is destroyed."""
    if isinstance(result, Failed):
        return replace(
            rotation.stuck(f"not everything could be read: {result.message}"), hint=result.hint
        )
    if not (isinstance(result, Done) and isinstance(result.data, Facts)) or rotation.new is None:
        return rotation
    verdict = verdict_of(result.data, rotation.new)
    if verdict.clear or not any(write.touched for write in rotation.writes):
        return settle(rotation)
    if rotation.rounds < 2 * rotation.plan.policy.rounds:
        return restore_from(rotation, 0)
    return rotation.stuck(f"the new key cannot be destroyed: {verdict.words('the new key')}")


def settle(rotation: Rotation) -> Rotation:
    """The new key becomes a debt without grace; it is paid before the outcome is told.

    The previous key that a person wanted back is the debt that it was, from its grace on.
    """
    assert rotation.new is not None
    if rotation.back:
        return replace(
            rotation.end(Outcome.ROLLED_BACK),
            owed=(*rotation.owed, Owed(rotation.new, Cause.ROTATED)),
        )
    stored = any(write.touched for write in rotation.writes)
    return replace(
        rotation.to(Phase.SETTLE), owed=(*rotation.owed, Owed(rotation.new, Cause.UNDONE, stored))
    )


def settled(rotation: Rotation) -> Rotation:
    """The new key is gone: rolled back."""
    return rotation.end(Outcome.ROLLED_BACK)
