"""The console scripts.

Heavy modules are imported by the verbs that need them: `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rotator.cli.streams import Guarded

_PR_SET_DUMPABLE = 4


def rotate() -> None:
    """`rotate NAME…`: the same as `rotator rotate NAME…`."""
    begin()
    from rotator.cli.rotate import rotate_command

    _run(rotate_command, "rotate")


def rotator() -> None:
    """`rotator VERB`."""
    begin()
    from rotator.cli.main import cli

    _run(cli, "rotator")


def begin() -> None:
    """What a process of ours does before all else."""
    spare_the_collector()
    hide_memory()


def hide_memory() -> None:
    """No core dump of this process, wherever such go, and no look at its memory or environment by
    others of its user.

    What it starts is not concerned: the kernel takes it back with each program (prctl(2),
    PR_SET_DUMPABLE).
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):  # no Linux
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def spare_the_collector() -> None:
    """Imports make much and throw nothing away: a fifth of the start was collecting."""
    gc.set_threshold(100_000, 20, 20)


def _run(command: Callable[..., Any], name: str) -> None:
    """Every end of the process: exit codes, `error:` and `hint:` on stderr, never a traceback with
    a secret.
    """
    import click

    from rotator.cli.streams import guard
    from rotator.usecases.exit_codes import End

    out, errors = guard()
    try:
        code = command(prog_name=name, standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as wrong:
        from rotator.cli.common import know_key_patterns

        know_key_patterns()  # a key may be among the words that it does not understand
        verb = wrong.ctx.command_path if isinstance(wrong, click.UsageError) and wrong.ctx else name
        code = _said(
            End.MISTAKE.code, (wrong.format_message(), f"`{verb} --help` shows what there is", "")
        )
    except (click.Abort, KeyboardInterrupt):
        told = "interrupted: this command has stopped, and what was begun is written down"
        way = (
            "`rotator status` shows how it stands; `rotate --due` goes on with it, `rotator undo"
            " NAME` goes back"
        )
        code = _said(End.INTERRUPTED.code, (told, way, ""))
    except Exception as error:
        code = _told(error)
    code = _with_its_output(code if isinstance(code, int) else 0, out)
    errors.flush()
    gc.freeze()  # nothing to look through at the end, either: it took a fifth of `rotator status`
    sys.exit(code)


def _with_its_output(code: int, out: Guarded) -> int:
    """What was done counts; an output that was lost is said, and is a mistake where all else went
    well.
    """
    from rotator.cli.streams import is_broken_pipe
    from rotator.usecases.exit_codes import End

    out.flush()
    if out.lost is None:
        return code
    if is_broken_pipe(out.lost):
        return code or End.PIPE_CLOSED.code  # as a program ends that SIGPIPE ended
    _say(
        f"standard output cannot be written: {out.lost.strerror}",
        "what was done is done: `rotator status` tells it",
    )
    return code or End.OUTPUT_LOST.code


def _told(error: Exception) -> int:
    from rotator.errors import RotatorError
    from rotator.usecases.exit_codes import End, of_error

    if isinstance(error, RotatorError):
        from rotator.playbook.mistakes import PlaybookMistakes

        code = of_error(error).code
        if isinstance(error, PlaybookMistakes):
            return _said(
                code, *((mistake.text, mistake.hint, mistake.place) for mistake in error.mistakes)
            )
        return _said(code, (error.message, error.hint, ""))
    from rotator.cli.crash import describe

    hint = (
        "this is a mistake in rotator, please report it; the journal is whole, run the same again"
    )
    return _said(End.INTERNAL.code, (describe(error), hint, ""))


def _said(code: int, *errors: tuple[str, str, str]) -> int:
    """Each error (message, hint, place) on standard error; with --json, the one object has them,
    too.
    """
    for message, hint, place in errors:
        _say(f"{place}: {message}" if place else message, hint)
    if "--json" in sys.argv[1:]:
        from rotator.cli import shapes
        from rotator.secret import redact

        told = [
            shapes.error(redact(message), redact(hint), place) for message, hint, place in errors
        ]
        shapes.tell(_verb(sys.argv), code, told, {})
    return code


def _verb(argv: list[str]) -> str:
    """As `shapes.answer` names it: the verbs without the options."""
    from pathlib import Path

    if (program := Path(argv[0]).name) != "rotator":
        return program
    words = [word for word in argv[1:] if not word.startswith("-")]
    return " ".join(words[: 2 if words[:1] in (["audit"], ["db"]) else 1])


def _say(message: str, hint: str) -> None:
    from rotator.cli.console import complain

    complain(message, hint)
