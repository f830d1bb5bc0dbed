"""What `--json` prints: one object, of the same shapes in each verb. Described in docs/json.md.

Times are ISO 8601 in UTC, spans are seconds, what is not there is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rotator.audit.record import rfc3339
from rotator.cli.streams import print_record
from rotator.core import debt as debt_machine
from rotator.core import incident
from rotator.core.action import WaitUntil
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Rotation
from rotator.engine.keeper import short
from rotator.errors import RotatorError
from rotator.journal.pauses import Pause
from rotator.playbook.mistakes import Mistake
from rotator.schedules.rules import FOREVER
from rotator.usecases.report import Report

if TYPE_CHECKING:
    from rotator.views.history import RecordedRotation
    from rotator.views.nodes import NodeStatus
    from rotator.views.status import PlaybookStatus


def answer(
    exit_code: int, errors: Sequence[Mapping[str, Any]] = (), *, as_it_is: bool = False, **data: Any
) -> int:
    """Print the one object of this command; the exit code.

    `as_it_is`: what is signed or hashed, and was redacted.
    """
    path = click.get_current_context().command_path.split()
    tell(" ".join(path[1:] or path), exit_code, errors, data, as_it_is)
    return exit_code


def whole(
    command: str, exit_code: int, errors: Sequence[Mapping[str, Any]], data: Mapping[str, Any]
) -> dict[str, Any]:
    """The one object of a command."""
    return {"command": command, "exit_code": exit_code, "errors": list(errors), **data}


def tell(
    command: str,
    exit_code: int,
    errors: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    as_it_is: bool = False,
) -> None:
    text = json.dumps(whole(command, exit_code, errors, data), indent=2, ensure_ascii=False)
    if as_it_is:
        print_record(text)
    else:
        print(text)


def error(message: str, hint: str = "", place: str = "") -> dict[str, Any]:
    return {"message": message, "hint": hint or None, "place": place or None}


def of_error(found: RotatorError) -> dict[str, Any]:
    return error(found.message, found.hint)


def mistakes(found: Sequence[Mistake]) -> list[dict[str, Any]]:
    return [error(one.text, one.hint, one.place) for one in found]


def at(seconds: float | None) -> str | None:
    """ISO 8601 of Unix seconds."""
    return rfc3339(seconds) if seconds is not None else None


def key(found: Key | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "id": found.id or None,
        "hint": found.hint or None,
        "fingerprint": found.fingerprint or None,
    }


def rotation(found: Rotation | None, recorded: RecordedRotation | None) -> dict[str, Any] | None:
    """`recorded`: what the journal keeps of it besides its state."""
    if found is None:
        return None
    return {
        "id": found.id,
        "short": short(found.id),
        "playbook": found.playbook,
        "phase": str(found.phase),
        "outcome": str(found.outcome) if found.outcome else None,
        "problem": found.problem or None,
        "question": found.question or None,
        "hint": found.hint or None,
        "old_key": key(found.old),
        "new_key": key(found.new),
        "compromised": found.compromised,
        "back": found.back,
        "possible_orphan": found.possible_orphan or None,
        "by": recorded.actor or None if recorded is not None else None,
        "reason": recorded.reason or None if recorded is not None else None,
        "began": at(recorded.began if recorded is not None else None),
        "ended": at(recorded.ended if recorded is not None else None),
    }


def old_key(found: Debt) -> dict[str, Any]:
    """A key that is to be revoked, or was."""
    action = debt_machine.next_action(found)
    ending = incident.ending(found) if found.at_once else None
    return {
        "key": key(found.key),
        "cause": str(found.cause),
        "phase": str(found.phase),
        "open": found.open,
        "attention": found.attention or None,
        "until": at(action.at) if isinstance(action, WaitUntil) else None,
        "at_once": found.at_once,
        "ending": str(ending) if ending else None,
        "proof": str(found.proof) if found.proof else None,
    }


def pause(found: Pause | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "scope": found.scope,
        "since": at(found.since),
        "until": at(found.until),
        "reason": found.reason,
        "by": found.who,
    }


def report(
    found: Report, recorded: RecordedRotation | None, steps: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """How it stands with one playbook after a command. `recorded`: its rotation, in the journal."""
    return {
        "playbook": found.playbook,
        "exit_code": found.code_of_all,
        "error": of_error(found.error) if found.error else None,
        "rotation": rotation(found.rotation, recorded),
        "old_keys": [old_key(debt) for debt in found.debts],
        "killed": [old_key(debt) for debt in found.kills],
        "without": key(found.without),
        "taken": list(found.taken),
        "differs": list(found.differs),
        "steps": list(steps),
        "seconds": round(found.seconds, 3),
    }


def status(found: PlaybookStatus) -> dict[str, Any]:
    """How one playbook stands."""
    from rotator.cli import todos, words

    return {
        "playbook": found.name,
        "state": found.state,
        "attention": words.attention(found),
        "without": key(found.without),
        "last_success": at(found.last_success),
        # Of one that was never rotated, nobody knows since when it is due
        "due": at(found.due.at or None if found.due else None),
        "begins": at(found.due.begins if found.due and found.due.begins < FOREVER else None),
        "put_off": found.put_off or None,
        "blackout": (found.due.blackout if found.put_off and found.due else "") or None,
        "on": list(found.playbook.shape.on) or None if found.playbook else None,
        "key_ends": at(found.key_ends),
        "pause": pause(found.pause),
        "rotation": rotation(found.rotation, found.recorded),
        "old_keys": [old_key(debt) for debt in found.debts],
        "todo": [
            {**asdict(one), "at": at(one.at), "hint": one.hint or None}
            for one in todos.worded(found)
        ],
    }


def node(found: NodeStatus) -> dict[str, Any]:
    """One daemon of the journal."""
    return {
        "node": found.name,
        "alive": found.alive,
        "version": found.version,
        "started": at(found.started),
        "last_seen": at(found.seen),
        "playbooks": found.playbooks,
        "differs": list(found.differs),
    }
