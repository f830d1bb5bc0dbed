"""What there is, and its upkeep: plugins, schema, db."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rotator import installed
from rotator.cli import console, shapes
from rotator.cli.common import CONTEXT, closing, examples, json_option, know_key_patterns, service
from rotator.counting import count
from rotator.usecases.exit_codes import End

if TYPE_CHECKING:
    from rotator.playbook.registry import Registry
    from rotator.plugin.conform import PluginMistakes


@click.command(
    "plugins",
    context_settings=CONTEXT,
    epilog=examples("rotator plugins", "rotator plugins dotenv"),
)
@click.argument("name", required=False, default="")
@json_option
def plugins(name: str, as_json: bool) -> int:
    """Providers, stores, restarters and probes; with NAME, its settings."""
    from rotator import settings
    from rotator.errors import ConfigError
    from rotator.integrations.catalog.shipped import catalog
    from rotator.playbook.mistakes import nearest
    from rotator.playbook.registry import KINDS, Registry

    know_key_patterns()
    registry = Registry(settings.load().directory.paths)
    found, unfit = _described(registry, name)
    shared = {"playbooks": str(installed.shared("playbooks")), "providers": str(catalog())}
    shared["deploy"] = str(installed.shared("deploy"))
    if not found:
        nearest_name = nearest(name, [one for kind in KINDS for one in registry.names(kind)])
        raise ConfigError(
            f"there is no plugin '{name}'", f"`rotator plugins` lists them; {nearest_name}"
        )
    wrong = [(one.message, one.hint) for one in unfit]
    wrong += [(f"{one.place}: {one.text}", one.hint) for one in registry.passed_over()]
    code = (End.MISTAKE if wrong else End.SAID).code
    for message, hint in wrong:
        console.complain(message, hint)
    if as_json:
        errors = [shapes.error(message, hint) for message, hint in wrong]
        return shapes.answer(code, errors, plugins=found, shared=shared)
    if not name:
        console.table([(row["kind"], row["name"], row["help"]) for row in found])
        titles = {
            "playbooks": "examples of playbooks",
            "providers": "files of providers",
            "deploy": "units and manifests",
        }
        console.table([(f"{titles[one]}:", place) for one, place in shared.items()])
        return code
    for row in found:
        console.put(f"{row['kind']} {row['name']}: {row['help']}", 2)
        marks = [
            (f"{one['name']}{'' if one['required'] else '?'}", one["help"])
            for one in row["settings"]
        ]
        console.table(marks, indent=2)
    return 0


def _described(registry: Registry, name: str) -> tuple[list[dict[str, Any]], list[PluginMistakes]]:
    """The plugins of this name, all where it is ''; and those that do not keep their contract.

    Raises PluginMistakes where only such a one has the name.
    """
    from rotator.playbook.registry import KINDS, settings_of
    from rotator.plugin.conform import PluginMistakes

    described: list[dict[str, Any]] = []
    unfit: list[PluginMistakes] = []
    for kind in KINDS:
        for one in registry.names(kind):
            if name not in ("", one):
                continue
            try:
                plugin = registry.find(kind, one)
            except PluginMistakes as error:
                unfit.append(error)
                continue
            assert plugin is not None
            settings = [
                {"name": s.name, "help": s.help, "required": s.required}
                for s in settings_of(plugin)
            ]
            text = (plugin.__doc__ or "").split("\n")[0]
            described.append({"kind": kind, "name": one, "help": text, "settings": settings})
    if unfit and not described:
        raise unfit[0]
    return described, unfit


@click.command(
    "schema", context_settings=CONTEXT, epilog=examples("rotator schema >playbook.schema.json")
)
@click.argument("what", type=click.Choice(("playbook", "catalog")), default="playbook")
@click.option("--json", "as_json", is_flag=True, hidden=True, help="It is JSON.")
def schema(what: str, as_json: bool) -> int:
    """JSON Schema of a playbook, or of a provider's catalog file: `# yaml-language-server:
    $schema=…` at the top of one, and the editor knows.
    """
    from rotator import settings
    from rotator.playbook.json_schema import catalog_schema, playbook_schema
    from rotator.playbook.registry import Registry

    found = (
        catalog_schema()
        if what == "catalog"
        else playbook_schema(Registry(settings.load().directory.paths))
    )
    print(json.dumps(found, indent=2))
    return 0


@click.group(
    "db",
    context_settings=CONTEXT,
    epilog=examples("rotator db check", "rotator db backup journal-copy.db"),
)
def db() -> None:
    """The journal: check, backup, upgrade, rekey."""


@db.command("check", context_settings=CONTEXT, epilog=examples("rotator db check"))
@json_option
def db_check(as_json: bool) -> int:
    """Is the journal whole, and does its key open it?"""
    from rotator.views.journal_health import journal_health

    with closing(service()) as opened:
        seen = journal_health(opened)
        key = opened.settings.key.file
    hint = f"the key is looked for in $ROTATOR_KEY, then {key}"
    wrong = [(mistake, hint) for mistake in seen.mistakes]
    if seen.audit:
        wrong.append((f"the audit log: {seen.audit}", "`rotator audit verify` tells more"))
    for message, hint in wrong:
        console.complain(message, hint)
    code = (End.FOUND if wrong else End.SAID).code
    if as_json:
        return shapes.answer(
            code, [shapes.error(*one) for one in wrong], journal=seen.where, whole=not wrong
        )
    if not seen.mistakes:
        console.put(f"{seen.where} is whole, and its key opens it")
    return code


@db.command(
    "backup",
    context_settings=CONTEXT,
    epilog=examples("rotator db backup /backup/journal-$(date +%F).db"),
)
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def db_backup(file: Path, as_json: bool) -> int:
    """A consistent copy while rotator runs.

    Keep the sealing key elsewhere: without it the copy tells no secret.
    """
    from rotator.journal import upkeep

    with closing(service()) as found:
        upkeep.backup(found.journal, file)
    if as_json:
        return shapes.answer(0, file=str(file))
    console.put(f"backed up to {file}; the sealing key is not in it")
    return 0


@db.command("upgrade", context_settings=CONTEXT, epilog=examples("rotator db upgrade"))
@json_option
def db_upgrade(as_json: bool) -> int:
    """Bring the journal to this version's tables."""
    from rotator import settings
    from rotator.journal import upkeep
    from rotator.journal.database import Database
    from rotator.journal.lasting import must_last

    found = settings.load()
    database = Database(found.url)
    if not found.ephemeral:
        must_last(database.path)
    if database.path is not None:
        database.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    before, after = upkeep.upgrade(database)
    if as_json:
        return shapes.answer(0, before=before or None, after=after)
    console.put(f"{before or 'empty'} → {after}")
    return 0


@db.command(
    "rekey",
    short_help="Seal everything under a new key.",
    context_settings=CONTEXT,
    epilog=examples("rotator db rekey"),
)
@click.option(
    "--lost",
    is_flag=True,
    help="The old key is lost: erase what no longer opens; debts go on by key id.",
)
@json_option
def db_rekey(lost: bool, as_json: bool) -> int:
    """Seal everything under a new key; the key file is replaced, a key from elsewhere is printed to
    be put there.
    """
    from rotator.usecases.rekey import rekey

    with closing(service()) as found:
        rekeyed = rekey(found, lost)
    if as_json:
        return shapes.answer(0, credentials=rekeyed.credentials, file=str(rekeyed.file))
    sealed = count(rekeyed.credentials, "credential")
    console.put(f"{sealed} sealed anew; the new key is in {rekeyed.file}")
    if lost:
        console.put(
            "the audit log cannot go on, as what was remembered of it is lost: `rotator audit"
            " restart --reason …`"
        )
    return 0
