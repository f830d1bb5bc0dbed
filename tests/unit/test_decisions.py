"""The core decides as it is written down, in every situation."""

from __future__ import annotations

import difflib
from functools import cache

import pytest

from tests.unit import decisions


@cache
def _written() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in decisions.FILE.read_text().splitlines():
        if line.startswith("# "):
            found[line[2:]] = group = []
        else:
            group.append(line)
    return found


def test_every_part_is_written_down() -> None:
    assert list(_written()) == list(decisions.groups())


@pytest.mark.parametrize("name", decisions.groups())
def test_the_core_decides_as_written_down(name: str) -> None:
    """A decision that changes is seen in a review; what it means is for the model and the
    simulation to say.
    """
    before, now = _written()[name], list(decisions.groups()[name]())
    changed = [
        line for line in difflib.unified_diff(before, now, lineterm="", n=0) if line[0] in "+-"
    ]
    assert not changed, "\n".join(
        [*changed[:20], "if that is meant: python -m tests.unit.decisions"]
    )


def test_what_is_ignored_while_waiting() -> None:
    """A unit that waits hears only that its wait is over."""
    for start, apply in (
        (decisions.ROTATION, decisions.machine.apply),
        (decisions.DEBT, decisions.debt_machine.apply),
    ):
        waiting = decisions.replace(start, wake=decisions.NOW + 5)
        for name, result in decisions.RESULTS.items():
            answer = decisions.change(waiting, apply(waiting, result))
            assert answer == (
                "now=1000.0 wake=None" if name.startswith("done") else "now=1000.0"
            ), name
