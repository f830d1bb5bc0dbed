"""Consumers of a store's copies in other places: only those of copies that the playbook names are
looked at.
"""

from __future__ import annotations

from rotator.model import Finding
from rotator.playbook.playbook import Playbook
from rotator.plugin import Copied


def copied(playbook: Playbook) -> list[Finding]:
    """Warnings. Raises what a store's system raises."""
    followed = [entry.store for entry in playbook.stores if entry.follows]
    written = [entry.store for entry in playbook.stores if not entry.follows]
    return [
        finding
        for store in written
        if isinstance(store, Copied)
        for finding in store.unfollowed_copies(followed)
    ]
