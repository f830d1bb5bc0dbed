"""Restarter `none`: consumers that read the store again by themselves."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rotator.durations import Seconds
from rotator.model import Change, Evidence, Finding, Progress
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class NoneRestarter:
    """Restart nothing: the consumers read the key again, at the latest `within` seconds after it
    was written.
    """

    within: Seconds = setting("How long until every consumer has read it again", default=300.0)

    name = "none"
    evidence = Evidence.NONE
    keeps_mounts = True

    def preflight(self) -> list[Finding]:
        return []

    def restart(self, change: Change) -> None:
        return None

    def progress(self, change: Change) -> Progress:
        left = change.since + self.within - time.time()
        return Progress(
            1, int(left <= 0), left <= 0, text=f"read again within {max(left, 0):.0f} s"
        )

    def shown(self, change: Change) -> Progress:
        """By the clock alone: nothing is read of the consumers (evidence `none`)."""
        return self.progress(change)
