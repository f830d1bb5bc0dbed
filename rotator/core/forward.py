"""Forward: store, restart, verify, look, pivot. One function a phase; each is total."""

from __future__ import annotations

from dataclasses import replace

from rotator.core import undo
from rotator.core.action import Done, Failed, Kind, Read, Result, Unknown, Written
from rotator.core.look import Facts
from rotator.core.look import look as verdict_of
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Owed, Phase, Rotation


def store_from(rotation: Rotation, target: int) -> Rotation:
    """The next store, or, all written, the consumers.

    A followed store is only read; so is one that may be written.
    """
    if target >= len(rotation.plan.stores):
        return begin_restarts(rotation)
    following = rotation.plan.stores[target].follows
    rotation = rotation.to(Phase.READ if following else Phase.WRITE, target)
    return rotation.with_write(intended=True)


def write(rotation: Rotation, result: Result) -> Rotation:
    match result:
        case Done(data=Written(version=version)):
            rotation = rotation.with_write(
                version=version, expect=version, at=rotation.now, touched=True
            )
            return store_from(rotation, rotation.target + 1)
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
        rotation = rotation.with_write(
            version=found.version, expect=found.version, at=rotation.now, touched=True
        )
        return store_from(rotation, rotation.target + 1)
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
    return replace(
        rotation.with_write(expect=found.version).to(Phase.WRITE, rotation.target), tries=tries
    )


def _follow(rotation: Rotation, result: Result) -> Rotation:
    """A store that a controller fills: wait until it holds the new key."""
    if rotation.now - rotation.since >= rotation.plan.policy.deadline:
        return undo.begin(
            rotation,
            Failed(
                result.at,
                f"{rotation.store.name} did not take over the new key",
                "is its controller running?",
            ),
        )
    tries = rotation.tries + 1
    return replace(rotation.later(rotation.plan.policy.backoff(tries)), tries=tries)


def begin_restarts(rotation: Rotation) -> Rotation:
    """Restart every consumer, one after the other, as one change."""
    rotation = replace(
        rotation,
        round=rotation.round + 1,
        round_at=rotation.now,
        accepted=0,
        accept_at=rotation.now,
    )
    return _restart(rotation, None)


def _restart(rotation: Rotation, after: int | None) -> Rotation:
    target = rotation.consumer_after(after)
    return rotation.to(Phase.VERIFY) if target is None else rotation.to(Phase.RESTART, target)


def restart(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return undo.begin(rotation.that_failed(), result)
    return (
        ask_or_converge(rotation.to(Phase.CONVERGE, rotation.target))
        if isinstance(result, Done)
        else rotation
    )


def ask_or_converge(rotation: Rotation) -> Rotation:
    """While consumers take the new key up, its provider is asked once more whenever such a round is
    due.
    """
    enough = rotation.accepted + 1 >= rotation.plan.policy.passes  # the last round is of all probes
    due = not enough and rotation.now >= rotation.accept_at
    return replace(rotation, phase=Phase.ACCEPT if due else Phase.CONVERGE)


def accept(rotation: Rotation, result: Result) -> Rotation:
    """One round beside the roll-out. It decides nothing: what it does not show, `verify` must.

    A refusal begins them anew. Where nothing can ask without a consumer, it is left to `verify`.
    """
    policy = rotation.plan.policy
    rotation = replace(rotation, phase=Phase.CONVERGE)
    match result:
        case Done():
            return rotation.accepted_once()
        case Failed(kind=Kind.UNSUPPORTED):
            return replace(rotation, accepted=0, accept_at=rotation.now + policy.deadline)
        case Failed(permanent=permanent):
            pause = max(policy.pass_interval, policy.first_retry)
            return replace(
                rotation,
                accepted=0 if permanent else rotation.accepted,
                accept_at=rotation.now + pause,
            )
        case _:
            return rotation


def converge(rotation: Rotation, result: Result) -> Rotation:
    if isinstance(result, Failed):
        return undo.begin(rotation.that_failed(), result)
    return _restart(rotation, rotation.target) if isinstance(result, Done) else rotation


def verify(rotation: Rotation, result: Result) -> Rotation:
    """All probes; once, where the provider went on accepting the key during the roll-out, else
    several times in a row.

    A refusal may be a slow edge, so it is asked again until the deadline.
    """
    match result:
        case Done():
            rotation = replace(rotation, passes=rotation.passes + 1)
            rotation = rotation.accepted_once() if rotation.may_be_accepted else rotation
            if rotation.accepted < rotation.plan.policy.passes:
                return replace(rotation, wake=rotation.accept_at)
            return rotation.to(Phase.LOOK)
        case Failed(kind=Kind.REJECTED) if (
            rotation.now - rotation.since < rotation.plan.policy.deadline
        ):
            tries = rotation.tries + 1
            pause = rotation.plan.policy.backoff(tries)
            return replace(
                rotation.later(pause), tries=tries, passes=0, accepted=0, problem=result.message
            )
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
    if verdict.clear and not verdict.strangers:
        return pivot(rotation)
    if verdict.stores or verdict.strangers:
        names = ", ".join([*verdict.stores, *verdict.strangers])
        return undo.begin(
            rotation,
            Failed(
                result.at,
                f"somebody changed {names} after it was written",
                "find out who writes it (GitOps, another rotator, a person)",
            ),
        )
    if rotation.rounds < rotation.plan.policy.rounds:
        return begin_restarts(rotation)
    return undo.begin(
        rotation,
        Failed(
            result.at,
            f"not proven to run with the new key: {verdict.words('the old key')}",
            "does the consumer read the key when it starts?",
        ),
    )


def pivot(rotation: Rotation) -> Rotation:
    """From here on only forward: the old key is a debt."""
    owed = rotation.owed
    if rotation.old is not None and not (
        rotation.new is not None and rotation.old.same(rotation.new)
    ):
        cause = Cause.COMPROMISED if rotation.compromised else Cause.ROTATED
        owed = (*owed, Owed(rotation.old, cause))
    return replace(rotation.end(Outcome.VERIFIED), owed=owed, pivoted=True, problem="", hint="")
