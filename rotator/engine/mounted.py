"""Consumers that have a store's file mounted by itself: they would never see the one that takes its
place.
"""

from __future__ import annotations

from collections.abc import Iterator

from rotator.clients.placed import PlacedStore
from rotator.model import Finding, Level
from rotator.playbook.playbook import Playbook
from rotator.plugin import KeepsMounts


def mounted(playbook: Playbook) -> list[Finding]:
    """An error where nothing in `restart` could start them anew, else a warning."""
    stays = all(
        isinstance(one.restarter, KeepsMounts) and one.restarter.keeps_mounts
        for one in playbook.consumers
    )
    files = [entry.store for entry in playbook.stores if isinstance(entry.store, PlacedStore)]
    return [finding for file in files for finding in _of(file, stays)]


def _of(file: PlacedStore, stays: bool) -> Iterator[Finding]:
    for one in file.holders():
        text = f"{one} has {file.place} mounted by itself"
        if stays:
            text += ": it would keep the old file, and nothing in `restart` starts it anew"
            yield Finding(
                Level.ERROR,
                text,
                "mount its directory, or restart the container, not the process in it",
            )
        else:
            text += ": it keeps the old file until it is started anew"
            yield Finding(
                Level.WARNING, text, "is it restarted here as a container? Else mount the directory"
            )
