"""pause and resume."""

from __future__ import annotations

from datetime import datetime

import click

from rotator import durations
from rotator.cli import console, shapes, words
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    playbook_names,
    reason_option,
    required_reason_option,
    service,
    wait_option,
)
from rotator.cli.running import run_and_report
from rotator.errors import RefusedError
from rotator.journal import pauses

_name = click.argument("name", required=False, default="", shell_complete=playbook_names)
_tag = click.option("--tag", default="", help="All playbooks with this tag.")
_all = click.option("--all", "every", is_flag=True, help="All playbooks.")


def _scope(name: str, tag: str, every: bool) -> str:
    if bool(name) + bool(tag) + every != 1:
        raise click.UsageError("say one of: the name of a playbook, --tag TAG, --all")
    return f"playbook {name}" if name else f"tag {tag}" if tag else pauses.ALL


def until(text: str, now: float) -> float:
    """Unix seconds of '3d' from now, or of a date or time (this machine's zone unless it names
    one).
    """
    try:
        return now + durations.seconds(text)
    except ValueError:
        return _moment(text)


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError) as error:
        raise click.UsageError(
            f"'{text}' is neither a duration (3d, 12h) nor a time (2026-12-24T18:00)"
        ) from error


@click.command(
    "pause",
    context_settings=CONTEXT,
    epilog=examples(
        'rotator pause openai-prod --until 12h --reason "the launch"',
        'rotator pause --tag payments --until 2030-01-02T09:00 --reason "year end"',
    ),
)
@_name
@_tag
@_all
@click.option(
    "--until", "end", required=True, help="A duration (3d, 12h) or a time (2026-12-24T18:00)."
)
@required_reason_option("Why; it stands in the audit log and in status.")
@json_option
def pause(name: str, tag: str, every: bool, end: str, reason: str, as_json: bool) -> int:
    """The clock leaves NAME (or a tag, or all) alone until then: nothing begins or goes on, no old
    key is revoked.

    A leak is not held up: `rotate NAME --compromised` works, and so do the orders of people.
    """
    from rotator.usecases import pause

    scope = _scope(name, tag, every)
    with closing(service()) as found:
        made = pause.begin(found, scope, until(end, found.clock.now()), reason)
    if as_json:
        return shapes.answer(0, pause=shapes.pause(made))
    console.put(f"paused {scope} until {words.moment(made.until)}: {reason}")
    console.put(f"`rotator resume {made.typed}` ends it")
    return 0


@click.command(
    "resume",
    context_settings=CONTEXT,
    epilog=examples(
        "rotator resume openai-prod",
        "rotator resume openai-prod --today",
        "rotator resume --tag payments",
    ),
)
@_name
@_tag
@_all
@click.option(
    "--today",
    is_flag=True,
    help="Go on with stores, restarters and probes as the playbook says today, not as it began.",
)
@click.option(
    "--give-up",
    multiple=True,
    metavar="STORE",
    help="With --today: a store that was written and is looked at no more.",
)
@wait_option
@reason_option
@json_option
def resume(
    name: str,
    tag: str,
    every: bool,
    today: bool,
    give_up: tuple[str, ...],
    wait: bool,
    reason: str,
    as_json: bool,
) -> int:
    """End a pause; of one playbook, carry on what needs attention, too: the person has looked."""
    from rotator.core.order import Order
    from rotator.usecases import orders, pause
    from rotator.usecases.service import Request

    if (today and not name) or (give_up and not today):
        raise click.UsageError("--today is for one playbook, and --give-up goes with it")
    scope = _scope(name, tag, every)
    with closing(service()) as found:
        ended = pause.end(found, scope, reason)
        present = found.situation(name) if name else None
        still = present.pause if present is not None else None
        attention = present is not None and present.waits_for_resume
    if ended and not as_json:
        console.put(f"{scope} is no longer paused" + (f"; {still.scope} still is" if still else ""))
    if still is not None and not ended and not attention:
        raise RefusedError(
            f"{name} is paused with others: {still.reason}",
            f"`rotator resume {still.typed}` ends it",
        )
    if not name or (ended and not attention and not today):
        if as_json:
            return shapes.answer(0, scope=scope, was_paused=ended)
        if not ended:
            console.put(f"{scope} was not paused")
        return 0
    request = Request(reason=reason, today=today, give_up=give_up, wait=wait)
    return run_and_report(
        name, lambda found: orders.order(found, name, Order.RESUME, request), as_json, wait
    )
