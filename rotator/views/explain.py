"""Why a playbook was not rotated, or an old key not revoked; what happens next and when; what would
break.

Besides the journal, its stores, consumers and provider are read now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto

from rotator.core import debt as debt_machine
from rotator.core import machine, turn
from rotator.core.action import Ask, Call, Done, Failed, Op, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.look import Facts, Verdict, look
from rotator.core.state import Phase, Rotation
from rotator.engine import preflight
from rotator.engine.perform import Performer
from rotator.model import Finding, Level
from rotator.playbook.mistakes import Mistake
from rotator.usecases.service import Service
from rotator.views.status import UNDONE_WHY, PlaybookStatus, status_of

_LOOKING = 30.0  # seconds that looking at stores and consumers may take


class Why(StrEnum):
    """What keeps a playbook, its rotation or an old key from going on."""

    MISTAKE = auto()  # in its playbook
    PAUSED = auto()
    WORKED_ON = auto()  # another process holds its lease
    GROUP_HELD = auto()  # another playbook of its group is being rotated
    PLAYBOOK_GONE = auto()
    ROTATION_FAILED = auto()  # the last one
    POSSIBLE_ORPHAN = auto()  # of the last rotation
    ROTATION_STUCK = auto()
    ROTATION_ASKS = auto()  # a person
    ROTATION_WAITS = auto()
    ROTATION_IDLE = auto()  # unfinished, and nobody works on it
    WITHOUT_KEY = auto()  # the key in force was killed, and there is no other
    NOT_REVOKED = auto()  # an old key, and it needs attention
    OLD_KEY_PAUSED = auto()
    BEHIND_ROTATION = auto()  # an old key waits for the rotation that is under way
    OLD_KEY_HELD = auto()  # by what a look found now
    OLD_KEY_UNKNOWN = auto()  # whether it is held could not be seen now


@dataclass(frozen=True, slots=True)
class Reason:
    """One of these; `debt` is the old key's that it is about."""

    why: Why
    debt: Debt | None = None
    mistake: Mistake | None = None
    verdict: Verdict | None = None  # who holds the old key
    detail: str = ""  # an error or a question, in the words of others


class Event(StrEnum):
    """What happens next."""

    PAUSE_ENDS = auto()
    ROTATION_BEGINS = auto()  # by the schedule
    ROTATION_BEGINS_FOR_END = auto()  # earlier than its schedule, as its key ends
    ROTATION_RESUMED = auto()  # by a person who looked
    ROTATION_ANSWERED = auto()  # by a person
    ROTATION_GOES_ON = auto()  # after a wait
    ROTATION_CARRIED_ON = auto()  # that nobody works on
    ROTATION_ORDERED = auto()  # by a person, who undid the last one
    KEY_REPLACED = auto()  # that was killed
    OLD_KEY_GOES_ON = auto()  # after a wait
    OLD_KEY_ANSWERED = auto()  # by a person


