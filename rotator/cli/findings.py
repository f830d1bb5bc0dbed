"""What `check` and `doctor` found, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rotator.cli import console, shapes
from rotator.usecases.exit_codes import End, worst


@dataclass(frozen=True, slots=True)
class Line:
    """`end`: how the command ends, where it is not `ok`."""

    subject: str
    ok: bool
    text: str
    hint: str = ""
    end: End = End.FOUND


def show_findings(lines: Sequence[Line], as_json: bool) -> int:
    code = worst(line.end.code for line in lines if not line.ok)
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
