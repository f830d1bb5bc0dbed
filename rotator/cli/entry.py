"""The console scripts. Heavy modules are imported by the verbs that need them: `--help` answers at once."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotator.cli.streams import Guarded

INTERNAL = 1


def rotate() -> None:
    """`rotate NAME…`: the same as `rotator rotate NAME…`."""
    spare_the_collector()
    from rotator.cli.main import rotate_command

    _run(rotate_command, "rotate")


def rotator() -> None:
    """`rotator VERB`."""
    spare_the_collector()
    from rotator.cli.main import cli

    _run(cli, "rotator")


def spare_the_collector() -> None:
    """Imports make much and throw nothing away: a fifth of the start was collecting."""
    gc.set_threshold(100_000, 20, 20)


def _run(command: Callable[..., Any], name: str) -> None:
    """Every end of the process: exit codes, `error:` and `hint:` on stderr, never a traceback with a secret."""
    import click

    from rotator.cli.streams import guard

    out, errors = guard()
    try:
        code = command(prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as wrong:
        _say(wrong.format_message(), f"`{name} --help` shows what there is")
        code = 2
    except (click.Abort, KeyboardInterrupt):
        _say(
            "interrupted: this command has stopped, and what was begun is written down",
            "`rotator status` shows how it stands; `rotate --due` goes on with it, `rotator undo NAME` goes back",
        )
        code = 130
    except Exception as error:
        code = _told(error)
    code = _with_its_output(code if isinstance(code, int) else 0, out)
    errors.flush()
    gc.freeze()  # nothing to look through at the end, either: it took a fifth of `rotator status`
    sys.exit(code)


def _with_its_output(code: int, out: Guarded) -> int:
    """What was done counts; an output that was lost is said, and is a mistake where all else went well."""
    from rotator.cli.streams import is_broken_pipe

    out.flush()
    if out.lost is None:
        return code
    if is_broken_pipe(out.lost):
        return code or 141  # as a program ends that SIGPIPE ended
    _say(f"standard output cannot be written: {out.lost.strerror}", "what was done is done: `rotator status` tells it")
    return code or INTERNAL


def _told(error: Exception) -> int:
    from rotator.errors import RotatorError

    if isinstance(error, RotatorError):
        from rotator.playbook.mistakes import PlaybookMistakes
        from rotator.report import exit_code

        if isinstance(error, PlaybookMistakes):
            for mistake in error.mistakes:
                _say(f"{mistake.place}: {mistake.text}", mistake.hint)
        else:
            _say(error.message, error.hint)
        return exit_code(error)
    from rotator.cli.crash import describe

    _say(describe(error), "this is a mistake in rotator, please report it; the journal is whole, run the same again")
    return INTERNAL


def _say(message: str, hint: str) -> None:
    from rotator.secret import redact

    print(f"error: {redact(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {redact(hint)}", file=sys.stderr)
