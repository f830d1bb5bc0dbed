"""The verb `demo`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from rotator.cli import console, shapes
from rotator.cli.common import CONTEXT, examples, json_option
from rotator.usecases.exit_codes import End


@click.command(
    "demo", context_settings=CONTEXT, epilog=examples("rotator demo", "rotator demo --keep")
)
@click.option(
    "--keep",
    "keeps",
    is_flag=True,
    help="Leave an issuer and a service running, for `rotator init` and a first rotation.",
)
@json_option
def demo(keeps: bool, as_json: bool) -> int:
    """A real rotation under traffic, two failures undone, a crash survived: on this machine alone,
    in seconds.
    """
    from rotator.cli.steps import as_told
    from rotator.demo.run import Teller, keep, run

    if keeps:
        return _kept(keep(), as_json)
    seen = run(Teller(_nobody, _nobody) if as_json else Teller(_show, as_told))
    code = (End.SAID if seen.ok else End.FAILED).code
    if as_json:
        return shapes.answer(code, **asdict(seen))
    if not seen.ok:
        console.put("the demo did not end as it should; `rotator demo --json` shows every step")
    return code


def _kept(folder: Path, as_json: bool) -> int:
    if as_json:
        return shapes.answer(0, folder=str(folder))
    console.put("An issuer of keys and a service that reads its key from .env run on. There:", 2)
    for line in (f"cd {folder}", "rotator init", "rotate openai"):
        console.put(f"  $ {line}")
    console.put("To end both:")
    console.put(f"  $ kill $(cat {folder}/consumer.pid {folder}/issuer.pid)")
    return 0


def _show(text: str) -> None:
    for line in text.split("\n"):
        console.put(line, 4)


def _nobody(_: Any) -> None:
    """Nobody watches."""
