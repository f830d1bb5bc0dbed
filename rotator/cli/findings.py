"""What `check` and `doctor` found, a line each."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.cli import console, shapes
from rotator.cli.common import (
    worst,
)


@dataclass(frozen=True)
class Checked:
    name: str
    ok: bool
    text: str
    hint: str = ""
    code: int = 1  # of the process, where it is not ok


def show_findings(found: list[Checked], as_json: bool) -> int:
    code = worst([one.code for one in found if not one.ok])
    if as_json:
        told = [
            {"subject": one.name, "ok": one.ok, "text": one.text, "hint": one.hint or None}
            for one in found
        ]
        return shapes.answer(code, findings=told)
    for one in found:
        console.put(f"{'✓' if one.ok else '✗'} {one.name}: {one.text}", 2)
        if one.hint and not one.ok:
            console.put(f"  hint: {one.hint}", 8)
    return code
