"""Why a playbook does not go on, in words: the sentences of `doctor --explain`."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.cli import words
from rotator.core.debt_state import DEAD_PHASES, Debt, DebtPhase
from rotator.core.state import Phase
from rotator.counting import span
from rotator.engine.keeper import short
from rotator.views.explain import Event, Explanation, Why
from rotator.views.status import PlaybookStatus

REASONS: dict[Why, str] = {
    Why.MISTAKE: "its playbook has a mistake: {place}: {text}",
    Why.PAUSED: "paused by {who}: {reason}",
    Why.WORKED_ON: "{holder} is working on it, since {since}",
    Why.GROUP_HELD: "it waits for {detail} of its group",
    Why.PLAYBOOK_GONE: "its playbook is gone; what is unfinished goes on by its last version",
    Why.ROTATION_FAILED: "{rotation} was {outcome}: {problem}",
    Why.POSSIBLE_ORPHAN: "there may be a key that nobody knows: {possible_orphan}",
    Why.ROTATION_STUCK: "{rotation} needs attention: {question}",
    Why.ROTATION_ASKS: "{rotation} waits for a person: {detail}",
    Why.ROTATION_WAITS: "{rotation} waits in {phase}{because}",
    Why.ROTATION_IDLE: "{rotation} is unfinished, in {phase}: no process is carrying it on",
    Why.WITHOUT_KEY: (
        "{without} is in force and was ordered to die, and no other key was brought out yet"
    ),
    Why.NOT_REVOKED: "old key {key} is not revoked: {attention}",
    Why.OLD_KEY_PAUSED: "old key {key} waits for the end of the pause",
    Why.BEHIND_ROTATION: "old key {key} waits for the rotation that is under way",
    Why.OLD_KEY_HELD: "revoking {key} would break: {holders}",
    Why.OLD_KEY_UNKNOWN: "{key} cannot be judged: {detail}",
}

EVENTS: dict[Event, str] = {
    Event.PAUSE_ENDS: "the pause ends",
    Event.ROTATION_BEGINS: "{due}",
    Event.ROTATION_BEGINS_FOR_END: "{due}, as its key ends",
    Event.ROTATION_RESUMED: "`rotator resume {name}`{or_undo}",
    Event.ROTATION_ANSWERED: "`rotator {verb} {name}`",
    Event.ROTATION_GOES_ON: "{rotation} goes on with {phase}",
    Event.ROTATION_CARRIED_ON: "the next `rotate --due` carries {rotation} on",
    Event.ROTATION_ORDERED: "undone by {undone_by}: `rotate {name}`, or change the playbook",
    Event.KEY_REPLACED: "the next `rotate --due` makes another key and brings it out",
    Event.OLD_KEY_GOES_ON: "old key {key}: {after_wait}",
    Event.OLD_KEY_ANSWERED: "`rotator {verb} {name}`",
}


def facts(found: Explanation) -> Iterator[str]:
    """How it stands, good or bad."""
    status = found.status
    last, ends = status.last_success, status.key_ends
    yield f"rotated {words.age(last, status.now)}" if last else "never rotated by this journal"
    if ends is not None:
        left = ends - status.now
        yield f"its key ends in {span(left)}" if left > 0 else "its key has ended"
    if status.playbook is not None and status.due is None:
        yield "no schedule: it is rotated on demand"
    if (rotation := status.rotation) is not None and rotation.phase is Phase.ENDED:
        yield f"its last rotation {short(rotation.id)}: {rotation.outcome}"
    elif rotation is not None and found.under_way:
        yield f"{short(rotation.id)} is under way: {rotation.phase}"
    for debt in status.debts:
        yield _old_key(debt)


def why(found: Explanation) -> list[str]:
    """What keeps it from going on."""
    lines = []
    for one in found.reasons:
        values = {**_values(found.status), **_values_of_old_key(one.debt), "detail": one.detail}
        if one.mistake is not None:
            values |= {"place": one.mistake.place, "text": one.mistake.text}
        if one.verdict is not None:
            values["holders"] = one.verdict.words("it")
        lines.append(REASONS[one.why].format(**values))
    return lines


def ahead(found: Explanation) -> list[tuple[float | None, str]]:
    """What happens when (Unix seconds); None: by a person."""
    lines = []
    for one in found.next:
        values = {**_values(found.status), **_values_of_old_key(one.debt), "verb": one.verb}
        lines.append((one.at, EVENTS[one.event].format(**values)))
    return lines


def _values(status: PlaybookStatus) -> dict[str, object]:
    """What stands in the sentences about a playbook and its rotation."""
    due = "a rotation is due now" if status.is_due else "the next rotation"
    values: dict[str, object] = {"name": status.name, "without": status.without, "due": due}
    values["undone_by"] = status.undone_by
    if status.pause is not None:
        values |= {"who": status.pause.who, "reason": status.pause.reason}
    if status.holding is not None:
        since = span(max(0.0, status.now - status.holding.since))
        values |= {"holder": status.holding.holder, "since": since}
    if (rotation := status.rotation) is not None:
        values |= {
            "rotation": short(rotation.id),
            "phase": rotation.phase,
            "outcome": rotation.outcome,
            "problem": rotation.problem,
            "because": f": {rotation.problem}" if rotation.problem else "",
            "question": rotation.question,
            "possible_orphan": rotation.possible_orphan,
            "or_undo": "" if rotation.compromised else " or `undo`",
        }
    return values


def _values_of_old_key(debt: Debt | None) -> dict[str, object]:
    if debt is None:
        return {}
    return {"key": debt.key, "attention": debt.attention, "after_wait": _after_wait(debt)}


def _old_key(debt: Debt) -> str:
    if debt.phase in DEAD_PHASES:
        return f"old key {debt.key} is {debt.death} ({debt.phase})"
    return f"old key {words.key_with_hint(debt.key)} still lives: {debt.phase} → {_way(debt)}"


def _way(debt: Debt) -> str:
    """The waits that are still before it, in order."""
    policy, phases = debt.plan.policy, list(DebtPhase)
    if debt.phase is DebtPhase.HELD:
        return "a look that passes → revoked"
    waits = [
        (DebtPhase.GRACE, policy.grace, "grace"),
        (DebtPhase.QUIET, policy.quiet, "unused for"),
        (DebtPhase.SOAK, policy.soak if debt.plan.can_deactivate else 0, "deactivated for"),
    ]
    left = [
        f"{text} {span(seconds)}"
        for phase, seconds, text in waits
        if seconds and phases.index(debt.phase) < phases.index(phase)
    ]
    return " → ".join([*left, "a look → revoked"])


def _after_wait(debt: Debt) -> str:
    return {
        DebtPhase.GRACE: "its grace is over; it is looked at before anything is done to it",
        DebtPhase.QUIET: "is it unused for long enough?",
        DebtPhase.HELD: "it is looked at again",
        DebtPhase.SOAK: "the probes are asked again",
    }.get(debt.phase, f"{debt.phase} goes on")
