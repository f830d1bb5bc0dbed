"""The deadline of the call in progress, as a context variable.

The runner sets it from the lease; every client asks `check()` right before it sends, so that a process that was
frozen past its lease sends nothing when it wakes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rotator.errors import LeaseLost

_DEFAULT_SECONDS = 30.0
_current: ContextVar[Callable[[], float] | None] = ContextVar("rotator_deadline", default=None)


@contextmanager
def until(seconds_left: Callable[[], float]) -> Iterator[None]:
    """Let the block run while `seconds_left()` (asked anew each time: leases are renewed) is positive."""
    token = _current.set(seconds_left)
    try:
        yield
    finally:
        _current.reset(token)


def remaining(at_most: float = _DEFAULT_SECONDS) -> float:
    """Seconds that a call may take now, `at_most` outside any deadline."""
    left = _current.get()
    return at_most if left is None else max(0.001, min(at_most, left()))


def check() -> None:
    """Raises LeaseLost if the deadline has passed: whoever asks must not send."""
    left = _current.get()
    if left is not None and left() <= 0:
        raise LeaseLost("the lease ended before the call was sent", "nothing was sent; the next run carries on")


def within(seconds: float) -> Callable[[], float]:
    """A deadline `seconds` from now on the monotonic clock."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()
