"""What `check` and `doctor` found, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.cli import console, shapes
from rotator.cli.common import worst


@dataclass(frozen=True, slots=True)
class Line:
    """`code`: the exit code of the process, where it is not `ok`."""

    subject: str
    ok: bool
    text: str
    hint: str = ""
    code: int = 1


def show_findings(lines: Sequence[Line], as_json: bool) -> int:
    code = worst([line.code for line in lines if not line.ok])
    if as_json:
        findings = [
            {"subject": line.subject, "ok": line.ok, "text": line.text, "hint": line.hint or None}
            for line in lines
        ]
        return shapes.answer(code, findings=findings)
    for line in lines:
        console.put(f"{'✓' if line.ok else '✗'} {line.subject}: {line.text}", 2)
        if line.hint and not line.ok:
            console.put(f"  hint: {line.hint}", 8)
    return code
