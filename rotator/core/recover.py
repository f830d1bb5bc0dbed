"""A create whose answer was lost: find what it left by the provider's declared kind, never make
another blindly.
"""

from __future__ import annotations

from dataclasses import replace

from rotator.core import generate
from rotator.core.action import Action, Call, Done, Failed, Op, Recovered, Result
from rotator.core.state import Cause, Outcome, Owed, Phase, Rotation
from rotator.model import Overlap, Recovery


def recover(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return _unknowable(rotation, result.message, result.hint)
    if not (isinstance(result, Done) and isinstance(result.data, Recovered)):
        return rotation
    found = result.data
    if found.ambiguous:
        return _unknowable(rotation, found.ambiguous, "")
    if found.reread is not None:
        names = ", ".join(str(key) for key in found.beside)
        return generate.made(
            replace(rotation, possible_orphan=names or rotation.possible_orphan), found.reread
        )
    left = tuple(key for key in found.found if not key.same(rotation.old))
    if left:
        return replace(rotation.to(Phase.DISCARD), found=left)
    if (
        rotation.plan.recovery is Recovery.REREAD and not rotation.last_create
    ):  # the slot is what it was: no create
        return generate.begin_attempt(rotation)
    seen_for = (
        rotation.now - rotation.since
    )  # the create may have happened until its answer was known to be lost
    if seen_for < rotation.plan.policy.list_lag:
        return rotation.later(rotation.plan.policy.list_lag - seen_for)
    return next_attempt(rotation)


def _unknowable(rotation: Rotation, message: str, hint: str) -> Rotation:
    """There may be a key that nobody can find or touch: name it, and let a person look."""
    name = f"attempt {rotation.attempt} of {rotation.id}"
    why = [rotation.problem if rotation.last_create else "", message]
    text = "; ".join(part for part in why if part) or "the answer to a create was lost"
    rotation = replace(rotation, possible_orphan=rotation.possible_orphan or name)
    question = f"{text}: look in the provider's console for the key of {name}"
    hint = hint or f"destroy it there, then `rotator resume {rotation.playbook}`"
    return replace(rotation.stuck(question), hint=hint)


def discard_call(rotation: Rotation) -> Action:
    """What was found is worthless (its value is lost).

    By difference it may be a colleague's: only deactivated.
    """
    op = Op.DEACTIVATE if rotation.plan.recovery is Recovery.DIFFERENCE else Op.REVOKE
    return Call(op, "generate", key=rotation.found[0], attempt=rotation.attempt)


def discard(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        question = (
            f"{rotation.found[0]}, left by a lost create, could not be removed: {result.message}"
        )
        return replace(rotation.stuck(question), hint=result.hint)
    if not isinstance(result, Done):
        return rotation
    gone, rest = rotation.found[0], rotation.found[1:]
    if rotation.plan.recovery is Recovery.DIFFERENCE:
        rotation = replace(rotation, owed=(*rotation.owed, Owed(gone, Cause.DISCARDED)))
    elif rotation.last_create:  # what was given up is found by its label, and gone
        rotation = replace(rotation, possible_orphan="")
    rotation = replace(rotation.to(Phase.DISCARD), found=rest)
    return rotation if rest else next_attempt(rotation)


def next_attempt(rotation: Rotation) -> Rotation:
    """Create again under the next number, a few times at most."""
    if rotation.last_create or rotation.attempt >= rotation.plan.policy.creates:
        problem = f"the provider's answer to a create was lost {rotation.attempt} times"
        problem = rotation.problem if rotation.last_create else problem
        if (
            rotation.plan.overlap is Overlap.NONE
        ):  # the old key may be dead: there is no way back, only a person
            return rotation.stuck(problem)
        return replace(rotation.end(Outcome.ROLLED_BACK), problem=problem)
    return once_more(rotation)


def once_more(rotation: Rotation, looked: bool = False) -> Rotation:
    """Create under the next number: nothing of the earlier ones is left, or a person said so.

    What was found may still fill a quota until its debt is paid: preflight waits for that. It also
    sees what a person has changed meanwhile (`looked`).
    """
    if rotation.plan.quota or looked:
        return replace(rotation.to(Phase.PREFLIGHT), attempt=rotation.attempt + 1, found=())
    return generate.begin_attempt(replace(rotation, attempt=rotation.attempt + 1, found=()))
