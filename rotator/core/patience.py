"""Tries, back-off and deadlines: when a passing failure becomes a lasting one."""

from __future__ import annotations

from dataclasses import replace

from rotator.core.action import Failed, Later
from rotator.core.state import CLOCKS_AGREE, UNDOING, Phase, Rotation

# Waits that no deadline ends: a person, or a fact without which neither way is safe.
ENDLESS = frozenset({Phase.UNDO_VERIFY, Phase.RESTORE_READ, Phase.DISCARD})


def set_back(rotation: Rotation, now: float) -> Rotation:
    """The wall clock was set back, nothing tells since when: the rotation would wait as long."""
    back = rotation.now - now
    return rotation if back <= CLOCKS_AGREE else moved(rotation, -back)


def moved(rotation: Rotation, by: float) -> Rotation:
    """The wall clock jumped by so many seconds: what the rotation knows of times jumps along.

    0 stands for a time that is not known.
    """
    writes = tuple(
        replace(write, at=write.at + by) if write.at else write for write in rotation.writes
    )
    return replace(
        rotation,
        now=rotation.now + by,
        since=rotation.since + by,
        round_at=rotation.round_at and rotation.round_at + by,
        accept_at=rotation.accept_at and rotation.accept_at + by,
        asked_at=rotation.asked_at and rotation.asked_at + by,
        alive_at=rotation.alive_at and rotation.alive_at + by,
        wake=rotation.wake + by if rotation.wake is not None else None,
        writes=writes,
    )


def passed(rotation: Rotation) -> bool:
    """Whether this step has had all its time."""
    return (
        rotation.phase not in ENDLESS
        and rotation.now - rotation.since >= rotation.plan.policy.deadline
    )


def run_out(rotation: Rotation, failed: Failed) -> Failed:
    """A passing failure at the deadline is a lasting one."""
    if not passed(rotation):
        return failed
    return replace(
        failed,
        permanent=True,
        message=f"{failed.message} (after {rotation.now - rotation.since:.0f} s)",
    )


def not_yet(rotation: Rotation, later: Later) -> Later | Failed:
    """An answer that is still not there at the deadline is a failure."""
    if not passed(rotation):
        return later
    waited = rotation.now - rotation.since
    return Failed(later.at, f"{later.text or 'not there yet'} (after {waited:.0f} s)")


def again(rotation: Rotation, failed: Failed) -> Rotation:
    """Try once more after a pause."""
    tries = rotation.tries + 1
    pause = rotation.plan.policy.pause(tries, failed.retry_in)
    if rotation.phase in UNDOING:  # why it is being undone is what a person wants to know
        return replace(rotation.later(pause), tries=tries)
    return replace(rotation.later(pause), tries=tries, problem=failed.message, hint=failed.hint)
