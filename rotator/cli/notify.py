"""Who is told of what, what was not sent, and a test of it: notify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import CONTEXT, closing, examples, json_option, playbook_names, service
from rotator.counting import as_typed, count
from rotator.secret import redact
from rotator.usecases import trial
from rotator.usecases.exit_codes import End
from rotator.usecases.service import Service
from rotator.views import notices
from rotator.views.notices import ChannelStatus


@click.command(
    "notify",
    context_settings=CONTEXT,
    epilog=examples("rotator notify", "rotator notify --test", "rotator notify --test ops"),
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=playbook_names)
@click.option("--test", is_flag=True, help="Send a notice that says it is a test, now.")
@json_option
def notify(names: tuple[str, ...], test: bool, as_json: bool) -> int:
    """Who is told of what, and what was not sent; NAME is a channel or a playbook.

    Exit 0 where all was sent; 1 where something was given up, or a channel fails.
    """
    with closing(service()) as opened:
        if test:
            return _test(opened, names, as_json)
        seen = notices.status(opened, names)
    code = (End.SAID if all(one.well for one in seen) else End.FOUND).code
    if as_json:
        return shapes.answer(code, channels=[_row(one) for one in seen])
    if not seen:
        console.put("nobody is told: no playbook and no setting has `notify`")
        return code
    console.table([(one.name, _told(one), not_sent(one)) for one in seen])
    return code


def _test(opened: Service, names: Sequence[str], as_json: bool) -> int:
    rows, failed = [], False
    entries = trial.channels(opened, names)
    for one in trial.tries(opened, entries):
        error = one.error
        failed = failed or error is not None
        said, hint = (redact(error.message), redact(error.hint)) if error else ("sent", "")
        rows.append({"channel": one.channel, "ok": error is None, "text": said, "hint": hint})
        if not as_json:
            console.put(f"{'✗' if error else '✓'} {one.channel}: {said}", 2)
            if hint:
                console.put(f"  hint: {hint}", 8)
    code = (End.FOUND if failed else End.SAID).code
    if as_json:
        return shapes.answer(code, channels=[{**row, "hint": row["hint"] or None} for row in rows])
    if not rows:
        console.put("nobody is told: no playbook and no setting has `notify`")
    return code


def _told(one: ChannelStatus) -> str:
    if one.entry is None:
        return "is not there any more"
    before = f"; {as_typed(one.entry.before)} before" if one.entry.before is not None else ""
    return f"{', '.join(one.entry.when)}{before}"


def not_sent(one: ChannelStatus) -> str:
    """What was not sent, and why."""
    left, said = one.left, []
    if left.waiting and left.since is not None:
        waits = count(left.waiting, "notice waits", "notices wait")
        said.append(f"{waits} since {words.moment(left.since)}")
    if left.given_up:
        said.append(f"{count(left.given_up, 'notice was', 'notices were')} given up")
    return f"{' and '.join(said)}{f': {left.error}' if left.error else ''}" if said else "all sent"


def _row(one: ChannelStatus) -> dict[str, Any]:
    entry, left = one.entry, one.left
    return {
        "channel": one.name,
        "when": list(entry.when) if entry is not None else [],
        "before_seconds": entry.before if entry is not None else None,
        "waiting": left.waiting,
        "since": shapes.at(left.since) if left.since is not None else None,
        "given_up": left.given_up,
        "error": left.error or None,
    }
