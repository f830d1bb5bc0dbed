"""Write playbooks for the keys that are found: init."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rotator.cli import console, shapes
from rotator.cli.common import CONTEXT, examples, json_option, know_key_patterns
from rotator.counting import count
from rotator.usecases.exit_codes import End

if TYPE_CHECKING:
    from rotator.setup.made import Initialised, Made


@click.command(
    "init",
    context_settings=CONTEXT,
    epilog=examples(
        "rotator init", "rotator init /srv/app/.env compose.yaml", "rotator init vault:secret/app"
    ),
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@json_option
def init(paths: tuple[str, ...], as_json: bool) -> int:
    """Find the keys in each PATH, and who reads them; write a playbook for each that has none yet.

    A PATH is a .env file, a Compose file or a stack's, manifests of Kubernetes, a unit of systemd,
    or a directory of these (without any: this one); `kubernetes:NAMESPACE/SECRET`, or
    `vault:MOUNT/PATH`. Nothing is changed but the folder of the playbooks, and no file is
    written over. At a terminal it asks what it cannot know; an empty answer is "I do not know".
    """
    from rotator import settings
    from rotator.setup import made
    from rotator.setup import paths as places
    from rotator.setup.at_hand import ETC, AtHand

    know_key_patterns()
    found = settings.load()
    into = found.folders[0].absolute()
    asks = _ask if sys.stdin.isatty() and sys.stdout.isatty() and not as_json else None
    at_hand = AtHand((into.parent, ETC), asks)
    done = made.make(places.look(paths), into, found.directory, at_hand)
    code = (End.SAID if done.made else End.FOUND).code
    if as_json:
        return shapes.answer(code, **_json(done))
    _show(done)
    return code


def _ask(question: str) -> str:
    return str(click.prompt(question, default="", show_default=False))


def _show(done: Initialised) -> None:
    console.put(f"looked at {', '.join(done.places) or 'nothing that holds keys'}", 2)
    for one in done.made:
        _show_one(one)
    for sentence in dict.fromkeys(done.said):
        console.put(f"- {sentence}", 2)
    if not done.made:
        console.put("no key was found: name a .env file, a Compose file, or a Secret", 2)
        return
    new = [one for one in done.made if one.is_new]
    if new:
        folder = new[0].path.parent if new[0].path else ""
        console.put(
            f"{count(len(new), 'playbook')} in {folder}. What would happen, and then do it:"
        )
        console.put("  $ rotator plan --offline")
        ready = [one for one in new if one.readers and not one.by_hand]
        first = (ready or [one for one in new if one.readers] or new)[0].playbook
        console.put(f"  $ rotate {first} --dry-run")
        console.put(f"  $ rotate {first}")


def _show_one(one: Made) -> None:
    hint = f" ({one.hint})" if len(one.hint) > 1 else ""
    what = f"{', '.join(one.places)}{hint}"
    if not one.is_new:
        told = "; ".join(one.said) or "a playbook has it already"
        mark = "✗" if one.said else "✓"
        console.put(f"{mark} {one.playbook}: {what}: {told}", 2)
        return
    who = "a person makes its keys" if one.by_hand else f"keys by {one.provider}"
    readers = (
        f"read by {' and '.join(one.readers)}" if one.readers else "nobody was found who reads it"
    )
    mark = "✓" if one.readers else "!"
    console.put(f"{mark} {one.playbook}.yaml: {what}; {who}; {readers}", 2)
    for sentence in one.said:
        console.put(f"  {sentence}", 4)
    if one.missing:
        console.put(f"  rotator makes them itself once it knows {', '.join(one.missing)}", 4)


def _json(done: Initialised) -> dict[str, Any]:
    return {
        "places": done.places,
        "playbooks": [
            {
                "playbook": one.playbook,
                "file": str(one.path) if one.path else None,
                "provider": one.provider,
                "holdings": list(one.places),
                "hint": one.hint or None,
                "by_hand": one.by_hand,
                "readers": list(one.readers),
                "said": list(one.said),
                "missing": list(one.missing),
            }
            for one in done.made
        ],
        "said": list(dict.fromkeys(done.said)),
    }
