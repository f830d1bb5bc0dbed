"""What a status of the API server means: whether anything may have happened, and what helps.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

import json

from rotator.errors import (
    AccessDenied,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
)
from rotator.secret import redact


def not_now(server: str, status: int, raw: bytes, safe: bool) -> TransientError | OutcomeUnknown:
    """The server cannot answer now: one that starts refuses everybody (401, 403); 5xx."""
    if status < 500:
        return TransientError(f"{server} is not ready: {_words(raw)}")
    words = f"{server} answered {status}: {_words(raw)}"
    return TransientError(words) if safe else OutcomeUnknown(words)


def refused(server: str, status: int, raw: bytes, request: str) -> RotatorError:
    """The server refuses the request (its method and path), in its own words."""
    words = _words(raw)
    match status:
        case 401 | 403:
            return AccessDenied(
                f"Kubernetes refuses {request}: {words}",
                "which Role has who asks? `kubectl auth can-i`",
            )
        case 404 | 410:
            return NotFound(words)
        case 409:
            return Conflict(words)
        case 429:
            return TransientError(f"{server} is busy: {words}")
        case _:
            return PermanentError(f"Kubernetes refuses {request} ({status}): {words}")


def _words(raw: bytes) -> str:
    try:
        answer = json.loads(raw)
        words = answer.get("message", "") if isinstance(answer, dict) else ""
    except ValueError:
        words = raw[:200].decode(errors="replace").split("\n")[0]
    return redact(str(words))[:500]
