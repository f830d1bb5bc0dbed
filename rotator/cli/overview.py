"""`rotator status`: each playbook, how it stands, what failed last, and who must do what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from rotator.cli import console, shapes, todos, words
from rotator.cli.common import CONTEXT, closing, examples, json_option, service
from rotator.cli.notify import not_sent
from rotator.counting import count, span
from rotator.engine.fleet import Elsewhere, Why
from rotator.engine.keeper import short
from rotator.schedules.rules import FOREVER
from rotator.usecases.exit_codes import End, Exit, worst
from rotator.views.nodes import NodeStatus
from rotator.views.status import UNDONE_WHY, PlaybookStatus, State, Status
from rotator.views.status import status as status_of_all

# Why a playbook that is due does not begin
_PUT_OFF = {
    "jitter": "delayed by its jitter until {}",
    "not before": "not before {}",
    "window": "its window opens {}",
    "blackout": "in the blackout {blackout}, until {}",
    "failure": "it failed, and is tried again {}",
    "undone": "undone by {}",
    Why.ON: "waits for {}, where no daemon is seen",
    Why.UNNAMED: "names no node (`on:`), and several are alive: {}",
    Why.BEGUN: "was begun on {}, where no daemon is seen",
    Why.ROTATED: "was last rotated on {}, where no daemon is seen",
    Why.OLDER: "a newer text of it was read elsewhere; `rotate {}` decides for this one",
}


@click.command(
    "status",
    context_settings=CONTEXT,
    epilog=examples("rotator status", "rotator status --json | jq '.playbooks[].todo'"),
)
@json_option
def status(as_json: bool) -> int:
    """All playbooks: when each is due, what failed last, what waits, and who must do what."""
    with closing(service()) as opened:
        seen = status_of_all(opened)
    for mistake in seen.mistakes:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    for one in seen.not_told:
        hint = f"`rotator notify --test {one.name}` tries it now"
        words.say(f"people are not told by {one.name}: {not_sent(one)}", hint)
    code = _exit_code(seen)
    if as_json:
        return shapes.answer(code, shapes.mistakes(seen.mistakes), **_data(seen))
    console.table(
        [cells(one) for one in seen.playbooks], below=[list(details(one)) for one in seen.playbooks]
    )
    if len(seen.nodes) > 1:
        console.put("nodes:")
        console.table([node_cells(one) for one in seen.nodes], indent=2)
    return code


def node_cells(node: NodeStatus) -> list[str]:
    """The row of one daemon."""
    read = count(node.playbooks, "playbook")
    if node.differs:
        read += f", of which others have read another text: {', '.join(node.differs)}"
    seen = "alive" if node.alive else "not seen any more"
    return [node.name, seen, f"rotator {node.version}", f"since {words.moment(node.started)}", read]


def _data(seen: Status) -> dict[str, Any]:
    return {
        "playbooks": [shapes.status(one) for one in seen.playbooks],
        "nodes": [shapes.node(one) for one in seen.nodes],
    }


def as_data(seen: Status) -> dict[str, Any]:
    """The object that `rotator status --json` prints."""
    return shapes.whole("status", _exit_code(seen), shapes.mistakes(seen.mistakes), _data(seen))


def _exit_code(seen: Status) -> Exit:
    ends = [End.NEEDS_PERSON for one in seen.playbooks if one.needs_attention]
    return worst(end.code for end in [*ends, End.MISTAKE if seen.mistakes else End.SAID])


def cells(status: PlaybookStatus) -> list[str]:
    """Its row."""
    state = str(status.state)
    if status.state is State.ROTATING and status.running is not None:
        state = f"rotating: {status.running.phase}"
    elif status.state is State.OLD_KEYS:
        state = f"{count(len(status.living), 'old key')} waiting"
    last = status.last_success
    rotated = f"rotated {words.age(last, status.now)}" if last else "never rotated"
    return [status.name, state, rotated, _next(status)]


def _next(status: PlaybookStatus) -> str:
    if status.pause is not None:
        return f"until {words.moment(status.pause.until)}"
    if status.due is None:
        return "on demand" if status.playbook is not None else ""
    if status.is_due:
        return "due now"
    if status.put_off == UNDONE_WHY:
        return f"due, {_PUT_OFF[UNDONE_WHY].format(status.undone_by)}"
    if status.elsewhere is not None and status.put_off == status.elsewhere.why:
        return f"due, {_away(status, status.elsewhere)}"
    if status.put_off == "group":
        return f"due, waits for {status.group_held_by} of its group"
    if status.put_off:
        blackout = status.due.blackout
        if status.due.begins >= FOREVER:
            return f"due, in the blackout {blackout}"
        until = words.moment(status.due.begins)
        return f"due, {_PUT_OFF[status.put_off].format(until, blackout=blackout)}"
    return f"due in {span(status.due.begins - status.now)}"


def _away(status: PlaybookStatus, away: Elsewhere) -> str:
    """Why no node works on it."""
    about = status.name if away.why is Why.OLDER else ", ".join(away.nodes)
    return _PUT_OFF[away.why].format(about)


def details(status: PlaybookStatus) -> Iterator[str]:
    """What stands below its row."""
    yield from words.attention(status)
    if status.key_ends is not None and status.due is not None:
        yield f"its key {_key_end(status, status.key_ends)}"
    if status.pause is not None:
        yield f"paused by {status.pause.who}: {status.pause.reason}"
    if (failed := status.failed) is not None:
        ended = words.age(status.recorded.ended, status.now) if status.recorded is not None else ""
        yield f"{short(failed.id)} was {failed.outcome} {ended}: {failed.problem}"
    if status.elsewhere is not None and (status.running is not None or status.living):
        yield f"it does not go on: {_away(status, status.elsewhere)}"
    for one in todos.worded(status):
        yield one.line
        yield from (f"  {number}. {step}" for number, step in enumerate(one.steps, start=1))
        if one.hint:
            yield f"hint: {one.hint}"


def _key_end(status: PlaybookStatus, ends: float) -> str:
    if ends <= status.now:
        return "has ended"
    earlier = ": it is due earlier for that" if status.due and status.due.at == status.renew else ""
    return f"ends {words.moment(ends)}{earlier}"
