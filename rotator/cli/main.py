"""The verbs. Each is imported when it is used."""

from __future__ import annotations

from typing import Any

import click

from rotator import __version__
from rotator.cli.common import (
    CONTEXT,
    examples,
)
from rotator.cli.rotate import rotate_command
from rotator.usecases.exit_codes import SIGNALS, Exit

_CODES = ", ".join(f"{code} {code.label}" for code in Exit if code < SIGNALS)


@click.group(
    help=f"""Rotates API keys in production, from playbooks, surviving any crash in between.

    Exit codes: {_CODES}.
    """,
    context_settings=CONTEXT,
    epilog=examples(
        "rotator init", "rotate openai-prod --dry-run", "rotate openai-prod", "rotator status"
    ),
)
@click.version_option(__version__, prog_name="rotator")
def cli() -> None:
    """All verbs. Its help has the codes of the table."""


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


cli.add_command(rotate_command)
_late(
    "init",
    "rotator.cli.init",
    "init",
    short_help="Find keys and who reads them; write a playbook for each.",
)
_late(
    "daemon",
    "rotator.cli.daemon",
    "daemon",
    short_help="Rotate what is due, whenever it is due, until it is told to stop.",
)
_late(
    "undo",
    "rotator.cli.orders",
    "undo",
    short_help="Back to the previous key, while that one lives.",
)
_late(
    "revoke",
    "rotator.cli.orders",
    "revoke",
    short_help="Revoke old keys now: no grace and no quiet.",
)
_late(
    "confirm",
    "rotator.cli.orders",
    "confirm",
    short_help="Say that a person destroyed the old key in the console.",
)
_late(
    "supply",
    "rotator.cli.orders",
    "supply",
    short_help="Give a rotation the new key that a person made.",
)
_late(
    "adopt",
    "rotator.cli.orders",
    "adopt",
    short_help="Take the key that the stores hold as the current one.",
)
_late(
    "abandon",
    "rotator.cli.orders",
    "abandon",
    short_help="End an unfinished rotation; what the stores hold is in force.",
)
_late(
    "rename",
    "rotator.cli.orders",
    "rename",
    short_help="Give a playbook the history of its former name.",
)
_late(
    "forget",
    "rotator.cli.orders",
    "forget",
    short_help="Forget the playbook NAME, whose file and key are gone.",
)
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
    "rotator.cli.history",
    "show",
    short_help="One rotation: each step, attempt and decision.",
)
_late(
    "keys",
    "rotator.cli.keys",
    "keys",
    short_help="Each key, in force or old: alive or dead. Only looks.",
)
_late("history", "rotator.cli.history", "history", short_help="The last rotations.")
_late("plan", "rotator.cli.planned", "plan_command", short_help="What a rotation would do.")
_late(
    "validate",
    "rotator.cli.validated",
    "validate",
    short_help="Every mistake of every playbook; no network.",
)
_late(
    "check",
    "rotator.cli.check",
    "check",
    short_help="Each provider's key: is it set, does it look right, does it work?",
)
_late(
    "doctor",
    "rotator.cli.doctor",
    "doctor",
    short_help="What would hinder a rotation, or has gone wrong unseen.",
)
_late(
    "notify",
    "rotator.cli.notify",
    "notify",
    short_help="Who is told of what, what was not sent; --test tries it.",
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
_late(
    "completion",
    "rotator.cli.completion",
    "completion",
    short_help="Print the line that switches tab completion on.",
)
