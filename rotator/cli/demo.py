"""The verb `demo`."""

from __future__ import annotations

from dataclasses import asdict

import click

from rotator.cli.common import CONTEXT, json_option, show_json


@click.command("demo", context_settings=CONTEXT)
@json_option
def demo(as_json: bool) -> int:
    """A real rotation under traffic, two failures undone, a crash survived: on this machine alone, in seconds."""
    from rotator.demo.run import run

    seen = run((lambda _: None) if as_json else lambda line: print(line, flush=True))
    if as_json:
        show_json(asdict(seen))
    elif not seen.ok:
        print("the demo did not end as it should; `rotator demo --json` shows every step")
    return 0 if seen.ok else 1
