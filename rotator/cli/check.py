"""Does the key of each provider in the environment work: check."""

from __future__ import annotations

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
    epilog=examples("rotator check", "rotator check openai openrouter"),
)
@click.argument("names", nargs=-1, metavar="[PROVIDER]...")
@json_option
def check(names: tuple[str, ...], as_json: bool) -> int:
    """Per provider: is its variable (OPENAI_API_KEY, …) set, does it look right, does it work?

    A PROVIDER is one of the catalog: of rotator's, or of a file in `providers/` beside your
    playbooks. Without one: every one whose variable is set, and OpenAI.
    """
    from rotator import settings
    from rotator.playbook.registry import Registry

    know_key_patterns()
    catalog = Registry(settings.load().directory.paths).catalog()
    unknown = [name for name in names if name not in catalog]
    if unknown:
        raise click.UsageError(
            f"no provider '{unknown[0]}' in the catalog; known are {', '.join(sorted(catalog))}"
        )
    wanted = names or environment_keys.providers_in_environment(catalog)
    keys = [environment_keys.environment_key(catalog, name) for name in wanted]
    return show_findings([_line(key) for key in keys], as_json)


def _line(key: EnvironmentKey) -> Line:
    values = {
        "variable": key.variable,
        "ends": key.ends,
        "detail": key.detail,
        "console": key.console,
    }
    hint = _HINTS[key.state].format(**values) if key.state in _HINTS else key.hint
    end = End.MISTAKE if key.state is KeyState.MISTAKE else End.FOUND
    return Line(key.provider, key.ok, TEXTS[key.state].format(**values), hint, end)
