"""The verb `demo`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from rotator.cli import console, shapes
from rotator.cli.common import CONTEXT, examples, json_option
from rotator.usecases.exit_codes import End


@click.command("demo", context_settings=CONTEXT, epilog=examples("rotator demo"))
@json_option
def demo(as_json: bool) -> int:
    """A real rotation under traffic, two failures undone, a crash survived: on this machine alone,
    in seconds.
    """
    from rotator.cli.steps import as_told
    from rotator.demo.run import Teller, run

    seen = run(Teller(_nobody, _nobody) if as_json else Teller(_show, as_told))
    code = (End.SAID if seen.ok else End.FAILED).code
    if as_json:
        return shapes.answer(code, **asdict(seen))
    if not seen.ok:
        console.put("the demo did not end as it should; `rotator demo --json` shows every step")
    return code


def _show(text: str) -> None:
    for line in text.split("\n"):
        console.put(line, 4)


def _nobody(_: Any) -> None:
    """Nobody watches."""
