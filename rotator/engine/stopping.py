"""A process that was told to stop ends its work between two calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rotator.errors import RotatorError

PATIENCE = 20.0  # seconds in which calls that are in hand may end when a process stops


class Stopping(RotatorError):
    """What was done is written down, and nothing further was intended: another process goes on."""

    def __init__(self) -> None:
        super().__init__("this process was told to stop", "`rotate --due` goes on with it")


@contextmanager
def over_in(seconds: float, stopping: threading.Event, act: Callable[[], object]) -> Iterator[None]:
    """`act` is called, in a thread of its own, where the block has not ended so many seconds after
    `stopping` was set.
    """
    ended = threading.Event()

    def wait() -> None:
        stopping.wait()
        if not ended.wait(seconds):
            act()

    threading.Thread(target=wait, name="end", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
