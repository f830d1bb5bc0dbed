"""Why a playbook was not rotated, or an old key not revoked; what happens next and when; what would
break.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rotator.core import debt as debt_machine
from rotator.core import machine, turn
from rotator.core.action import Ask, Call, Done, Failed, Op, WaitUntil
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.look import Facts, look
from rotator.core.state import Phase, Rotation
from rotator.durations import words
from rotator.engine import preflight
from rotator.engine.keeper import short
from rotator.engine.perform import Performer
from rotator.journal import cases, leases
from rotator.journal.cases import Case
from rotator.model import Level
from rotator.playbook.playbook import Playbook
from rotator.usecases.service import Service

_LOOKING = 30.0  # seconds that looking at stores and consumers may take


@dataclass(frozen=True, slots=True)
class Next:
    """What happens by itself; `at` is None where it waits for a person."""

    at: float | None
    what: str


@dataclass
class Explanation:
    """`stands` are facts, `why` what keeps it from going on, `breaks` what would stop a rotation
    begun now.
    """

    name: str
    stands: list[str] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    next: list[Next] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.why and not self.breaks


def explain(service: Service, name: str) -> Explanation:
    """Reads journal, stores, consumers and provider; changes nothing.

    Raises ConfigError for an unknown name.
    """
    told = Explanation(name)
    loaded = service.playbooks()
    for mistake in loaded.mistakes_of(name):
        told.why.append(f"its playbook has a mistake: {mistake.place}: {mistake.text}")
    playbook = service.known(name) if not told.why else loaded.playbooks.get(name)
    with service.journal.database.read() as connection:
        case = cases.load(connection, name)
        row = cases.playbook_row(connection, name)
        holding = leases.holding(connection, name)
    now = service.clock.now()
    pause = service.paused(name, playbook)
    if pause is not None:
        told.why.append(f"paused by {pause.who}: {pause.reason}")
        told.next.append(Next(pause.until, "the pause ends"))
    if holding is not None and not holding.expired:
        told.why.append(
            f"{holding.holder} is working on it, since {words(max(0.0, now - holding.since))}"
        )
    _schedule(told, playbook, row, now)
    at_it = holding is not None and not holding.expired
    if case.rotation is not None:
        _rotation(told, case.rotation, at_it)
    without = service.without(name)
    if without is not None:
        told.why.append(
            f"{without} is in force and was ordered to die, and no other key was brought out yet"
        )
        told.next.append(Next(now, "the next `rotate --due` makes another key and brings it out"))
    for debt in case.debts:
        _debt(told, service, playbook, case, debt)
    if playbook is not None:
        _would_break(told, service, playbook)
    told.next.sort(key=lambda one: one.at if one.at is not None else float("inf"))
    return told


def _schedule(told: Explanation, playbook: Playbook | None, row: Any | None, now: float) -> None:
    last, counts_from = (row["last_success"], row["counts_from"]) if row else (None, None)
    ends, renew = (row["ends"], row["renew"]) if row else (None, None)
    told.stands.append(
        f"rotated {words(max(0.0, now - last))} ago" if last else "never rotated by this journal"
    )
    due = playbook.due_at(counts_from, renew) if playbook else None
    if ends is not None:
        told.stands.append(
            f"its key ends in {words(ends - now)}" if ends > now else "its key has ended"
        )
    if playbook is None:
        told.why.append("its playbook is gone; what is unfinished goes on by its last version")
    elif due is None:
        told.stands.append("no schedule: it is rotated on demand")
    else:
        why = ", as its key ends" if due == renew else ""
        told.next.append(
            Next(
                max(due, now),
                f"the next rotation{why}" if due > now else f"a rotation is due now{why}",
            )
        )


def _rotation(told: Explanation, rotation: Rotation, at_it: bool) -> None:
    name = short(rotation.id)
    if rotation.phase is Phase.ENDED:
        told.stands.append(f"its last rotation {name}: {rotation.outcome}")
        if rotation.problem:
            told.why.append(f"{name} was {rotation.outcome}: {rotation.problem}")
        if rotation.possible_orphan:
            told.why.append(f"there may be a key that nobody knows: {rotation.possible_orphan}")
        return
    action = machine.next_action(rotation)
    if rotation.phase is Phase.STUCK:
        told.why.append(f"{name} needs attention: {rotation.question}")
        undo = "" if rotation.compromised else " or `undo`"
        told.next.append(Next(None, f"`rotator resume {rotation.playbook}`{undo}"))
    elif isinstance(action, Ask):
        told.why.append(f"{name} waits for a person: {action.question}")
        told.next.append(Next(None, f"`rotator {action.kind} {rotation.playbook}`"))
    elif isinstance(action, WaitUntil):
        told.why.append(
            f"{name} waits in {rotation.phase}"
            + (f": {rotation.problem}" if rotation.problem else "")
        )
        told.next.append(Next(action.at, f"{name} goes on with {rotation.phase}"))
    elif at_it:
        told.stands.append(f"{name} is under way: {rotation.phase}")
    else:
        told.why.append(f"{name} is unfinished, in {rotation.phase}: no process is carrying it on")
        told.next.append(Next(rotation.now, f"the next `rotate --due` carries {name} on"))


def _debt(
    told: Explanation, service: Service, playbook: Playbook | None, case: Case, debt: Debt
) -> None:
    if not debt.open or debt.phase in DEAD_PHASES:
        told.stands.append(f"old key {debt.key} is {debt.death} ({debt.phase})")
        return
    path = _way(debt)
    told.stands.append(
        f"old key {debt.key} ({debt.key.hint}) still lives: {debt.phase}"
        + (f" → {path}" if path else "")
    )
    if debt.attention:
        told.why.append(f"old key {debt.key} is not revoked: {debt.attention}")
    if debt not in case.acting:
        told.why.append(f"old key {debt.key} waits for the end of the pause")
    if not turn.may_act(debt, case.rotation):
        told.why.append(f"old key {debt.key} waits for the rotation that is under way")
    action = debt_machine.next_action(debt)
    if isinstance(action, WaitUntil):
        told.next.append(Next(action.at, f"old key {debt.key}: {_after(debt)}"))
    elif isinstance(action, Ask):
        told.next.append(Next(None, f"`rotator {action.kind} {debt.playbook}`"))
    if playbook is not None:
        _holders(told, service, playbook, case, debt)


def _way(debt: Debt) -> str:
    """The waits that are still before it, in order."""
    policy, phases = debt.plan.policy, list(DebtPhase)
    steps = [
        (DebtPhase.GRACE, policy.grace, "grace"),
        (DebtPhase.QUIET, policy.quiet, "unused for"),
        (DebtPhase.SOAK, policy.soak if debt.plan.can_deactivate else 0, "deactivated for"),
    ]
    if debt.phase is DebtPhase.HELD:
        return "a look that passes → revoked"
    ahead = [
        f"{text} {words(span)}"
        for phase, span, text in steps
        if span and phases.index(debt.phase) < phases.index(phase)
    ]
    return " → ".join([*ahead, "a look → revoked"])


def _after(debt: Debt) -> str:
    return {
        DebtPhase.GRACE: "its grace is over; it is looked at before anything is done to it",
        DebtPhase.QUIET: "is it unused for long enough?",
        DebtPhase.HELD: "it is looked at again",
        DebtPhase.SOAK: "the probes are asked again",
    }.get(debt.phase, f"{debt.phase} goes on")


def _holders(
    told: Explanation, service: Service, playbook: Playbook, case: Case, debt: Debt
) -> None:
    """Who holds the old key now, as the look before its revocation would find it."""
    performer = Performer(
        service.journal, service.clock, playbook, playbook, case, debt, lambda: _LOOKING, {}
    )
    result = performer.perform(Call(Op.LOOK, "explain", key=debt.key)).result
    if isinstance(result, Done) and isinstance(result.data, Facts):
        verdict = look(result.data, debt.key)
        if not verdict.clear:
            told.why.append(f"revoking {debt.key} would break: {verdict.words('it')}")
    elif isinstance(result, Failed):
        told.why.append(f"{debt.key} cannot be judged: {result.message}")


def _would_break(told: Explanation, service: Service, playbook: Playbook) -> None:
    found = preflight.examine(service.journal, playbook, service.clock.now()).findings
    told.breaks += [finding.text for finding in found if finding.level is Level.ERROR]
