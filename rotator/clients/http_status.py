"""What a status says of time: that the same request may succeed later, and when.

Source: RFC 9110, 10.2.3 (Retry-After), 15.6.4 (503); RFC 6585, 4 (429).
"""

from __future__ import annotations

import time

from rotator.clients.dates import http_date
from rotator.clients.http import Answer, Request
from rotator.errors import OutcomeUnknown, TransientError

# Seconds of a Retry-After that are believed; the engine caps at the step's deadline besides
_LONGEST_WAIT = 3600.0


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asks to wait, at most an hour; None where it does not say (RFC 9110,
    10.2.3).

    A date is counted from the answer's own Date where it has one: the two clocks may differ.
    """
    value = answer.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_WAIT)
    at = http_date(value)
    if at is None:
        return None
    return min(
        max(0.0, at - (http_date(answer.headers.get("date", "")) or time.time())), _LONGEST_WAIT
    )


def passing(answer: Answer, request: Request, who: str, said: str) -> None:
    """Raises for an answer that says 'not now' (429, 5xx): Transient, or unknown where it may have
    happened.

    `said` is what it says, fit to be shown. 429 is told before the work; 503 not always: a gateway
    says it, too, of a server that was at work.
    """
    if answer.status == 429 or (
        answer.status == 503 and request.safe and "retry-after" in answer.headers
    ):
        words = f"{who} is busy ({answer.status})" + (f": {said}" if said else "")
        raise TransientError(words, retry_in=retry_after(answer))
    if answer.status >= 500 or answer.status == 408:
        words = f"{who} answered {answer.status}: {said}"
        raise (
            TransientError(words, retry_in=retry_after(answer))
            if request.safe
            else OutcomeUnknown(words)
        )
