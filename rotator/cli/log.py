"""Logs on standard error: each call and what came of it, at info; as text or JSON lines.

Never a value.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from rotator.core.action import Call, Done, Failed, Later
from rotator.core.debt_state import Debt
from rotator.core.state import Rotation
from rotator.secret import redact

if TYPE_CHECKING:
    from rotator.engine.performed import Performed
    from rotator.engine.runner import Observer


def logging(observe: Observer, level: str, form: str) -> Observer:
    """The observer, and a log line for each result; at `debug` also for each question that was only
    'not yet'.
    """
    if level not in ("info", "debug"):
        return observe
    import structlog

    renderer = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    log = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.processors.TimeStamper(fmt="iso", utc=True), _redacted, renderer],
    )

    def both(unit: Rotation | Debt, call: Call, performed: Performed | None, took: float) -> None:
        observe(unit, call, performed, took)
        if performed is None or (isinstance(performed.result, Later) and level != "debug"):
            return
        fields = {
            "playbook": unit.playbook,
            "step": call.step,
            "target": call.target,
            "seconds": round(took, 3),
        }
        if isinstance(performed.result, Failed):
            fields |= {"error": performed.result.message, "lasting": performed.result.permanent}
        kind = type(performed.result).__name__.lower()
        log.msg(f"{call.op} {'done' if isinstance(performed.result, Done) else kind}", **fields)

    return both


def _redacted(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {
        name: redact(value) if isinstance(value, str) else value for name, value in event.items()
    }
