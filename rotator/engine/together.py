"""One restart for the keys of several playbooks that are due together.

The core asks each rotation for a restart of its own, and hears *done* or *not yet*. What comes of
it is decided here, by the journal: a rotation takes a roll-out over that was decided after its own
stores were written, and is known to have been ordered; else it waits, for a while, for others that
are about to restart the same; else it orders one, which serves all whose stores are written by
then. A look at what consumers hold stays each rotation's own, and so does the way back: an undo
takes nothing over and serves nobody else.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace

from rotator.core.action import Call, Later
from rotator.engine.job import Job
from rotator.engine.performed import Performed
from rotator.errors import RotatorError
from rotator.journal import leases, roll_outs
from rotator.journal.database import serialise
from rotator.journal.roll_outs import Board, RollOut, Sharer, Stage
from rotator.model import Change, Credential, NotYet
from rotator.plugin import Restarter, Shared

_LOOK = 0.5  # seconds between two looks at how far others are
_NAMED = 5  # of those that are waited for, in words


@dataclass(frozen=True, slots=True)
class TakeOver:
    """It was ordered already."""

    roll_out: RollOut


@dataclass(frozen=True, slots=True)
class Wait:
    """For these playbooks."""

    playbooks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """To be ordered: a new one (its `n` is 0), or once more one whose answer nobody knows."""

    roll_out: RollOut
    serves: tuple[Sharer, ...] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """Until when the rotation waits (Unix seconds) for others whose stores are not written, and for
    who is ordering.
    """

    for_stores: float
    for_order: float


def decide(
    board: Board, rotation: str, change: str, patience: Patience, now: float
) -> TakeOver | Wait | Order:
    """What is done about the restart of this rotation now; `change` is one of its own."""
    mine = board.sharer(rotation)
    first = board.roll_out(mine.roll_out)
    if first is not None:
        if (given := _served(board, mine, first)) is not None:
            return TakeOver(given)
        if first.rotation == rotation:
            return Order(first)
        if _is_ordering(board, first) and now < patience.for_order:
            return Wait((first.playbook,))
    coming = [
        one.playbook
        for one in board.sharers
        if one.stage is Stage.COMING and one.works and one.wakes < patience.for_stores
    ]
    if coming and now < patience.for_stores:
        return Wait(tuple(coming))
    served = [one for one in board.sharers if one is mine or _needs_one(board, one)]
    # All of that is over by now: one that seems later was written by a clock that is ahead.
    since = max(mine.since, min(now, max(one.since for one in served)))
    own = RollOut(0, change, rotation, mine.playbook, since, len(served) > 1)
    return Order(own, tuple(served))


def _is_ordering(board: Board, roll_out: RollOut) -> bool:
    """Whether a process works on the order, so that it will be known how it ended."""
    return any(
        one.rotation == roll_out.rotation and one.works and one.orders for one in board.sharers
    )


def _needs_one(board: Board, one: Sharer) -> bool:
    """Whether its stores are written, and no restart serves it or soon will."""
    if one.stage is not Stage.WRITTEN:
        return False
    first = board.roll_out(one.roll_out)
    if first is None:
        return True
    return not _is_ordering(board, first) and _served(board, one, first) is None


def _served(board: Board, one: Sharer, first: RollOut) -> RollOut | None:
    """The last order that is known to have been given and made all anew that began before this
    one's stores were written. A later one than its `first` may have left alone what began after
    the writes that it was for; and one for a single rotation, be it an undo, what shows that one's
    key.
    """
    for roll_out in reversed(board.roll_outs):
        for_it = roll_out.shared or roll_out.rotation == one.rotation
        as_late = roll_out.n > first.n and roll_out.since >= one.since
        if roll_out.ordered and for_it and (roll_out.n == first.n or as_late):
            return roll_out
    return None


# --- what the calls of a rotation ask ---
def join(job: Job) -> None:
    """Others that are about to restart the same know from here on that this rotation will be."""
    named = [(_name(entry.restarter), entry.name) for entry in job.then.consumers]
    shared = [(name, consumer) for name, consumer in named if name is not None]
    if not shared:
        return
    with job.journal.database.write() as connection:
        leases.require(connection, job.its_lease)
        serialise(connection)
        for name, consumer in shared:
            roll_outs.join(connection, name, job.rotation, consumer)


def restart(job: Job, call: Call, change: Change) -> Performed:
    """The restart of one consumer is ordered, or was, or will be.

    Raises what the restarter raises, and LeaseLost.
    """
    entry = job.then.consumers[call.target]
    restarter, name = entry.restarter, _name(entry.restarter)
    if name is None:
        return _performed(job, restarter.restart(change))
    undoing = call.step == "undo"
    with job.journal.database.write() as connection:
        leases.require(connection, job.its_lease)
        serialise(connection)
        roll_outs.join(connection, name, job.rotation, entry.name)
        board = roll_outs.board(connection, name)
        next_ = (
            _own(board, job.rotation.id, change)
            if undoing
            else decide(board, job.rotation.id, change.id, _patience(job), job.clock.now())
        )
        if isinstance(next_, Order) and not next_.roll_out.n:
            decided = roll_outs.decide(connection, name, next_.roll_out, next_.serves)
            next_ = replace(next_, roll_out=decided)
    if isinstance(next_, Wait):
        words = f"{_some(next_.playbooks)}: one restart for all"
        return Performed(Later(job.clock.now(), _LOOK, text=f"waits for {words}"))
    if isinstance(next_, TakeOver):
        other = next_.roll_out
        own = other.rotation == job.rotation.id
        return job.done(detail="" if own else f"restarted together with {other.playbook}")
    answer = restarter.restart(change if undoing else _serving(change, next_.roll_out))
    if answer is None:
        with job.journal.database.write() as connection:
            leases.require(connection, job.its_lease)
            roll_outs.ordered(connection, next_.roll_out.n)
    return _performed(job, answer)


def _performed(job: Job, answer: NotYet | None) -> Performed:
    if answer is None:
        return job.done()
    return Performed(Later(job.clock.now(), answer.retry_in, answer.handle, answer.text))


def _own(board: Board, rotation: str, change: Change) -> Order:
    """Of an undo: a restart for nobody else. Those who took an earlier one over follow it."""
    known = next((one for one in board.roll_outs if one.change == change.id), None)
    mine = board.sharer(rotation)
    return Order(known or RollOut(0, change.id, rotation, mine.playbook, change.since), (mine,))


def _serving(change: Change, roll_out: RollOut) -> Change:
    """The change as it is ordered. For several nobody's own key decides what needs no restart."""
    if not roll_out.shared:
        return change
    return Change(roll_out.change, max(roll_out.since, change.since), Credential({}))


