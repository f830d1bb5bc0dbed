"""SIGTERM to a command that works on keys: the call in hand ends and is written down, nothing is
begun after it. So it is when a pod is evicted, or a unit stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from rotator.usecases.exit_codes import SIGNALS

if TYPE_CHECKING:
    from rotator.usecases.service import Service


@contextlib.contextmanager
def ends_in_order(found: Service) -> Iterator[None]:
    """A second signal ends it at once; what does not end in time is cut."""
    if threading.current_thread() is not threading.main_thread():  # signals are not ours
        yield
        return
    from rotator import deadline
    from rotator.engine.stopping import PATIENCE, over_in

    def stop(number: int, _: FrameType | None) -> None:
        if found.stopping.is_set():
            os._exit(SIGNALS + number)
        found.stopping.set()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with over_in(PATIENCE, found.stopping, deadline.cut):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)
