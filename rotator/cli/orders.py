"""What people order: undo, revoke, confirm, supply, adopt, abandon, rename, forget."""

from __future__ import annotations

import sys

import click

from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    name_argument,
    playbook_names,
    reason_option,
    service,
    wait_option,
)
from rotator.cli.running import reports_as_json, run_and_report
from rotator.usecases.exit_codes import End

_ASKED = 3  # times for a key, at a terminal


def _order_verb(verb: str, help_text: str, *shown: str) -> click.Command:
    @click.command(verb, help=help_text, context_settings=CONTEXT, epilog=examples(*shown))
    @name_argument
    @click.option("--key", default="", metavar="ID", help="This one alone.", hidden=verb == "undo")
    @wait_option
    @reason_option
    @json_option
    def command(name: str, key: str, wait: bool, reason: str, as_json: bool) -> int:
        from rotator.core.order import Order
        from rotator.usecases import orders
        from rotator.usecases.service import Request

        request = Request(key=key, reason=reason, wait=wait or verb == "revoke")
        return run_and_report(
            name,
            lambda found: orders.order(found, name, Order(verb), request),
            as_json,
            request.wait,
        )

    return command


undo = _order_verb(
    "undo",
    "Back to the previous key: of an unfinished rotation, or of the last one while that key lives.",
    'rotator undo openai-prod --reason "made in the wrong project"',
)
revoke = _order_verb(
    "revoke",
    "Revoke the old keys of NAME now: no grace and no quiet; nobody may hold them.",
    "rotator revoke openai-prod",
    "rotator revoke openai-prod --key key_4Tz9",
)
confirm = _order_verb(
    "confirm",
    "Say that a person has destroyed the old key in the provider's console.",
    "rotator confirm anthropic",
)


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        "rotator supply anthropic", "rotator supply anthropic --id apikey_01 <new-key.txt"
    ),
)
@name_argument
@click.option(
    "--id", "key_id", default="", help="The key's id in the provider's console, if it has one."
)
@wait_option
@json_option
def supply(name: str, key_id: str, wait: bool, as_json: bool) -> int:
    """Give a rotation the new key that a person made: from standard input, or asked for without
    echo.
    """
    from rotator.cli import words
    from rotator.secret import Secret
    from rotator.usecases import supply
    from rotator.usecases.service import Request

    with closing(service()) as found:
        found.known(name)  # before it is asked for
    request = Request(wait=wait)

    def take(text: str) -> int:
        value = Secret(text)
        return run_and_report(
            name, lambda found: supply.supply(found, name, value, key_id, request), as_json, wait
        )

    if not sys.stdin.isatty():
        given = getattr(sys.stdin, "buffer", None)
        return take(given.read().decode(errors="surrogateescape") if given else sys.stdin.read())
    for _ in range(_ASKED - 1):
        try:
            return take(click.prompt("the new key", hide_input=True))
        except supply.NotTaken as error:
            words.say(error.message, error.hint)
    return take(click.prompt("the new key", hide_input=True))


@click.command(
    context_settings=CONTEXT,
    epilog=examples("rotator adopt openai-prod", "rotator adopt openai-prod --id key_9Qd2"),
)
@name_argument
@click.option(
    "--id",
    "key_id",
    default="",
    help="The key's id at the provider; matched by its hint without it.",
)
@json_option
def adopt(name: str, key_id: str, as_json: bool) -> int:
    """Take the key that the stores of NAME hold as the current one (a lost journal, a key that a
    person put there).
    """
    from rotator.cli import console, shapes
    from rotator.usecases import adopt

    with closing(service()) as found:
        key = adopt.adopt(found, name, key_id)
    if as_json:
        return shapes.answer(0, playbook=name, key=shapes.key(key))
    console.put(f"{name}: {key} ({key.hint}) is the current key")
    return 0


@click.command(
    context_settings=CONTEXT,
    epilog=examples(
        "rotator abandon openai-prod", "rotator abandon openai-prod --current key_9Qd2"
    ),
)
@name_argument
@click.option(
    "--current",
    "key_id",
    default="",
    metavar="ID",
    help="The key in force, where the stores do not agree.",
)
@reason_option
@json_option
def abandon(name: str, key_id: str, reason: str, as_json: bool) -> int:
    """End the unfinished rotation of NAME: what the stores hold is in force, all else that it made
    is an old key.
    """
    from rotator.cli import reported, shapes
    from rotator.cli.steps import StepView
    from rotator.usecases import orders

    with closing(service()) as found:
        current, report = orders.abandon(found, name, key_id, reason)
        code = (End.OLD_KEY_HELD if report.held else End.GIVEN_UP).code
        if as_json:
            return reports_as_json(
                found, [report], code, StepView(quiet=True), key=shapes.key(current)
            )
    reported.abandoned(report, current)
    return code


@click.command(
    context_settings=CONTEXT,
    epilog=examples("rotator rename openai openai-prod"),
)
@click.argument("old")
@click.argument("new", shell_complete=playbook_names)
@json_option
def rename(old: str, new: str, as_json: bool) -> int:
    """Give the playbook NEW the history of OLD: its key, its old keys, its rotations.

    For a file that was renamed.
    """
    from rotator.cli import console, shapes
    from rotator.usecases import naming

    with closing(service()) as found:
        naming.rename(found, old, new)
    if as_json:
        return shapes.answer(0, playbook=new, before=old)
    console.put(f"what was known of {old} is known of {new}")
    return 0


@click.command(
    context_settings=CONTEXT,
    epilog=examples("rotator forget old-shop --gone", "rotator forget openai-prod --key key_77"),
)
@click.argument("name")
@click.option(
    "--key",
    default="",
    metavar="ID",
    help="Only a key that nobody decided about: it is somebody else's.",
)
@click.option("--gone", is_flag=True, help="You have looked in the console: its key is destroyed.")
@reason_option
@json_option
def forget(name: str, key: str, gone: bool, reason: str, as_json: bool) -> int:
    """Forget the playbook NAME, whose file and key are gone. The audit log and the history stay."""
    from rotator.cli import console, shapes
    from rotator.usecases import naming

    with closing(service()) as found:
        if key:
            naming.let_go(found, name, key, reason)
        else:
            naming.forget(found, name, gone)
    if as_json:
        return shapes.answer(0, playbook=name, left_alone=key or None)
    console.put(f"{key} is left alone" if key else f"{name} is forgotten")
    return 0
