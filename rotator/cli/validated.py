"""Mistakes of playbooks: validate. Without network and without the journal."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rotator.cli import console, shapes, words
from rotator.cli.common import (
    CONTEXT,
    examples,
    json_option,
    know_key_patterns,
    playbook_names,
)
from rotator.counting import count
from rotator.errors import ConfigError
from rotator.usecases.exit_codes import End

if TYPE_CHECKING:
    from rotator.playbook.directory import Loaded
    from rotator.playbook.mistakes import Mistake


@click.command(
    "validate",
    context_settings=CONTEXT,
    epilog=examples(
        "rotator validate", "rotator validate openai-prod", "rotator validate ./playbooks/new.yaml"
    ),
)
@click.argument("what", nargs=-1, metavar="[PATH|NAME]...", shell_complete=playbook_names)
@json_option
def validate(what: tuple[str, ...], as_json: bool) -> int:
    """Every mistake of every playbook, with its place; without network and without the journal.
    So is a plugin of a package that no playbook can mean.

    A PATH is one file or directory, wherever it is; a NAME is one of the playbooks that rotator
    finds by itself.
    """
    from rotator import settings
    from rotator.playbook.registry import Registry

    know_key_patterns()
    looked = [_looked_at(one) for one in what or ("",)]
    right = sorted({name for one in looked for name in one.right})
    mistakes = list(dict.fromkeys(mistake for one in looked for mistake in one.mistakes))
    mistakes += Registry(settings.load().directory.paths).passed_over()
    code = (End.MISTAKE if mistakes else End.SAID).code
    for mistake in mistakes:
        words.say(f"{mistake.place}: {mistake.text}", mistake.hint)
    if as_json:
        return shapes.answer(code, shapes.mistakes(mistakes), playbooks=right)
    where = ", ".join(dict.fromkeys(place for one in looked for place in one.places))
    waiting = sorted({name for one in looked for name in one.waiting})
    waits = f"; not loaded for that: {', '.join(waiting)}" if waiting else ""
    console.put(f"{where}: {len(right)} right, {count(len(mistakes), 'mistake')}{waits}", 2)
    return code


@dataclass(frozen=True)
class Validated:
    """`waiting` are the playbooks that a mistake of a catalog file keeps from being loaded."""

    places: tuple[str, ...]
    right: tuple[str, ...]
    mistakes: tuple[Mistake, ...]
    waiting: tuple[str, ...] = ()


def _looked_at(what: str) -> Validated:
    """Raises ConfigError for what is neither a path nor the name of a playbook."""
    from rotator import settings
    from rotator.playbook.directory import Directory

    here = settings.load()
    path = Path(what).expanduser()
    if what and (os.sep in what or path.suffix in (".yaml", ".yml") or path.exists()):
        if not path.exists():
            raise ConfigError(
                f"{path} does not exist",
                "a file or directory; or the name of a playbook, without .yaml",
            )
        if path.parent.name == "providers" and path.is_file():
            return _catalog_file(path)
        return _of_all(Directory((path,), trusted=here.trust).load())
    loaded = here.directory.load()
    if not what:
        return _of_all(loaded)
    mistakes = tuple(loaded.mistakes_of(what))
    right = () if mistakes else tuple(loaded.get(one).name for one in loaded.meant([what]))
    return Validated((what,), right, mistakes)


def _of_all(loaded: Loaded) -> Validated:
    waiting = tuple(Path(mistake.file).stem for mistake in loaded.following)
    return Validated(loaded.looked, tuple(loaded.playbooks), tuple(loaded.mistakes), waiting)


def _catalog_file(path: Path) -> Validated:
    from rotator.playbook import catalog
    from rotator.playbook.mistakes import PlaybookMistakes

    try:
        catalog.load(path)
    except PlaybookMistakes as wrong:
        return Validated((str(path),), (), tuple(wrong.mistakes))
    return Validated((str(path),), (path.stem,), ())