@dataclass(frozen=True, slots=True)
class Next:
    """`at` is in Unix seconds, None where it waits for a person."""

    event: Event
    at: float | None
    debt: Debt | None = None
    verb: str = ""  # with which a person answers


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reasons` in the order of the journal: playbook, rotation, old keys. `next` in the order of
    time. `breaks` would stop a rotation that began now.
    """

    status: PlaybookStatus
    reasons: tuple[Reason, ...]
    next: tuple[Next, ...]
    breaks: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        return not self.reasons and not self.breaks

    @property
    def under_way(self) -> bool:
        """Whether a process works on its rotation, and nothing is waited for."""
        waits = {Why.ROTATION_STUCK, Why.ROTATION_ASKS, Why.ROTATION_WAITS}
        running = self.status.running is not None and self.status.worked_on
        return running and not any(one.why in waits for one in self.reasons)


def explain(service: Service, name: str) -> Explanation:
    """Reads journal, stores, consumers and provider; changes nothing.

    Raises ConfigError for an unknown name.
    """
    loaded = service.playbooks()
    mistakes = loaded.mistakes_of(name)
    playbook = loaded.playbooks.get(name) if mistakes else service.known(name, loaded)
    status = status_of(service, name, playbook)
    found: list[Reason | Next] = [Reason(Why.MISTAKE, mistake=one) for one in mistakes]
    found += _of_playbook(status)
    if status.rotation is not None:
        found += _of_rotation(status, status.rotation)
    if status.without is not None:
        found += [Reason(Why.WITHOUT_KEY), Next(Event.KEY_REPLACED, status.now)]
    for debt in status.debts:
        if debt.phase not in DEAD_PHASES:
            found += _of_old_key(service, status, debt)
    ahead = [one for one in found if isinstance(one, Next)]
    ahead.sort(key=lambda one: one.at if one.at is not None else float("inf"))
    reasons = tuple(one for one in found if isinstance(one, Reason))
    return Explanation(status, reasons, tuple(ahead), _breaks(service, status))


def _of_playbook(status: PlaybookStatus) -> Iterator[Reason | Next]:
    if status.pause is not None:
        yield Reason(Why.PAUSED)
        yield Next(Event.PAUSE_ENDS, status.pause.until)
    if status.worked_on:
        yield Reason(Why.WORKED_ON)
    if status.put_off == "group":
        yield Reason(Why.GROUP_HELD, detail=status.group_held_by)
    if status.playbook is None:
        yield Reason(Why.PLAYBOOK_GONE)
    elif status.put_off == UNDONE_WHY:
        yield Next(Event.ROTATION_ORDERED, None)
    elif status.due is not None:
        for_end = status.due.at == status.renew
        event = Event.ROTATION_BEGINS_FOR_END if for_end else Event.ROTATION_BEGINS
        yield Next(event, max(status.due.begins, status.now))


def _of_rotation(status: PlaybookStatus, rotation: Rotation) -> Iterator[Reason | Next]:
    if rotation.phase is Phase.ENDED:
        if rotation.problem:
            yield Reason(Why.ROTATION_FAILED)
        if rotation.possible_orphan:
            yield Reason(Why.POSSIBLE_ORPHAN)
        return
    action = machine.next_action(rotation)
    if rotation.phase is Phase.STUCK:
        yield Reason(Why.ROTATION_STUCK)
        yield Next(Event.ROTATION_RESUMED, None)
    elif isinstance(action, Ask):
        yield Reason(Why.ROTATION_ASKS, detail=action.question)
        yield Next(Event.ROTATION_ANSWERED, None, verb=action.kind)
    elif isinstance(action, WaitUntil):
        yield Reason(Why.ROTATION_WAITS)
        yield Next(Event.ROTATION_GOES_ON, action.at)
    elif not status.worked_on:
        yield Reason(Why.ROTATION_IDLE)
        yield Next(Event.ROTATION_CARRIED_ON, rotation.now)


def _of_old_key(service: Service, status: PlaybookStatus, debt: Debt) -> Iterator[Reason | Next]:
    if debt.attention:
        yield Reason(Why.NOT_REVOKED, debt)
    if status.pause is not None and not debt.urgent:
        yield Reason(Why.OLD_KEY_PAUSED, debt)
    if not turn.may_act(debt, status.rotation):
        yield Reason(Why.BEHIND_ROTATION, debt)
    action = debt_machine.next_action(debt)
    if isinstance(action, WaitUntil):
        yield Next(Event.OLD_KEY_GOES_ON, action.at, debt)
    elif isinstance(action, Ask):
        yield Next(Event.OLD_KEY_ANSWERED, None, debt, action.kind)
    yield from _holders(service, status, debt)


def _holders(service: Service, status: PlaybookStatus, debt: Debt) -> Iterator[Reason]:
    """Who holds the old key now, as the look before its revocation would find it."""
    playbook = status.playbook
    if playbook is None:
        return
    performer = Performer(
        service.journal, service.clock, playbook, playbook, status.case, debt, lambda: _LOOKING, {}
    )
    result = performer.perform(Call(Op.LOOK, "explain", key=debt.key)).result
    if isinstance(result, Done) and isinstance(result.data, Facts):
        verdict = look(result.data, debt.key)
        if not verdict.clear:
            yield Reason(Why.OLD_KEY_HELD, debt, verdict=verdict)
    elif isinstance(result, Failed):
        yield Reason(Why.OLD_KEY_UNKNOWN, debt, detail=result.message)


def _breaks(service: Service, status: PlaybookStatus) -> tuple[Finding, ...]:
    if status.playbook is None:
        return ()
    seen = preflight.examine(service.journal, status.playbook, service.clock.now())
    return tuple(finding for finding in seen.findings if finding.level is Level.ERROR)
