"""Looking back: show, history. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import CONTEXT, closing, examples, json_option, service
from rotator.core.state import Phase
from rotator.engine.keeper import short
from rotator.views import history as view
from rotator.views.history import RecordedRotation, RotationDetails

# Fields of an audit record that its line tells, in this order
_FIELDS = (
    "step",
    "event",
    "op",
    "target",
    "key",
    "result",
    "decision",
    "outcome",
    "order",
    "error",
    "reason",
)


@click.command(
    "show",
    context_settings=CONTEXT,
    epilog=examples("rotator show openai-prod", "rotator show r-7f3k2 --json"),
)
@click.argument("which")
@json_option
def show(which: str, as_json: bool) -> int:
    """One rotation (its id, or the playbook's last): each step, attempt and decision."""
    with closing(service()) as opened:
        details = view.details(opened, which)
    if as_json:
        rotation = shapes.rotation(details.recorded.rotation, details.recorded)
        old_keys = [shapes.old_key(debt) for debt in details.old_keys]
        return shapes.answer(0, rotation=rotation, old_keys=old_keys, records=list(details.records))
    _show(details)
    return 0


def _show(details: RotationDetails) -> None:
    recorded, rotation = details.recorded, details.recorded.rotation
    state = str(rotation.outcome or rotation.phase)
    if rotation.phase is Phase.STUCK:
        state = f"needs attention: {rotation.question}"
    leaked = " · the old key leaked" if rotation.compromised else ""
    console.put(f"{rotation.playbook} · {short(rotation.id)} ({rotation.id}) · {state}{leaked}", 2)
    reason = f": {recorded.reason}" if recorded.reason else ""
    console.put(f"{words.moment(recorded.began)} by {recorded.actor}{reason}", 2)
    for record in details.records:
        console.put(_line(record), 16)
    for debt in details.old_keys:
        console.put(f"old key: {words.debt_words(debt)}", 2)


def _line(record: Mapping[str, Any]) -> str:
    parts = [record.get(name) for name in _FIELDS]
    by = f"(by {record['by']})" if record.get("by") else ""
    took = f" {record['seconds']} s" if record.get("seconds") else ""
    text = " ".join(str(part) for part in (*parts, by, *record.get("warnings", [])) if part)
    return f"  {_local(record['time'])}  {text}{took}"


def _local(time: str) -> str:
    """The time of day here, as the head of `show` has its date and zone."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]


@click.command(
    "history",
    context_settings=CONTEXT,
    epilog=examples("rotator history", "rotator history openai-prod -n 5"),
)
@click.argument("name", required=False, default="")
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@json_option
def history(name: str, limit: int, as_json: bool) -> int:
    """The last rotations, newest first."""
    with closing(service()) as opened:
        recorded = view.history(opened, name, limit)
    if as_json:
        return shapes.answer(0, rotations=[shapes.rotation(one.rotation, one) for one in recorded])
    if not recorded:
        console.put(f"{name} was never rotated" if name else "nothing was rotated yet")
    console.table([_cells(one) for one in recorded])
    return 0


def _cells(recorded: RecordedRotation) -> tuple[str, ...]:
    rotation, ended = recorded.rotation, recorded.ended
    outcome = str(rotation.outcome or rotation.phase)
    if rotation.phase is Phase.STUCK:
        outcome = "needs attention"
    return (
        words.moment(recorded.began),
        short(rotation.id),
        rotation.playbook,
        f"{outcome}, leaked" if rotation.compromised else outcome,
        f"{ended - recorded.began:.0f} s" if ended else "unfinished",
        recorded.actor,
    )
