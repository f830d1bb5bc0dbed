"""What came of a call: the result as the saga knows results, and what is journaled with it."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.action import Call, Failed, Kind, Op, Result, Unknown
from rotator.core.plan import Key
from rotator.errors import (
    AccessDenied,
    Conflict,
    OutcomeUnknown,
    RefusedError,
    Rejected,
    RotatorError,
    TransientError,
    Unreadable,
    Unsupported,
)
from rotator.model import Credential, Finding

# Effects whose lost answer the saga must hear of; everything else may simply be asked again.
UNREPEATABLE = frozenset({Op.GENERATE, Op.WRITE})
EFFECTS = UNREPEATABLE | {Op.RESTART, Op.REVOKE, Op.DEACTIVATE, Op.REACTIVATE, Op.RETIRE}


@dataclass(frozen=True)
class Performed:
    """A result, and what must be journaled with it in the same transaction."""

    result: Result
    keep: tuple[tuple[Key, Credential], ...] = ()
    store_version: tuple[str, str, str] | None = None  # store, version, fingerprint
    findings: tuple[Finding, ...] = ()
    detail: str = ""


def failure(call: Call, error: Exception, at: float) -> Result:
    """A plugin's error as the saga knows it."""
    if isinstance(error, OutcomeUnknown) and call.op in UNREPEATABLE:
        return Unknown(at, error.message, error.hint, isinstance(error, Unreadable))
    if isinstance(error, OutcomeUnknown | TransientError):
        return Failed(
            at, error.message, error.hint, False, Kind.OTHER, getattr(error, "retry_in", None)
        )
    if isinstance(error, RotatorError):
        return Failed(at, error.message, error.hint, True, _kind(error))
    words = f"a plugin failed in a way that it did not foresee: {type(error).__name__}: {error}"
    if call.op is Op.GENERATE:
        return Unknown(at, words)
    return Failed(at, words, "this is a mistake in the plugin, please report it")


def _kind(error: RotatorError) -> Kind:
    match error:
        case Rejected():
            return Kind.REJECTED
        case Conflict():
            return Kind.CONFLICT
        case AccessDenied() | RefusedError():
            return Kind.DENIED
        case Unsupported():
            return Kind.UNSUPPORTED
        case _:
            return Kind.OTHER
