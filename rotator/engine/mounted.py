"""Consumers that have a store's file mounted by itself: they would never see the one that takes its
place.
"""

from __future__ import annotations

from collections.abc import Iterator

from rotator.model import Finding, Level
from rotator.playbook.playbook import Playbook
from rotator.plugin import KeepsMounts, Mounted


def mounted(playbook: Playbook) -> list[Finding]:
    """An error where nothing in `restart` could start them anew, else a warning."""
    stays = all(
        isinstance(one.restarter, KeepsMounts) and one.restarter.keeps_mounts
        for one in playbook.consumers
    )
    files = [entry.store for entry in playbook.stores if isinstance(entry.store, Mounted)]
    return [finding for file in files for finding in _of(file, stays)]


def _of(file: Mounted, stays: bool) -> Iterator[Finding]:
    for mount in file.stale_mounts():
        if stays:
            yield Finding(
                Level.ERROR,
                f"{mount}: it would keep the old file, and nothing in `restart` starts it anew",
                "mount its directory, or restart the container, not the process in it",
            )
        else:
            yield Finding(
                Level.WARNING,
                f"{mount}: it keeps the old file until it is started anew",
                "is it restarted here as a container? Else mount the directory",
            )
