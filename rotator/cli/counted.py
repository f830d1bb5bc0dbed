"""What a run over all playbooks did, in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rotator.core.action import Ask
from rotator.counting import count
from rotator.usecases.exit_codes import Exit
from rotator.usecases.report import Report

_ENDS = {
    Exit.ROLLED_BACK: "rolled back",
    Exit.ATTENTION: "needs attention",
    Exit.WAITING: "waits",
    Exit.REFUSED: "refused",
    Exit.BUSY: "busy",
    Exit.TERMINATED: "stopped",
}
_REVOKED = "old key revoked"
_SEVERAL = {
    "needs attention": "need attention",
    "waits": "wait",
    "waits for a person": "wait for a person",
}


def counted(reports: list[Report], finished: Mapping[str, list[dict[str, Any]]]) -> str:
    """What a run over all playbooks did, each counted once, after "… were looked at"."""
    kinds = Counter(
        _kind(one, [step["step"] for step in finished.get(one.playbook, []) if step["ok"]])
        for one in reports
    )
    told = [_told(kind, number) for kind, number in kinds.items() if kind]
    return f": {', '.join(told)}" if told else ", nothing was due"


def _told(kind: str, number: int) -> str:
    if kind == _REVOKED:
        return f"{count(number, 'old key')} revoked"
    return f"{number} {_SEVERAL.get(kind, kind) if number > 1 else kind}"


def _kind(found: Report, steps: list[str]) -> str:
    code = found.code_of_all
    if code is Exit.WAITING and (isinstance(found.action, Ask) or found.questions):
        return "waits for a person"
    if code:
        return _ENDS.get(code, "failed")
    if "verify" in steps:
        return "rotated"
    return _REVOKED if "revoke" in steps else ""
