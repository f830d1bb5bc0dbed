"""The rotation as a pure machine: `next_action` says what to do now, `apply` what a result taught.

Both are tables over phases; the rows live in `generate`, `recover`, `forward` and `undo`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rotator.core import forward, generate, patience, recover, undo
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
from rotator.core.state import Phase, Rotation

Row = Callable[[Rotation, Result], Rotation]

_CALLS: dict[Phase, Callable[[Rotation], Action]] = {
    Phase.PREFLIGHT: lambda r: Call(Op.PREFLIGHT, "preflight"),
    Phase.SNAPSHOT: lambda r: Call(Op.SNAPSHOT, "generate", attempt=r.attempt),
    Phase.GENERATE: generate.ask_or_generate,
    Phase.RECOVER: lambda r: Call(Op.RECOVER, "generate", attempt=r.attempt),
    Phase.DISCARD: recover.discard_call,
    Phase.REVIVE: lambda r: Call(Op.REACTIVATE, "generate", key=r.new),
    Phase.RECOGNISE: lambda r: Call(Op.RECOGNISE, "generate", key=r.new, attempt=r.attempt),
    Phase.CHECK: lambda r: Call(Op.PROBE, "generate", key=r.new),
    Phase.READ: lambda r: Call(Op.READ, "store", r.target, r.new),
    Phase.WRITE: lambda r: Call(
        Op.WRITE, "store", r.target, r.new, expect=r.writes[r.target].expect
    ),
    Phase.RESTART: lambda r: Call(
        Op.RESTART, "restart", r.target, r.new, handle=r.handle, round=r.round
    ),
    Phase.ACCEPT: lambda r: Call(Op.ACCEPT, "restart", r.target, r.new),
    Phase.CONVERGE: lambda r: Call(
        Op.PROGRESS, "restart", r.target, r.new, handle=r.handle, round=r.round
    ),
    Phase.VERIFY: lambda r: Call(Op.VERIFY, "verify", key=r.new),
    Phase.LOOK: lambda r: Call(Op.LOOK, "verify", key=r.old),
    Phase.WAY_BACK: lambda r: Call(Op.PROBE, "undo", r.target, r.old),
    Phase.RESTORE_READ: lambda r: Call(Op.READ, "undo", r.target, r.old),
    Phase.RESTORE: lambda r: Call(
        Op.WRITE, "undo", r.target, r.old, expect=r.writes[r.target].expect
    ),
    Phase.UNDO_RESTART: lambda r: Call(
        Op.RESTART, "undo", r.target, r.old, handle=r.handle, round=r.round
    ),
    Phase.UNDO_CONVERGE: lambda r: Call(
        Op.PROGRESS, "undo", r.target, r.old, handle=r.handle, round=r.round
    ),
    Phase.UNDO_VERIFY: lambda r: Call(Op.PROBE, "undo", key=r.old),
    Phase.UNDO_LOOK: lambda r: Call(Op.LOOK, "undo", key=r.new),
    Phase.STUCK: lambda r: Ask("resume", r.question),
    Phase.ENDED: lambda r: Finish(r.outcome),
}

_ROWS: dict[Phase, Row] = {
    Phase.PREFLIGHT: generate.preflight,
    Phase.SNAPSHOT: generate.snapshot,
    Phase.GENERATE: generate.generate,
    Phase.RECOVER: recover.recover,
    Phase.DISCARD: recover.discard,
    Phase.REVIVE: generate.revive,
    Phase.RECOGNISE: generate.recognise,
    Phase.CHECK: generate.check,
    Phase.READ: forward.read,
    Phase.WRITE: forward.write,
    Phase.RESTART: forward.restart,
    Phase.ACCEPT: forward.accept,
    Phase.CONVERGE: forward.converge,
    Phase.VERIFY: forward.verify,
    Phase.LOOK: forward.look,
    Phase.WAY_BACK: undo.way_back,
    Phase.RESTORE_READ: undo.restore_read,
    Phase.RESTORE: undo.restore,
    Phase.UNDO_RESTART: undo.restart,
    Phase.UNDO_CONVERGE: undo.converge,
    Phase.UNDO_VERIFY: undo.verify,
    Phase.UNDO_LOOK: undo.look,
}


_DECIDES_NOTHING = frozenset(
    {Phase.WAY_BACK, Phase.ACCEPT}
)  # whose answer nothing waits for: not asked again there


def next_action(rotation: Rotation) -> Action:
    """What to do now.

    SETTLE has no action of its own: `turn` gives its turn to the new key's debt.
    """
    if rotation.wake is not None:
        return WaitUntil(rotation.wake, f"{rotation.phase}")
    if rotation.phase is Phase.SETTLE:
        return WaitUntil(rotation.now, "the new key is being destroyed")
    return _CALLS[rotation.phase](rotation)


def apply(rotation: Rotation, result: Result) -> Rotation:
    """What a result teaches: the next state. Pure and total over phases and results."""
    rotation = replace(rotation, now=max(rotation.now, result.at))
    if rotation.phase not in _ROWS:
        return rotation
    if rotation.wake is not None:
        return _woken(rotation) if isinstance(result, Done) else rotation
    if isinstance(result, Later):
        result = patience.not_yet(rotation, result)
        if isinstance(result, Later):
            return rotation.later(result.retry_in, result.handle)
    if (
        isinstance(result, Failed)
        and not result.permanent
        and rotation.phase not in _DECIDES_NOTHING
    ):
        result = patience.run_out(rotation, result)
        if not result.permanent:
            return patience.again(rotation, result)
    return _ROWS[rotation.phase](rotation, result)


def picked_up(rotation: Rotation) -> Rotation:
    """By another process, perhaps much later.

    What was seen before is seen again before a key is made, or written.
    """
    asked = bool(rotation.handle) or rotation.plan.supplied
    if rotation.phase in (Phase.READ, Phase.WRITE):
        return replace(rotation.to(Phase.CHECK), wake=rotation.wake)
    if rotation.phase is Phase.SNAPSHOT or (rotation.phase is Phase.GENERATE and not asked):
        return replace(rotation.to(Phase.PREFLIGHT), wake=rotation.wake)
    return replace(rotation, accepted=0) if rotation.accepted else rotation


def _woken(rotation: Rotation) -> Rotation:
    """A wait is over. The previous key is not written back on what was seen before it."""
    rotation = replace(rotation, wake=None)
    if rotation.phase is Phase.CONVERGE:
        return forward.ask_or_converge(rotation)
    asks_again = rotation.phase in (Phase.RESTORE_READ, Phase.RESTORE)
    return replace(rotation, phase=Phase.WAY_BACK if asks_again else rotation.phase)
