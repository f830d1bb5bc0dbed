"""Notices in words: one sentence each, and the command that helps."""

from __future__ import annotations

from datetime import UTC, datetime

from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Key
from rotator.core.state import Rotation
from rotator.plugin.channel import Kind
from rotator.shown import tidy

_TITLES = {
    Kind.STARTED: "{name}: a rotation began",
    Kind.WAITING: "{name} waits for a person",
    Kind.ROLLED_BACK: "{name} was rolled back",
    Kind.REFUSED: "{name} was refused",
    Kind.ATTENTION: "{name} needs attention",
    Kind.OVERDUE: "{name} is overdue",
    Kind.DONE: "{name}: the new key is in force",
    Kind.BEFORE: "{name}: its key is due soon",
    Kind.TEST: "a test of rotator",
}
_WAYS_ON = {
    Kind.WAITING: "`rotator status` says who must do what",
    Kind.ROLLED_BACK: "`rotator show {name}` has each attempt; it is tried again by itself",
    Kind.REFUSED: "nothing was changed; `rotate {name} --dry-run` says what stands in its way",
    Kind.ATTENTION: "`rotator status` says who must do what; then `rotator resume {name}`",
    Kind.OVERDUE: "`rotator doctor --explain {name}` says why",
}


def title(kind: Kind, playbook: str) -> str:
    return _TITLES[kind].format(name=playbook)


def text(kind: Kind, playbook: str, said: str, installation: str, host: str) -> str:
    """What happened, what to do, and who says so."""
    way_on = _WAYS_ON.get(kind, "").format(name=playbook)
    lines = [tidy(said), way_on, f"rotator {installation} on {host}"]
    return "\n".join(line for line in lines if line)


def began(reason: str, actor: str) -> str:
    return f"begun by {actor}" + (f": {reason}" if reason else "")


def done(rotation: Rotation) -> str:
    if rotation.back:
        return f"the previous key {rotation.new} is in force again"
    old = f"; the old one, {rotation.old}, is revoked later" if rotation.old is not None else ""
    return f"{rotation.new} is in force{old}"


def failed(rotation: Rotation) -> str:
    """Why it was rolled back, or refused."""
    hint = f" ({rotation.hint})" if rotation.hint else ""
    return f"{rotation.problem}{hint}"


def abandoned(rotation: Rotation) -> str:
    why = f": {rotation.problem}" if rotation.problem else ""
    return f"its rotation ended without a verified key{why}"


def wanted(playbook: str) -> str:
    return f"a person makes its new key: `rotator supply {playbook}`"


def to_destroy(debt: Debt) -> str:
    said = debt.attention or f"destroy {debt.key} in the provider's console"
    return f"{said}; then `rotator confirm {debt.playbook}`"


def of_old_key(debt: Debt) -> str:
    if debt.phase is DebtPhase.WATCH:
        return f"{debt.attention}; it is dead: give whoever still has it the key in force"
    return f"{debt.key}: {debt.attention}"


def without(key: Key) -> str:
    return f"{key} is in force and was ordered to die, and no other key was brought out yet"


def overdue(since: float) -> str:
    return f"its key was to be rotated, and is overdue since {_moment(since)}"


def ahead(what: str, moment: float) -> str:
    return f"its key {'ends' if what == 'ends' else 'is due'} {_moment(moment)}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
