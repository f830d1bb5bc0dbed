"""Records and what there is: audit, plugins, schema, db."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from rotator import installed
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
        verdict = verifying.verify(verifying.lines_of_file(file), key, kept)
    else:
        with closing(service()) as found, found.journal.database.read() as connection:
            from rotator.journal.journal import setting

            verdict = verifying.verify(
                verifying.lines_of(connection), key or setting(connection, "audit_public_keys"), kept
            )
    if as_json:
        show_json(
            {
                "whole": verdict.whole,
                "records": verdict.records,
                "chains": verdict.chains,
                "checkpoints": verdict.checkpoints,
                "unsigned_tail": verdict.unsigned_tail,
                "mistakes": verdict.mistakes,
            }
        )
        return 0 if verdict.whole else 1
    for mistake in verdict.mistakes:
        words.say(mistake)
    state = "whole" if verdict.whole else "NOT whole"
    print(
        f"{state}: {verdict.records} records in {verdict.chains} chains, {verdict.checkpoints} signed checkpoints, "
        f"{verdict.unsigned_tail} records after the last one"
    )
    if verdict.whole and not kept:
        print("a cut tail shows only against a checkpoint kept elsewhere: --checkpoints FILE, and ROTATOR_AUDIT_STREAM")
    return 0 if verdict.whole else 1


@audit.command("key", context_settings=CONTEXT)
def audit_key() -> int:
    """The public key that checkpoints are signed with: keep it elsewhere."""
    from rotator.audit import checkpoint

    with closing(service()) as found, found.journal.database.write() as connection:
        print(checkpoint.public_key(connection, found.journal))
    return 0


@click.command("plugins", context_settings=CONTEXT)
@click.argument("name", required=False, default="")
@json_option
def plugins(name: str, as_json: bool) -> int:
    """Providers, stores, restarters and probes; with NAME, its settings."""
    from rotator import settings
    from rotator.playbook.registry import KINDS, Registry, settings_of
    from rotator.providers.catalog_entry import catalog

    registry = Registry(settings.load().directory.paths)
    found: list[dict[str, Any]] = []
    for kind in KINDS:
        for one in registry.names(kind):
            if name and one != name:
                continue
            plugin = registry.find(kind, one)
            assert plugin is not None
            found.append(
                {
                    "kind": kind,
                    "name": one,
                    "help": (plugin.__doc__ or "").split("\n")[0],
                    "settings": [{"name": s.name, "help": s.help, "required": s.required} for s in settings_of(plugin)],
                }
            )
    if as_json:
        show_json(found)
        return 0
    for row in found:
        print(f"{row['kind']:<10} {row['name']:<12} {row['help']}")
        for setting in row["settings"] if name else []:
            print(f"             {setting['name']}{'' if setting['required'] else '?'}: {setting['help']}")
    if not name:
        print(f"examples of playbooks: {installed.shared('playbooks')}")
        print(f"files of providers:    {catalog()}")
        print(f"units and manifests:   {installed.shared('deploy')}")
    if not found:
        words.say(f"there is no plugin '{name}'", "`rotator plugins` lists them")
        return 2
    return 0


@click.command("schema", context_settings=CONTEXT)
def schema() -> int:
    """JSON Schema of a playbook: `# yaml-language-server: $schema=…` at the top of one, and the editor knows."""
    from rotator import settings
    from rotator.playbook.json_schema import playbook_schema
    from rotator.playbook.registry import Registry

    print(json.dumps(playbook_schema(Registry(settings.load().directory.paths)), indent=2))
    return 0


@click.group("db", context_settings=CONTEXT)
def db() -> None:
    """The journal: check, backup, upgrade, rekey."""


@db.command("check", context_settings=CONTEXT)
def db_check() -> int:
    """Is the journal whole, and does its key open it?"""
    from rotator.journal import upkeep

    with closing(service()) as found:
        wrong = upkeep.check(found.journal)
        where = found.journal.database.path or "PostgreSQL"
        key = found.settings.key.file
    for one in wrong:
        words.say(one, f"the key is looked for in $ROTATOR_KEY, then {key}")
    if not wrong:
        print(f"{where} is whole, and its key opens it")
    return 1 if wrong else 0


@db.command("backup", context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
def db_backup(file: Path) -> int:
    """A consistent copy while rotator runs. Keep the sealing key elsewhere: without it the copy tells no secret."""
    from rotator.journal import upkeep

    with closing(service()) as found:
        upkeep.backup(found.journal, file)
    print(f"backed up to {file}; the sealing key is not in it")
    return 0


@db.command("upgrade", context_settings=CONTEXT)
def db_upgrade() -> int:
    """Bring the journal to this version's tables."""
    from rotator import settings
    from rotator.journal import upkeep
    from rotator.journal.database import Database

    database = Database(settings.load().url)
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before, after = upkeep.upgrade(database)
    print(f"{before or 'empty'} → {after}")
    return 0


@db.command("rekey", context_settings=CONTEXT)
@click.option("--lost", is_flag=True, help="The old key is lost: erase what no longer opens; debts go on by key id.")
def db_rekey(lost: bool) -> int:
    """Seal everything under a new key; the key file is replaced, a key from elsewhere is printed to be put there."""
    from rotator.clients import files
    from rotator.journal import upkeep

    with closing(service()) as found:
        fresh, kept = found.settings.key.new_key()
        path = found.settings.key.file
        beside = path.with_name(path.name + ".new")
        beside.touch(mode=0o600, exist_ok=True)
        beside.write_text(kept + "\n")
        count = upkeep.rekey(_open_for_rekey(found, lost), fresh, lost=lost)
        snapshot = files.read(path)
        files.replace(path, (kept + "\n").encode(), snapshot.version if snapshot else "", "rekey")
        beside.unlink()
    print(f"{count} credentials sealed anew; the new key is in {path}")
    return 0


def _open_for_rekey(found: Any, lost: bool) -> Any:
    from rotator.journal.database import Database
    from rotator.journal.journal import Journal

    return Journal(Database(found.settings.url), "", None, "") if lost else found.journal
