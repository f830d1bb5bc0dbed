"""What happens next to a playbook: by a person, by the clock, or by the process that is at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto

from rotator.core import debt as debt_machine
from rotator.core import machine
from rotator.core.action import Ask, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.views.status import PlaybookStatus

PERSON, CLOCK = "person", "clock"


class Step(StrEnum):
    """What is to be done."""

    WATCH = auto()  # a process works on the rotation
    LOOK_AND_RESUME = auto()  # the rotation has a question
    SUPPLY = auto()  # a new key, made in the provider's console
    CARRY_ON = auto()  # the rotation, after a wait
    ROTATE_ANEW = auto()  # the last one failed
    REPLACE_KILLED = auto()  # the key in force was killed, and there is no other
    ROTATE_BEFORE_END = auto()  # the key ends, and no schedule rotates it
    DESTROY = auto()  # an old key, in the console
    DESTROY_OR_RETRY = auto()  # an old key that its provider does not destroy
    FIND_HOLDER = auto()  # of an old key that is not revoked
    REVOKE = auto()  # an old key, after a wait
    FIND_OWNER = auto()  # of a key that a lost create may have made
    RESTORE_PLAYBOOK = auto()  # its file is gone


@dataclass(frozen=True, slots=True)
class Todo:
    """`at` is in Unix seconds, where a moment is known."""

    step: Step
    who: str  # PERSON, CLOCK, or the process that holds the lease
    key: Key | None = None
    at: float | None = None
    detail: str = ""  # in the words of others: a hint, a phase, what a possible orphan is called
    again: bool = False  # the clock tries it, too


def todo(status: PlaybookStatus) -> tuple[Todo, ...]:
    """What is to be done, the rotation first."""
    return (*_of_rotation(status), *_of_old_keys(status), *_of_playbook(status))


def _of_rotation(status: PlaybookStatus) -> Iterator[Todo]:
    if status.running is not None:
        yield from _of_running(status, status.running)
    elif status.without is not None:
        yield Todo(Step.REPLACE_KILLED, PERSON, again=True)
    elif status.failed is not None:
        again = status.is_due and status.pause is None
        yield Todo(Step.ROTATE_ANEW, PERSON, detail=status.failed.hint, again=again)


def _of_running(status: PlaybookStatus, running: Rotation) -> Iterator[Todo]:
    action = machine.next_action(running)
    if status.holding is not None and status.worked_on:
        yield Todo(Step.WATCH, status.holding.holder)
    elif running.phase is Phase.STUCK:
        yield Todo(Step.LOOK_AND_RESUME, PERSON, detail=running.hint)
    elif isinstance(action, Ask):
        yield Todo(Step.SUPPLY, PERSON)
    elif status.pause is None:
        at = action.at if isinstance(action, WaitUntil) else None
        yield Todo(Step.CARRY_ON, CLOCK, at=at, detail=str(running.phase))


def _of_old_keys(status: PlaybookStatus) -> Iterator[Todo]:
    for debt in status.debts:
        if debt.asks:
            yield Todo(Step.DESTROY, PERSON, debt.key)
        elif debt.attention and debt.at_once and debt.phase not in DEAD_PHASES:
            yield Todo(Step.DESTROY_OR_RETRY, PERSON, debt.key)
        elif debt.attention and debt.phase is not DebtPhase.WATCH:
            yield Todo(Step.FIND_HOLDER, PERSON, debt.key)
        elif status.pause is None and debt.phase not in DEAD_PHASES:
            yield from _revoked_later(debt)


def _revoked_later(debt: Debt) -> Iterator[Todo]:
    action = debt_machine.next_action(debt)
    if isinstance(action, WaitUntil):
        yield Todo(Step.REVOKE, CLOCK, debt.key, action.at)


def _of_playbook(status: PlaybookStatus) -> Iterator[Todo]:
    if status.running is None and status.rotation is not None and status.rotation.possible_orphan:
        yield Todo(Step.FIND_OWNER, PERSON, detail=status.rotation.possible_orphan)
    if status.playbook is None:
        yield Todo(Step.RESTORE_PLAYBOOK, PERSON)
    elif status.running is None and status.key_ends is not None and status.due is None:
        yield Todo(Step.ROTATE_BEFORE_END, PERSON, at=status.renew)
