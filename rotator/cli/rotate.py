"""The verb that all is about: rotate."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    playbook_names,
    reason_option,
    service,
    wait_option,
    watch,
)
from rotator.cli.running import reports_as_json
from rotator.cli.stopping import ends_in_order
from rotator.counting import count
from rotator.shown import tidy

if TYPE_CHECKING:
    from rotator.playbook.directory import Loaded
    from rotator.usecases.service import Request, Service


@click.command(
    "rotate",
    short_help="Rotate keys now, or carry unfinished rotations on.",
    context_settings=CONTEXT,
    epilog=examples(
        "rotate openai-prod --dry-run",
        "rotate openai-prod --wait",
        "rotate --due",
        'rotate openai-prod --compromised --reason "in a public log"',
    ),
)
@click.argument("names", nargs=-1, shell_complete=playbook_names)
@click.option(
    "--due", is_flag=True, help="What a clock would do now, everything once: for a CronJob."
)
@click.option(
    "--dry-run", is_flag=True, help="The plan, and what preflight finds; changes nothing."
)
@click.option(
    "--compromised",
    is_flag=True,
    help="The key leaked: no grace, no quiet, and nothing goes back to it.",
)
@click.option(
    "--revoke-first",
    is_flag=True,
    help="With --compromised: the old key dies before consumers have the new.",
)
@click.option(
    "--key", default="", metavar="ID", help="With --revoke-first: the id of the one key that dies."
)
@wait_option
@reason_option
@json_option
def rotate_command(
    names: tuple[str, ...],
    due: bool,
    dry_run: bool,
    compromised: bool,
    revoke_first: bool,
    key: str,
    wait: bool,
    reason: str,
    as_json: bool,
) -> int:
    """Rotate the keys of playbooks NAMES now, or carry unfinished rotations on."""
    from rotator.usecases.service import Request

    if bool(names) == due:
        raise click.UsageError("name the playbooks to rotate, or say --due")
    if due and compromised:
        raise click.UsageError(
            "--compromised is about the keys of the playbooks that you name, not about what is due"
        )
    if revoke_first and not compromised:
        raise click.UsageError("--revoke-first is for a leaked key: say --compromised, too")
    if key and (not revoke_first or len(names) != 1):
        raise click.UsageError(
            "--key names the leaked key of one playbook, with --compromised --revoke-first"
        )
    if dry_run and due:
        raise click.UsageError(
            "--dry-run is for playbooks by name; `rotator status` tells which are due"
        )
    if dry_run:
        from rotator.cli.planned import plans

        return plans(names, as_json, compromised, revoke_first, key)
    request = Request(compromised, revoke_first, key, reason, wait=wait)
    return _due(request, as_json) if due else _named(names, request, as_json)


def _named(names: Sequence[str], request: Request, as_json: bool) -> int:
    from rotator.cli import reported
    from rotator.cli.steps import StepView
    from rotator.usecases.report import code_of

    with closing(service()) as found, ends_in_order(found):
        names = found.playbooks().meant(names, request.key)
        view = StepView(names if len(names) > 1 else (), quiet=as_json)
        with contextlib.closing(view):
            watch(found, view)
            found.expect(names, request.compromised)
            if not as_json and len(names) == 1:
                _headline(found, names[0])
            reports = found.rotate_all(names, request)
        code = code_of(reports, request.wait)
        if as_json:
            return reports_as_json(found, reports, code, view)
    for one in reports:
        reported.report(one, many=len(names) > 1)
    return code


def _headline(found: Service, name: str) -> None:
    from rotator.cli import console

    playbook = found.playbooks().playbooks.get(name)
    if playbook is not None:
        description = tidy(playbook.shape.description)
        console.put(f"{name} · {description}" if description else name, 2)


def _due(request: Request, as_json: bool) -> int:
    from rotator.cli import console, reported, shapes, words
    from rotator.cli.counted import counted
    from rotator.cli.steps import StepView
    from rotator.usecases.exit_codes import Exit, worst
    from rotator.usecases.report import code_of_due

    view = StepView(quiet=as_json, many=True)
    with closing(service("due", view), view) as found, ends_in_order(found):
        view.expect(found.playbooks().playbooks)
        reports, loaded = found.due(request)
        view.close()
        code = code_of_due(reports, bool(loaded.mistakes))
        if found.stopping.is_set():
            code = worst([code, Exit.TERMINATED])
            words.say(
                "told to stop (SIGTERM)",
                "the next call goes on with what was begun, and begins the rest",
            )
        for mistake in loaded.mistakes:
            words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
        if as_json:
            return reports_as_json(
                found, reports, code, view, errors=shapes.mistakes(loaded.mistakes)
            )
    for one in reports:
        if not one.is_for_later:
            reported.report(one, many=True)
    console.put(_looked_at(loaded, counted(reports, view.finished)))
    return code


def _looked_at(loaded: Loaded, told: str) -> str:
    good = len(loaded.playbooks)
    broken = len({mistake.file for mistake in loaded.mistakes} - set(loaded.looked))
    said = (
        f"{count(len(loaded.mistakes), 'mistake')} in {count(broken, 'file')}; " if broken else ""
    )
    said += "the other " if broken and good else ""
    return f"{said}{good or 'none'} {'were' if good > 1 else 'was'} looked at{told}."
