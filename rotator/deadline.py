"""How long the call in progress may take, as context variables.

The runner sets the lease and the step's deadline; every client asks `check()` right before it sends, so that a process
that was frozen past its lease sends nothing when it wakes. `bounded()` ends a call by the clock, whatever the other
side does: a time-out for each read never fires while an answer drips.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from rotator.errors import LeaseLost, TransientError

T = TypeVar("T")
CALL = 30.0  # seconds that one request may take, its answer's last byte included
_STEP = 600.0  # seconds for all of a listing where no step's deadline says otherwise
_current: ContextVar[Callable[[], float] | None] = ContextVar("rotator_deadline", default=None)
_step: ContextVar[Callable[[], float] | None] = ContextVar("rotator_step", default=None)
_given_up: ContextVar[tuple[threading.Event, ...]] = ContextVar("rotator_given_up", default=())
_outside: ContextVar[Callable[[bool], None] | None] = ContextVar("rotator_outside", default=None)


@contextmanager
def until(seconds_left: Callable[[], float], step: float = _STEP) -> Iterator[None]:
    """Let the block run while `seconds_left()` (asked anew each time: leases are renewed) is positive.

    `step` is how many seconds a listing with all its pages may take in it.
    """
    token, of_step = _current.set(seconds_left), _step.set(within(step))
    try:
        yield
    finally:
        _current.reset(token)
        _step.reset(of_step)


def remaining(at_most: float = CALL) -> float:
    """Seconds that a call may take now, `at_most` outside any deadline."""
    left = _current.get()
    return at_most if left is None else max(0.001, min(at_most, left()))


def check() -> None:
    """Raises LeaseLost if the deadline has passed, or nobody waits any more: whoever asks must not send."""
    left = _current.get()
    if (left is not None and left() <= 0) or any(event.is_set() for event in _given_up.get()):
        raise LeaseLost("the lease ended before the call was sent", "nothing was sent; the next run carries on")


def listing(what: str) -> Callable[[], None]:
    """To be asked before each page of a listing. It raises TransientError when all of it takes too long."""
    left = _step.get() or within(_STEP)
    begun = time.monotonic()

    def before_page() -> None:
        check()
        if left() <= 0:
            took = time.monotonic() - begun
            raise TransientError(f"{what} did not come to its end in {took:.0f} s", "limits.step is what it may take")

    return before_page


def within(seconds: float) -> Callable[[], float]:
    """A deadline `seconds` from now on the monotonic clock."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


def bounded(seconds: float, work: Callable[[], T], cut: Callable[[], object] = lambda: None) -> T:
    """What `work` gives, waited for `seconds` of real time and no longer. Raises TimeoutError.

    It runs in a thread of its own, which no library's own time-outs can hold up. When nobody waits for it any more,
    `check()` raises in it, so that it sends nothing afterwards, and `cut` is called to end what it hangs in.
    """
    ended, given_up = threading.Event(), threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        _given_up.set((*_given_up.get(), given_up))
        _outside.set(None)  # who waits for this has told it
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)
        ended.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="call", daemon=True).start()
    try:
        with outside():
            in_time = ended.wait(seconds)
    except BaseException:
        given_up.set()
        cut()
        raise
    if not in_time:
        given_up.set()
        cut()
        raise TimeoutError(f"no end after {seconds:.0f} s")
    if failures:
        raise failures[0]
    return results[0]


@contextmanager
def outside() -> Iterator[None]:
    """While the block runs, this thread only waits for somebody else: whoever shares out threads is told."""
    tell = _outside.get()
    if tell is None:
        yield
        return
    tell(True)
    try:
        yield
    finally:
        tell(False)


def told_when_outside(tell: Callable[[bool], None]) -> Any:
    """From here on in this context: `tell(True)` when a wait for somebody else begins, `tell(False)` when it ends."""
    return _outside.set(tell)
