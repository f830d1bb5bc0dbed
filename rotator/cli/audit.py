"""The audit log: tail, export, verify, key, restart."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from rotator.audit.verify import Verdict
from rotator.cli import words
from rotator.cli.common import CONTEXT, closing, json_option, service, show_json


@click.group("audit", context_settings=CONTEXT)
def audit() -> None:
    """The tamper-evident log of everything that was intended, done, decided and ordered."""


@audit.command("tail", context_settings=CONTEXT)
@click.option("-n", "--lines", default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written.")
def tail(lines: int, follow: bool) -> int:
    """The last records, as JSON lines."""
    from sqlalchemy import select

    from rotator.journal import tables

    with closing(service()) as found:
        with found.journal.database.read() as connection:
            rows = connection.execute(
                select(tables.audit.c.n, tables.audit.c.record).order_by(tables.audit.c.n.desc()).limit(lines)
            ).all()
        last = rows[0][0] if rows else 0
        for row in reversed(rows):
            print(row[1])
        while follow:
            time.sleep(0.5)
            with found.journal.database.read() as connection:
                rows = connection.execute(
                    select(tables.audit.c.n, tables.audit.c.record)
                    .where(tables.audit.c.n > last)
                    .order_by(tables.audit.c.n)
                ).all()
            for row in rows:
                last = row[0]
                print(row[1], flush=True)
    return 0


@audit.command("export", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def export(file: Path | None) -> int:
    """All records and checkpoints as JSON lines, to FILE or standard output; signed up to the last record."""
    from rotator.audit import verify as verifying
    from rotator.audit.record import canonical

    with closing(service()) as found:
        found.checkpoint()
        with found.journal.database.read() as connection:
            lines = [canonical(line) for line in verifying.lines_of(connection)]
    text = "\n".join(lines) + "\n"
    if file is None:
        sys.stdout.write(text)
    else:
        file.write_text(text, encoding="utf-8")
        print(f"{len(lines)} lines in {file}")
    return 0


@audit.command("verify", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Lines kept elsewhere (an export, an audit stream): a cut tail shows against their checkpoints.",
)
@click.option("--key", default="", help="The installation's public key, as `rotator audit key` printed it.")
@json_option
def verify(file: Path | None, checkpoints: Path | None, key: str, as_json: bool) -> int:
    """Check every record against its chain and the signed checkpoints: the journal, or an exported FILE without it."""
    from rotator.audit import verify as verifying

    kept = [line for line in verifying.lines_of_file(checkpoints) if "checkpoint" in line] if checkpoints else []
    if file is not None:
        verdict = verifying.verify_file(file, key, kept)
    else:
        with closing(service()) as found, found.journal.database.read() as connection:
            verdict = verifying.verify_journal(connection, found.journal, kept, key)
    if as_json:
        show_json(_json(verdict))
    else:
        _print(verdict)
        if verdict.whole and verdict.records and not (kept or file):
            print("that the journal itself is an older one shows only against lines kept elsewhere: --checkpoints FILE")
        if verdict.whole and file is not None and not key:
            print(f"signed by {', '.join(sorted(verdict.signers))}: is that the installation's? --key tells")
    return 0 if verdict.whole else 1


def _json(verdict: Verdict) -> dict[str, object]:
    return {
        "whole": verdict.whole,
        "records": verdict.records,
        "chains": verdict.chains,
        "checkpoints": verdict.checkpoints,
        "unsigned_tail": verdict.unsigned_tail,
        "mistakes": verdict.mistakes,
        "restarts": verdict.restarts,
        "before": verdict.before,
    }


def _print(verdict: Verdict) -> None:
    for mistake in verdict.mistakes:
        words.say(mistake)
    for one in verdict.restarts:
        print(
            f"begun anew at {str(one['time'])[:16]}Z with checkpoint {one['checkpoint']} by {one.get('by')}: "
            f"{one.get('reason')}; nobody vouches for what was written before ({one.get('mistakes')} mistakes)"
        )
    if verdict.whole and not verdict.records:
        print("nothing yet: no record was written")
        return
    state = "whole" if verdict.whole else "NOT whole"
    print(
        f"{state}: {verdict.records} records in {verdict.chains} chains, {verdict.checkpoints} signed checkpoints, "
        f"{verdict.unsigned_tail} records after the last one"
    )


@audit.command("key", context_settings=CONTEXT)
def audit_key() -> int:
    """The public key that checkpoints are signed with: keep it elsewhere."""
    from rotator.audit import checkpoint

    with closing(service()) as found, found.journal.database.write() as connection:
        print(checkpoint.public_key(connection, found.journal))
    return 0


@audit.command("restart", context_settings=CONTEXT)
@click.option("--reason", required=True, help="Why; it stands in the first checkpoint of the new log, for ever.")
def restart(reason: str) -> int:
    """Begin the log anew after one that is broken. The new one names it, with what was found, for ever."""
    from rotator.audit import checkpoint
    from rotator.audit import verify as verifying
    from rotator.errors import RefusedError

    with closing(service()) as found:
        if not reason.strip():
            raise click.UsageError("say why: --reason")
        with found.journal.database.write() as connection:
            mistakes = verifying.verify_journal(connection, found.journal).mistakes
            if not mistakes:
                raise RefusedError("the audit log is whole: there is nothing to begin anew", "`rotator audit verify`")
            actor, now = found.actor, found.clock.now()
            begun = checkpoint.restart(connection, found.journal, now, actor, reason, mistakes)
        found.stream.emit([begun])
        found.export()
    print(f"begun anew with checkpoint {begun['checkpoint']}, which names {len(mistakes)} mistakes of the one before")
    return 0
