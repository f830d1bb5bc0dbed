"""Tab completion."""

from __future__ import annotations

import click

from rotator.cli.common import (
    CONTEXT,
    examples,
    json_option,
)


@click.command(
    "completion", context_settings=CONTEXT, epilog=examples('eval "$(rotator completion bash)"')
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, as_json: bool) -> int:
    """Print the line that switches tab completion on."""
    lines = []
    for program in ("rotator", "rotate"):
        variable = f"_{program.upper()}_COMPLETE"
        line = (
            f"{variable}=fish_source {program} | source"
            if shell == "fish"
            else f'eval "$({variable}={shell}_source {program})"'
        )
        lines.append(line)
    if as_json:
        from rotator.cli import shapes

        return shapes.answer(0, lines=lines)
    print("\n".join(lines))
    return 0
