"""The audit log: tail, export, verify, key, restart."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from rotator.audit.verify import Verdict
from rotator.cli import console, shapes
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    required_reason_option,
    service,
)
from rotator.cli.streams import print_record
from rotator.counting import count
from rotator.shown import spelled
from rotator.usecases.exit_codes import End
from rotator.views import audit as view

_AGAIN = 0.5  # seconds between two looks for new records


@click.group(
    "audit",
    context_settings=CONTEXT,
    epilog=examples("rotator audit verify", "rotator audit tail -f"),
)
def audit() -> None:
    """The tamper-evident log of everything that was intended, done, decided and ordered."""


@audit.command(
    "tail",
    context_settings=CONTEXT,
    epilog=examples("rotator audit tail -n 50", "rotator audit tail -f"),
)
@click.option("-n", "--lines", default=20, show_default=True, help="How many.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written.")
@json_option
def tail(lines: int, follow: bool, as_json: bool) -> int:
    """The last records, each a line of JSON; with --json in one object."""
    if as_json and follow:
        raise click.UsageError(
            "--follow has no end, and --json is one object: without --json each line is one"
        )
    with closing(service()) as opened:
        seen = view.newest(opened, lines)
        if as_json:
            records = [json.loads(record) for record in seen.records]
            return shapes.answer(0, as_it_is=True, records=records)
        for record in seen.records:
            print_record(record)
        while follow:
            time.sleep(_AGAIN)
            seen = view.after(opened, seen.last)
            for record in seen.records:
                print_record(record)
                sys.stdout.flush()
    return 0


@audit.command(
    "export",
    short_help="All records and checkpoints as JSON lines.",
    context_settings=CONTEXT,
    epilog=examples("rotator audit export audit.jsonl", "rotator audit export | wc"),
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@json_option
def export(file: Path | None, as_json: bool) -> int:
    """All records and checkpoints as JSON lines, to FILE or standard output; signed up to the last
    record.
    """
    with closing(service()) as opened:
        opened.checkpoint()
        lines = view.signed_lines(opened)  # others may have written more since
    if file is not None:
        file.write_text("".join(f"{spelled(line)}\n" for line in lines), encoding="utf-8")
    elif not as_json:
        for line in lines:
            print_record(line)
        return 0
    if as_json:
        told = [] if file is not None else [json.loads(line) for line in lines]
        where = str(file) if file is not None else None
        return shapes.answer(0, as_it_is=True, file=where, lines=len(lines), records=told)
    console.put(f"{count(len(lines), 'line')} in {file}")
    return 0


@audit.command(
    "verify",
    short_help="Check every record against its chain and the checkpoints.",
    context_settings=CONTEXT,
    epilog=examples("rotator audit verify", "rotator audit verify audit.jsonl --key 3f9c…"),
)
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help=(
        "Lines kept elsewhere (an export, an audit stream): a cut tail shows against their"
        " checkpoints."
    ),
)
@click.option(
    "--key", default=None, help="The installation's public key, as `rotator audit key` printed it."
)
@json_option
def verify(file: Path | None, checkpoints: Path | None, key: str | None, as_json: bool) -> int:
    """Check every record against its chain and the signed checkpoints: the journal, or an exported
    FILE without it.
    """
    from rotator.audit import verify as verifying

    if key is not None and not key.strip():
        raise click.UsageError(
            "--key is empty: was a variable not set? `rotator audit key` prints it"
        )
    key = (key or "").strip()
    kept = (
        [line for line in verifying.lines_of_file(checkpoints) if "checkpoint" in line]
        if checkpoints
        else []
    )
    if file is not None:
        verdict = verifying.verify_file(file, key, kept)
    else:
        with closing(service()) as opened:
            verdict = view.verdict(opened, kept, key)
    code = (End.SAID if verdict.whole else End.FOUND).code
    if as_json:
        return shapes.answer(
            code, [shapes.error(text) for text in verdict.mistakes], **_json(verdict)
        )
    _print(verdict)
    if verdict.whole and verdict.records and not (kept or file):
        told = (
            "that the journal itself is an older one shows only against lines kept elsewhere:"
            " --checkpoints FILE"
        )
        console.put(told)
    if verdict.whole and file is not None and not key:
        console.put(
            f"signed by {', '.join(sorted(verdict.signers))}: is that the installation's? --key"
            " tells"
        )
    return code


def _json(verdict: Verdict) -> dict[str, Any]:
    return {
        "whole": verdict.whole,
        "records": verdict.records,
        "chains": verdict.chains,
        "checkpoints": verdict.checkpoints,
        "unsigned_tail": verdict.unsigned_tail,
        "other_lines": verdict.others,
        "signers": sorted(verdict.signers),
        "restarts": verdict.restarts,
        "before": verdict.before,
    }


def _print(verdict: Verdict) -> None:
    for mistake in verdict.mistakes:
        console.complain(mistake)
    for one in verdict.restarts:
        wrong = one.get("mistakes")
        found = count(wrong, "mistake") if isinstance(wrong, int) else f"{wrong} mistakes"
        console.put(
            f"begun anew at {str(one['time'])[:16]}Z with checkpoint {one['checkpoint']} by"
            f" {one.get('by')}: {one.get('reason')}; nobody vouches for what was written before"
            f" ({found})"
        )
    if verdict.whole and not verdict.records:
        console.put("nothing yet: no record was written")
        return
    state = "whole" if verdict.whole else "NOT whole"
    signed = count(verdict.checkpoints, "signed checkpoint")
    console.put(
        f"{state}: {count(verdict.records, 'record')} in {count(verdict.chains, 'chain')}, "
        f"{signed}, {count(verdict.unsigned_tail, 'record')} after the last one"
    )
    if verdict.others:
        others = count(verdict.others, "line of the file is", "lines of the file are")
        console.put(f"{others} not from rotator: nobody vouches for that")


@audit.command(
    "key",
    short_help="The public key that checkpoints are signed with.",
    context_settings=CONTEXT,
    epilog=examples("rotator audit key"),
)
@json_option
def audit_key(as_json: bool) -> int:
    """The public key that checkpoints are signed with: keep it elsewhere."""
    from rotator.usecases.audit import public_key

    with closing(service()) as opened:
        key = public_key(opened)
    if as_json:
        return shapes.answer(0, as_it_is=True, public_key=key)
    print_record(key)
    return 0


@audit.command(
    "restart",
    context_settings=CONTEXT,
    epilog=examples('rotator audit restart --reason "restored from a backup by hand, ticket 4711"'),
)
@required_reason_option("Why; it stands in the first checkpoint of the new log, for ever.")
@json_option
def restart(reason: str, as_json: bool) -> int:
    """Begin the log anew after one that is broken.

    The new one names it, with what was found, for ever.
    """
    from rotator.usecases import audit as usecase

    if not reason.strip():
        raise click.UsageError("say why: --reason")
    with closing(service()) as opened:
        restarted = usecase.restart(opened, reason)
    if as_json:
        return shapes.answer(
            0,
            checkpoint=restarted.checkpoint,
            time=restarted.time,
            mistakes=list(restarted.mistakes),
        )
    mistakes = count(len(restarted.mistakes), "mistake")
    console.put(
        f"begun anew with checkpoint {restarted.checkpoint}, which names {mistakes} of the one"
        " before"
    )
    return 0