def followed(job: Job, call: Call, change: Change) -> Change:
    """By which restart it is told how far the consumer has come: the newest that serves the
    rotation. A later one has made anew what an earlier one did, and what that left there may be
    gone. What began after the rotation's own writes counts, by the clock as it is now.
    """
    entry = job.then.consumers[call.target]
    if not isinstance(entry.restarter, Shared):
        return change
    with job.journal.database.read() as connection:
        newest = roll_outs.newest(connection, job.rotation, entry.name)
    if newest is None:
        return change
    return replace(change, id=newest.change)


def _name(restarter: Restarter) -> str | None:
    """What it restarts; None where it cannot be named, or not now: then it restarts for itself."""
    if not isinstance(restarter, Shared):
        return None
    with contextlib.suppress(RotatorError):
        name = restarter.shared_as()
        return None if name is None else roll_outs.short(name)
    return None


def _patience(job: Job) -> Patience:
    """Reckoned from the journal, so that a crash makes no wait longer. Half of the step's time is
    left for the restart. Where the old key leaked, or is dead and its consumers are without one,
    nobody is waited for.
    """
    rotation = job.rotation
    if rotation.compromised or (rotation.forward_only and rotation.old is not None):
        return Patience(rotation.since, rotation.since)
    half = rotation.plan.policy.deadline / 2
    together = min(job.then.shape.limits.together, half)
    return Patience(rotation.since + together, rotation.since + half)


def _some(playbooks: tuple[str, ...]) -> str:
    more = len(playbooks) - _NAMED
    return ", ".join(playbooks[:_NAMED]) + (f" and {more} more" if more > 0 else "")
