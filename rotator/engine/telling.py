"""What the audit is told of a call and its outcome: never a value, only what happened."""

from __future__ import annotations

from typing import Any

from rotator.core.action import Call, Done, Failed, Op, Unknown
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.engine.performed import Performed


def call(unit: Rotation | Debt, of: Call) -> dict[str, Any]:
    """Which call it is."""
    return {
        "step": of.step,
        "op": str(of.op),
        "target": target(unit, of),
        "attempt": of.attempt or None,
        "key": str(of.key) if of.key else None,
        "fingerprint": of.key.fingerprint if of.key else None,
    }


def target(unit: Rotation | Debt, call: Call) -> str | None:
    plan = unit.plan
    if call.op in (Op.READ, Op.WRITE, Op.RETIRE) and call.target < len(plan.stores):
        return plan.stores[call.target].name
    if call.op in (Op.RESTART, Op.PROGRESS) and call.target < len(plan.consumers):
        return plan.consumers[call.target].name
    return None


def outcome(performed: Performed, took: float) -> dict[str, Any]:
    """An outcome for the audit: never a value, only what happened."""
    result = performed.result
    fields: dict[str, Any] = {"result": type(result).__name__.lower(), "seconds": round(took, 3)}
    if isinstance(result, Failed):
        fields |= {"error": result.message, "lasting": result.permanent}
    elif isinstance(result, Unknown):
        fields["error"] = result.message
    elif isinstance(result, Done) and isinstance(result.data, Key):
        fields |= {"key": str(result.data), "fingerprint": result.data.fingerprint}
    warnings = [finding.text for finding in performed.findings if finding.level == "warning"]
    return {**fields, "warnings": warnings or None, "detail": performed.detail or None}


def decision(before: Rotation, changed: Rotation) -> dict[str, Any]:
    """What was decided between two states; nothing where the rotation only went on."""
    if changed.pivoted and not before.pivoted:
        return {"decision": "pivot: the new key is current", "key": str(changed.new)}
    if changed.phase is Phase.STUCK and before.phase is not Phase.STUCK:
        return {"decision": "needs attention", "reason": changed.question}
    if changed.problem and changed.problem != before.problem and changed.phase is not before.phase:
        return {"decision": f"{before.phase} → {changed.phase}", "reason": changed.problem}
    return {}
