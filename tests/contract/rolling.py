"""Restart and wait, as the engine does."""

from __future__ import annotations

import time

from rotator.model import Change, Progress
from rotator.plugin import Restarter


def rolled(restarter: Restarter, wanted: Change, seconds: float = 60.0) -> Progress:
    """The last progress."""
    end = time.monotonic() + seconds
    while restarter.restart(wanted) is not None:
        assert time.monotonic() < end
        time.sleep(0.05)
    while not (progress := restarter.progress(wanted)).converged:
        assert time.monotonic() < end, progress.text
        time.sleep(0.05)
    return progress
