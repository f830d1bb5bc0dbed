"""Performing one call on the real plugins; what came of it, as the saga knows results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rotator import deadline
from rotator.core.action import Call, Failed, Later, Op, Unknown
from rotator.engine import debt_calls, looking, rotation_calls
from rotator.engine.job import Job
from rotator.engine.performed import Performed, failure
from rotator.errors import JournalError, LeaseLost, RotatorError
from rotator.plugin import UNFORESEEN
from rotator.shown import tidy


@dataclass
class Performer(Job):
    """Performs the calls of its unit."""

    def perform(self, call: Call) -> Performed:
        """Never raises a plugin's error; LeaseLost and the journal's own errors go through."""
        try:
            with deadline.until(self.seconds_left, self.unit.plan.policy.deadline):
                deadline.check()
                return _fit_to_keep(_CALLS[call.op](self, call))
        except (LeaseLost, JournalError):
            raise  # no answer of a plugin: this process ends here, and the call counts as unknown
        except (RotatorError, *UNFORESEEN) as error:
            return _fit_to_keep(Performed(failure(call, error, self.clock.now())))


def _fit_to_keep(performed: Performed) -> Performed:
    """Its words redacted, while the secrets of the call are alive: the journal keeps them, and
    `status` shows them.
    """
    result = performed.result
    if performed.findings:
        findings = (
            replace(finding, text=tidy(finding.text), hint=tidy(finding.hint))
            for finding in performed.findings
        )
        performed = replace(performed, findings=tuple(findings))
    if isinstance(result, Failed | Unknown):
        return replace(
            performed, result=replace(result, message=tidy(result.message), hint=tidy(result.hint))
        )
    if isinstance(result, Later) and result.text:
        return replace(performed, result=replace(result, text=tidy(result.text)))
    return performed


_CALLS: dict[Op, Callable[[Job, Call], Performed]] = {
    Op.PREFLIGHT: rotation_calls.preflight,
    Op.SNAPSHOT: rotation_calls.snapshot,
    Op.GENERATE: rotation_calls.generate,
    Op.RECOVER: rotation_calls.recover,
    Op.REVOKE: debt_calls.revoke,
    Op.DEACTIVATE: debt_calls.deactivate,
    Op.REACTIVATE: debt_calls.reactivate,
    Op.RECOGNISE: rotation_calls.recognise,
    Op.PROBE: rotation_calls.probe,
    Op.READ: rotation_calls.read,
    Op.WRITE: rotation_calls.write,
    Op.RESTART: rotation_calls.restart,
    Op.ACCEPT: rotation_calls.accept,
    Op.PROGRESS: rotation_calls.progress,
    Op.VERIFY: rotation_calls.verify,
    Op.LOOK: looking.look,
    Op.QUIET: debt_calls.quiet,
    Op.WATCH: debt_calls.watch,
    Op.SUSPECT: debt_calls.suspect,
    Op.PROVE: debt_calls.prove,
    Op.RETIRE: debt_calls.retire,
    Op.SWEEP: debt_calls.sweep,
}
