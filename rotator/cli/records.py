"""What there is, and its upkeep: plugins, schema, db."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from rotator import installed
from rotator.cli import words
from rotator.cli.common import CONTEXT, closing, json_option, service, show_json


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
    from rotator.audit import checkpoint
    from rotator.journal import upkeep

    with closing(service()) as found:
        wrong = upkeep.check(found.journal)
        with found.journal.database.read() as connection:
            audit = checkpoint.standing(connection, found.journal)
        where = found.journal.database.where
        key = found.settings.key.file
    for one in wrong:
        words.say(one, f"the key is looked for in $ROTATOR_KEY, then {key}")
    if audit:
        words.say(f"the audit log: {audit}", "`rotator audit verify` tells more")
    if not wrong:
        print(f"{where} is whole, and its key opens it")
    return 1 if wrong or audit else 0


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
    if lost:
        print("the audit log cannot go on, as what was remembered of it is lost: `rotator audit restart --reason …`")
    return 0


def _open_for_rekey(found: Any, lost: bool) -> Any:
    from rotator.journal.database import Database
    from rotator.journal.journal import Journal

    return Journal(Database(found.settings.url), "", None, "") if lost else found.journal
