"""Does the key of each provider in the environment work: check."""

from __future__ import annotations

import click

from rotator.cli.common import CONTEXT, examples, json_option, know_key_patterns
from rotator.cli.findings import Line, show_findings
from rotator.views import environment_keys
from rotator.views.environment_keys import EnvironmentKey, KeyState

TEXTS: dict[KeyState, str] = {
    KeyState.NOT_SET: "{variable} is not set",
    KeyState.SPACES: "{variable} has stray spaces or newlines",
    KeyState.MISSHAPEN: "{variable} is set ({ends}), but {detail}",
    KeyState.REFUSED: "{variable} ({ends}) is refused: {detail}",
    KeyState.UNTRIED: "{variable} ({ends}) cannot be tried: {detail}",
    KeyState.RIGHT_SHAPE: "{variable} ({ends}) looks right",
    KeyState.WORKS: "{variable} ({ends}) works",
}
_HINTS: dict[KeyState, str] = {
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

    Without a PROVIDER: every one whose variable is set, and OpenAI.
    """
    know_key_patterns()
    known = environment_keys.providers()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(
            f"no provider '{unknown[0]}' in the catalog; known are {', '.join(known)}"
        )
    wanted = names or environment_keys.providers_in_environment()
    return show_findings(
        [_line(environment_keys.environment_key(name)) for name in wanted], as_json
    )


def _line(key: EnvironmentKey) -> Line:
    values = {
        "variable": key.variable,
        "ends": key.ends,
        "detail": key.detail,
        "console": key.console,
    }
    hint = _HINTS[key.state].format(**values) if key.state in _HINTS else key.hint
    return Line(key.provider, key.ok, TEXTS[key.state].format(**values), hint)
