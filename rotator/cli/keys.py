"""Each key, in force or old. Changes nothing."""

from __future__ import annotations

import click

from rotator.cli import console, shapes
from rotator.cli.common import (
    CONTEXT,
    closing,
    examples,
    json_option,
    playbook_names,
    service,
)
from rotator.usecases.exit_codes import End


@click.command(
    "keys", context_settings=CONTEXT, epilog=examples("rotator keys", "rotator keys openai-prod")
)
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=playbook_names)
@click.option("--key", default="", metavar="ID", help="This one alone.")
@json_option
def keys(names: tuple[str, ...], key: str, as_json: bool) -> int:
    """Each key of NAME, or of all playbooks: in force or old, accepted or refused now. Only looks,
    makes nothing.

    Exit 0 where every old key is dead and the one in force works; else 1.
    """
    from rotator.usecases.keys import look

    if key and len(names) != 1:
        raise click.UsageError(
            "--key is about one playbook: name it; `rotator keys` shows the keys of all"
        )
    with closing(service()) as found:
        loaded = found.playbooks()
        names = tuple(loaded.meant(names, key))
        each = {name: look(found, name, key) for name in names or sorted(loaded.playbooks)}
    right = all(seen and all(one.right for one in seen) for seen in each.values())
    code = (End.SAID if right else End.FOUND).code
    if as_json:
        told = {
            name: [
                {"key": shapes.key(one.key), "role": one.role, "alive": one.alive, "how": one.how}
                for one in seen
            ]
            for name, seen in each.items()
        }
        if len(names) == 1:
            return shapes.answer(code, playbook=names[0], keys=told[names[0]])
        return shapes.answer(
            code, playbooks=[{"playbook": name, "keys": seen} for name, seen in told.items()]
        )
    marks = {True: "alive", False: "dead", None: "unknown"}
    for name, seen in each.items():
        if len(names) != 1:
            console.put(name)
        rows = []
        for one in seen:
            hint = f" ({one.key.hint})" if one.key.id and len(one.key.hint) > 1 else ""
            rows.append((marks[one.alive], f"{one.key}{hint}: {one.role}; {one.how}"))
        if not rows:
            console.put("no key is known: the journal has none, and no store shows one", 2)
        console.table(rows, indent=0 if len(names) == 1 else 2)
    return code
