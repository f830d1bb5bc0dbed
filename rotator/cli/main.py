"""The verbs. Each only words what the service does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from rotator import __version__
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
    worst,
)
from rotator.counting import count
from rotator.shown import tidy

if TYPE_CHECKING:
    from rotator.cli.steps import StepView
    from rotator.playbook.directory import Loaded
    from rotator.usecases.report import Report
    from rotator.usecases.service import Request, Service


_ASKED = 3  # times for a key, at a terminal


@click.group(
    context_settings=CONTEXT,
    epilog=examples(
        "rotator validate", "rotate openai-prod --dry-run", "rotate openai-prod", "rotator status"
    ),
)
@click.version_option(__version__, prog_name="rotator")
def cli() -> None:
    """Rotates API keys in production, from playbooks, surviving any crash in between.

    Exit codes: 0 done, 1 internal error or something found, 2 configuration, 3 rolled back, 4 needs
    attention, 5 waiting for a person, 6 refused before any change, 75 busy.
    """


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
        from rotator.cli.inspect import plans

        return plans(names, as_json, compromised, revoke_first, key)
    request = Request(compromised, revoke_first, key, reason, wait=wait)
    return _due(request, as_json) if due else _named(names, request, as_json)


def _named(names: Sequence[str], request: Request, as_json: bool) -> int:
    from rotator.cli import words
    from rotator.cli.steps import StepView

    names = list(dict.fromkeys(names))
    view = StepView(names if len(names) > 1 else (), quiet=as_json)
    with closing(service(observe=view), view) as found:
        found.expect(names, request.compromised)
        if not as_json and len(names) == 1:
            _headline(found, names[0])
        reports = found.rotate_all(names, request)
        view.close()
        code = worst([_code(one, request) for one in reports])
        if as_json:
            return _as_json(found, reports, code, view)
    for one in reports:
        words.report(one, many=len(names) > 1)
    return code


def _as_json(
    found: Service, reports: Sequence[Report], code: int, view: StepView, **more: Any
) -> int:
    from rotator.cli import shapes
    from rotator.journal import cases

    with found.journal.database.read() as connection:
        rows = {
            one.rotation.id: cases.find_rotation(connection, one.rotation.id)
            for one in reports
            if one.rotation
        }
    told = [
        shapes.report(
            one,
            rows.get(one.rotation.id) if one.rotation else None,
            view.finished.get(one.playbook, []),
        )
        for one in reports
    ]
    return shapes.answer(code, playbooks=told, **more)


def _code(report: Report, request: Request) -> int:
    """An old key that needs attention counts; with --wait, one that waits for a person, too."""
    return report.code_of_all or (5 if report.questions and request.wait else 0)


def _headline(found: Service, name: str) -> None:
    from rotator.cli import console

    playbook = found.playbooks().playbooks.get(name)
    if playbook is not None:
        description = tidy(playbook.shape.description)
        console.put(f"{name} · {description}" if description else name, 2)


def _due(request: Request, as_json: bool) -> int:
    from rotator.cli import console, shapes, words
    from rotator.cli.steps import StepView

    view = StepView(quiet=as_json, many=True)
    with closing(service("due", view), view) as found:
        view.expect(found.playbooks().playbooks)
        reports, loaded = found.due(request)
        view.close()
        codes = [0 if one.code in (75, 5) else one.code_of_all for one in reports]
        code = worst([*codes, *([2] if loaded.mistakes else [])])
        for mistake in loaded.mistakes:
            words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
        if as_json:
            return _as_json(found, reports, code, view, errors=shapes.mistakes(loaded.mistakes))
    for one in reports:
        if one.code not in (75, 5):
            words.report(one, many=True)
    console.put(_looked_at(loaded, words.counted(reports, view.finished)))
    return code


def _looked_at(loaded: Loaded, told: str) -> str:
    good = len(loaded.playbooks)
    broken = len({mistake.file for mistake in loaded.mistakes} - set(loaded.looked))
    said = (
        f"{count(len(loaded.mistakes), 'mistake')} in {count(broken, 'file')}; " if broken else ""
    )
    said += "the other " if broken and good else ""
    return f"{said}{good or 'none'} {'were' if good > 1 else 'was'} looked at{told}."


def ordered(name: str, run: Callable[[Service], Report], as_json: bool, wait: bool) -> int:
    from rotator.cli import words
    from rotator.cli.steps import StepView
    from rotator.usecases.service import Request

    view = StepView(quiet=as_json)
    with closing(service(observe=view), view) as found:
        report = run(found)
        view.close()
        code = _code(report, Request(wait=wait))
        if as_json:
            return _as_json(found, [report], code, view)
    words.report(report)
    return code


def _order_verb(verb: str, short: str, help_text: str, *shown: str) -> None:
    @cli.command(
        verb, short_help=short, help=help_text, context_settings=CONTEXT, epilog=examples(*shown)
    )
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
        return ordered(
            name,
            lambda found: orders.order(found, name, Order(verb), request),
            as_json,
            request.wait,
        )


_order_verb(
    "undo",
    "Back to the previous key, while that one lives.",
    "Back to the previous key: of an unfinished rotation, or of the last one while that key lives.",
    'rotator undo openai-prod --reason "made in the wrong project"',
)
_order_verb(
    "revoke",
    "Revoke old keys now: no grace and no quiet.",
    "Revoke the old keys of NAME now: no grace and no quiet; nobody may hold them.",
    "rotator revoke openai-prod",
    "rotator revoke openai-prod --key key_4Tz9",
)
_order_verb(
    "confirm",
    "Say that a person destroyed the old key in the console.",
    "Say that a person has destroyed the old key in the provider's console.",
    "rotator confirm anthropic",
)


@cli.command(
    short_help="Give a rotation the new key that a person made.",
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
    from rotator.usecases import orders
    from rotator.usecases.service import Request

    with closing(service()) as found:
        found.known(name)  # before it is asked for
    request = Request(wait=wait)

    def take(text: str) -> int:
        value = Secret(text)
        return ordered(
            name, lambda found: orders.supply(found, name, value, key_id, request), as_json, wait
        )

    if not sys.stdin.isatty():
        given = getattr(sys.stdin, "buffer", None)
        return take(given.read().decode(errors="surrogateescape") if given else sys.stdin.read())
    for _ in range(_ASKED - 1):
        try:
            return take(click.prompt("the new key", hide_input=True))
        except orders.NotTaken as error:
            words.say(error.message, error.hint)
    return take(click.prompt("the new key", hide_input=True))


@cli.command(
    short_help="Take the key that the stores hold as the current one.",
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
    from rotator.usecases import orders

    with closing(service()) as found:
        key = orders.adopt(found, name, key_id)
    if as_json:
        return shapes.answer(0, playbook=name, key=shapes.key(key))
    console.put(f"{name}: {key} ({key.hint}) is the current key")
    return 0


cli.add_command(rotate_command)


@cli.command(
    short_help="End an unfinished rotation; what the stores hold is in force.",
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
    from rotator.cli import shapes, words
    from rotator.cli.steps import StepView
    from rotator.usecases import orders

    with closing(service()) as found:
        current, report = orders.abandon(found, name, key_id, reason)
        code = 4 if report.held else 0
        if as_json:
            return _as_json(found, [report], code, StepView(quiet=True), key=shapes.key(current))
    words.abandoned(report, current)
    return code


@cli.command(
    short_help="Give a playbook the history of its former name.",
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


@cli.command(
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


def _late(name: str, module: str, attribute: str, **options: Any) -> None:
    """A verb whose module is imported when it is used."""

    class Late(click.Group if options.pop("group", False) else click.Command):  # type: ignore[misc]
        def _real(self) -> click.Command:
            from importlib import import_module

            return getattr(import_module(module), attribute)  # type: ignore[no-any-return]

        def make_context(
            self,
            info_name: str | None,
            args: list[str],
            parent: click.Context | None = None,
            **extra: Any,
        ) -> click.Context:
            return self._real().make_context(info_name, args, parent, **extra)

        def invoke(self, context: click.Context) -> Any:
            return self._real().invoke(context)

    cli.add_command(Late(name, **options))


_late(
    "status",
    "rotator.cli.overview",
    "status",
    short_help="All playbooks: when they are due, what waits, who must act.",
)
_late(
    "pause",
    "rotator.cli.pauses",
    "pause",
    short_help="The clock leaves playbooks alone for a while.",
)
_late(
    "resume",
    "rotator.cli.pauses",
    "resume",
    short_help="End a pause; carry on what needs attention.",
)
_late(
    "show",
    "rotator.cli.inspect",
    "show",
    short_help="One rotation: each step, attempt and decision.",
)
_late(
    "keys",
    "rotator.cli.inspect",
    "keys",
    short_help="Each key, in force or old: alive or dead. Only looks.",
)
_late("history", "rotator.cli.inspect", "history", short_help="The last rotations.")
_late("plan", "rotator.cli.inspect", "plan_command", short_help="What a rotation would do.")
_late(
    "validate",
    "rotator.cli.inspect",
    "validate",
    short_help="Every mistake of every playbook; no network.",
)
_late(
    "check",
    "rotator.cli.health",
    "check",
    short_help="Each provider's key: is it set, does it look right, does it work?",
)
_late(
    "doctor",
    "rotator.cli.health",
    "doctor",
    short_help="What would hinder a rotation, or has gone wrong unseen.",
)
_late(
    "audit",
    "rotator.cli.audit",
    "audit",
    group=True,
    short_help="The tamper-evident log: tail, export, verify, restart.",
)
_late(
    "plugins",
    "rotator.cli.records",
    "plugins",
    short_help="Providers, stores, restarters and probes, with settings.",
)
_late(
    "schema", "rotator.cli.records", "schema", short_help="JSON Schema of a playbook, for editors."
)
_late(
    "db",
    "rotator.cli.records",
    "db",
    group=True,
    short_help="The journal: check, backup, upgrade, rekey.",
)
_late(
    "demo",
    "rotator.cli.demo",
    "demo",
    short_help="A rotation under traffic, an undo, a crash: on this machine, in seconds.",
)


@cli.command(context_settings=CONTEXT, epilog=examples('eval "$(rotator completion bash)"'))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> int:
    """Print the line that switches tab completion on."""
    lines = []
    for program in ("rotator", "rotate"):
        variable = f"_{program.upper()}_COMPLETE"
        line = (
            f"{variable}=fish_source {program} | source"
            if shell == "fish"
            else f'eval "$({variable}={shell}_source {program})"'
        )
        lines.append(line)
    if as_json:
        from rotator.cli import shapes

        return shapes.answer(0, lines=lines)
    print("\n".join(lines))
    return 0
