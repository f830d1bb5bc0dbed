"""Does the key of each provider in the environment work: check."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from rotator.cli.common import CONTEXT, examples, json_option, know_key_patterns
from rotator.cli.findings import Line, show_findings
from rotator.usecases.exit_codes import End
from rotator.views import environment_keys
from rotator.views.environment_keys import EnvironmentKey, KeyState

TEXTS: dict[KeyState, str] = {
    KeyState.MISTAKE: "its catalog file is wrong: {detail}",
    KeyState.NO_VARIABLE: "its catalog file names no variable",
    KeyState.NOT_SET: "{variable} is not set",
    KeyState.SPACES: "{variable} has stray spaces or newlines",
    KeyState.MISSHAPEN: "{variable} is set ({ends}), but {detail}",
    KeyState.REFUSED: "{variable} ({ends}) is refused: {detail}",
    KeyState.UNTRIED: "{variable} ({ends}) cannot be tried: {detail}",
    KeyState.NO_ADDRESS: "{variable} ({ends}) cannot be tried: it is self-hosted",
    KeyState.NEEDS_SETTINGS: (
        "{variable} ({ends}) looks right; a playbook alone can try it, for its request has {detail}"
    ),
    KeyState.RIGHT_SHAPE: "{variable} ({ends}) looks right",
    KeyState.WORKS: "{variable} ({ends}) works",
}
_HINTS: dict[KeyState, str] = {
    KeyState.NO_VARIABLE: "`env: [NAME_API_KEY]` in it says where the key usually is",
    KeyState.NO_ADDRESS: "export {detail}=https://…",
    KeyState.NOT_SET: "export {variable}=…, from {console}",
    KeyState.SPACES: "copy the key again, without them",
    KeyState.MISSHAPEN: "see {console}",
    KeyState.REFUSED: "see {console}",
}


@click.command(
    "check",
    context_settings=CONTEXT,
    epilog=examples("rotator check", "rotator check openai openrouter", "rotator check .env"),
)
@click.argument("names", nargs=-1, metavar="[PROVIDER|PATH]...")
@json_option
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Per provider: is its variable (OPENAI_API_KEY, …) set, does it look right, does it work?

    A PROVIDER is one of the catalog: of rotator's, or of a file in `providers/` beside your
    playbooks. Without one: every one whose variable is set, and OpenAI. Keys of a pool
    (OPENAI_API_KEY_1, …) have a line each. A PATH is what `rotator
    init` reads: each key that is found there. Where an administrator's credential is at hand, also
    which key it is, how old, and when it ends.
    """
    from rotator import settings
    from rotator.playbook.registry import Registry
    from rotator.setup.checked import KEYLESS

    know_key_patterns()
    found = settings.load()
    catalog = Registry(found.directory.paths).catalog()
    paths = [name for name in names if _is_a_path(name)]
    named = [name for name in names if name not in paths and name not in KEYLESS]
    unknown = [name for name in named if name not in catalog]
    if unknown:
        raise click.UsageError(
            f"no provider '{unknown[0]}' in the catalog; known are {', '.join(sorted(catalog))}"
        )
    keyless = [
        name
        for name, variables in KEYLESS.items()
        if name in names or (not names and any(map(os.environ.get, variables)))
    ]
    wanted = named if names else environment_keys.providers_in_environment(catalog)
    keys = [one for name in wanted for one in environment_keys.environment_keys(catalog, name)]
    folder = found.folders[0].absolute().parent
    lines = [_line(key, _facts(key, catalog, folder)) for key in keys]
    lines += [Line(name, True, "no key is needed") for name in keyless]
    if paths:
        lines += _in_places(paths, catalog, folder)
    return show_findings(lines, as_json)


def _is_a_path(name: str) -> bool:
    return os.sep in name or name.startswith(("kubernetes:", "vault:")) or Path(name).is_file()


def _facts(key: EnvironmentKey, catalog: Mapping[str, Path], folder: Path) -> list[str]:
    """What else is known of a key that stands in a variable, and is none of a mistake."""
    from rotator.playbook.catalog import entry
    from rotator.secret import Secret
    from rotator.setup import checked
    from rotator.setup.at_hand import ETC, AtHand

    if not key.ok:
        return []
    value, at_hand = Secret(os.environ[key.variable]), AtHand((folder, ETC))
    return list(checked.facts(key.provider, entry(catalog[key.provider]), value, {}, at_hand))


def _in_places(paths: list[str], catalog: Mapping[str, Path], folder: Path) -> list[Line]:
    from rotator.setup import checked
    from rotator.setup.at_hand import ETC, AtHand
    from rotator.setup.paths import look
    from rotator.setup.recognised import Providers

    found = look(paths)
    keys = checked.checked(found, Providers(catalog), AtHand((folder, ETC)))
    lines = [_line(one.key, one.facts) for one in keys]
    named = {name for source in found.sources for name in source.values}
    lines += [
        Line(name, True, "no key is needed")
        for name, variables in checked.KEYLESS.items()
        if named & set(variables)
    ]
    return lines or [Line(", ".join(paths), False, "no key was found")]


def _line(key: EnvironmentKey, facts: Sequence[str] = ()) -> Line:
    values = {
        "variable": key.variable,
        "ends": key.ends,
        "detail": key.detail,
        "console": key.console,
    }
    hint = _HINTS[key.state].format(**values) if key.state in _HINTS else key.hint
    end = End.MISTAKE if key.state is KeyState.MISTAKE else End.FOUND
    text = "; ".join([TEXTS[key.state].format(**values), *facts])
    return Line(key.provider, key.ok, text, hint, end)
