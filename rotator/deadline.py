"""How long the call in progress may take, as context variables.

The runner sets the lease and the step's deadline; every client asks `check()` right before it
sends, so that a process that was frozen past its lease sends nothing when it wakes. `bounded()`
ends a call by the clock, whatever the other side does: a time-out for each read never fires while
an answer drips.

Packages that speak HTTP by the standard library (those of Vault, Kubernetes, AWS, docker) connect
and send in one go: for them `watch_connections()` asks when the connection stands, and lets
`bounded()` cut it.
"""

from __future__ import annotations

import contextlib
import contextvars
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from rotator.counting import about, as_typed
from rotator.errors import LeaseLost, TransientError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Step:
    """How many seconds a listing may take, as a playbook sets it, and how many of them are left."""

    limit: float
    left: Callable[[], float]


CALL = 30.0  # seconds that one request may take, its answer's last byte included
_STEP = 600.0  # seconds for all of a listing where no step's deadline says otherwise
_current: ContextVar[Callable[[], float] | None] = ContextVar("rotator_deadline", default=None)
_step: ContextVar[_Step | None] = ContextVar("rotator_step", default=None)
_given_up: ContextVar[tuple[threading.Event, ...]] = ContextVar("rotator_given_up", default=())
_connections: ContextVar[list[Any] | None] = ContextVar("rotator_connections", default=None)
_outside: ContextVar[Callable[[bool], None] | None] = ContextVar("rotator_outside", default=None)


@contextmanager
def until(seconds_left: Callable[[], float], step: float = _STEP) -> Iterator[None]:
    """Let the block run while `seconds_left()` (asked anew each time: leases are renewed) is
    positive.

    `step` is how many seconds a listing with all its pages may take in it.
    """
    token, of_step = _current.set(seconds_left), _step.set(_Step(step, within(step)))
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
    """Raises LeaseLost if the deadline has passed, or nobody waits any more: whoever asks must not
    send.
    """
    left = _current.get()
    over = (_ends, *_given_up.get())
    if (left is not None and left() <= 0) or any(event.is_set() for event in over):
        raise LeaseLost(
            "the lease ended before the call was sent", "nothing was sent; the next run carries on"
        )


def listing(what: str) -> Callable[[], None]:
    """To be asked before each page of a listing.

    It raises TransientError when the step takes too long in which it is read.
    """
    of_playbook = _step.get()
    step = of_playbook or _Step(_STEP, within(_STEP))

    def before_page() -> None:
        check()
        if step.left() <= 0:
            limit = as_typed(step.limit)
            raise TransientError(
                f"{what} had not come to its end when the {limit} of its step were over",
                f"a playbook with `limits: {{step: …}}` has another limit than {limit}"
                if of_playbook
                else "is the provider slow? Try again",
            )

    return before_page


def within(seconds: float) -> Callable[[], float]:
    """A deadline `seconds` from now on the monotonic clock."""
    end = time.monotonic() + seconds
    return lambda: end - time.monotonic()


def bounded(seconds: float, work: Callable[[], T], cut: Callable[[], object] = lambda: None) -> T:
    """What `work` gives, waited for `seconds` of real time and no longer. Raises TimeoutError.

    It runs in a thread of its own, which no library's own time-outs can hold up. When nobody waits
    for it any more, `check()` raises in it, so that it sends nothing afterwards, and `cut` is
    called to end what it hangs in.
    """
    ended, given_up = threading.Event(), threading.Event()
    results: list[T] = []
    failures: list[BaseException] = []
    connections: list[Any] = []

    def run() -> None:
        _connections.set(connections)
        _given_up.set((*_given_up.get(), given_up))
        _outside.set(None)  # who waits for this has told it
        try:
            results.append(work())
        except BaseException as error:
            failures.append(error)
        ended.set()

    def give_up() -> None:
        given_up.set()
        cut()
        for connection in connections:
            _cut(connection)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="call", daemon=True).start()
    try:
        with outside(), cuttable(ended.set):
            in_time = ended.wait(seconds)
    except BaseException:
        give_up()
        raise
    if failures:
        raise failures[0]
    if in_time and results:
        return results[0]
    give_up()
    raise TimeoutError(
        "this process stopped before its end" if in_time else f"no end after {about(seconds)}"
    )


_in_hand: set[Callable[[], object]] = set()
_guard = threading.Lock()
_ends = threading.Event()


@contextmanager
def cuttable(end: Callable[[], object]) -> Iterator[None]:
    """While the block runs, `cut` calls `end`; at once, where that was before. It is quick, and
    does not raise.
    """
    with _guard:
        _in_hand.add(end)
        if _ends.is_set():
            end()
    try:
        yield
    finally:
        with _guard:
            _in_hand.discard(end)


def cut() -> None:
    """This process ends: every call and every program in hand is over as if its time were, nobody
    knows what became of them, and nothing is sent any more.
    """
    _ends.set()
    with _guard:
        for end in _in_hand:
            end()


@cache
def watch_connections() -> None:
    """From here on: what http.client sends, it sends before the deadline, and for somebody who
    still waits.

    By an audit hook (PEP 578): the one place that is asked by all of those packages between
    connecting and sending.
    """
    sys.addaudithook(_asked)


def _asked(event: str, told: tuple[Any, ...]) -> None:
    """Raises LeaseLost in whoever is about to send."""
    if event == "http.client.send":
        found = _connections.get()
        if found is not None and told[0] not in found:
            found.append(told[0])
        check()


def _cut(connection: Any) -> None:
    """End what hangs in it, from another thread; a TLS connection underneath, without a goodbye."""
    held = getattr(connection, "sock", None)
    if isinstance(held, socket.socket):
        with contextlib.suppress(OSError):
            socket.socket.shutdown(held, socket.SHUT_RDWR)


@contextmanager
def outside() -> Iterator[None]:
    """While the block runs, this thread only waits for somebody else: whoever shares out threads is
    told.
    """
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
    """From here on in this context: `tell(True)` when a wait for somebody else begins,
    `tell(False)` when it ends.
    """
    return _outside.set(tell)
