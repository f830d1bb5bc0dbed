"""Of a pool: whether each of its keys is there, and is one of its own.

Two with the same value are one key: the rotation of one ends what the other one serves with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rotator.errors import RotatorError, TransientError
from rotator.journal.journal import Journal
from rotator.model import Finding, Level
from rotator.playbook.playbook import Playbook, StoreEntry
from rotator.plugin import UNFORESEEN


def pooled(journal: Journal, playbook: Playbook, fingerprint: str, leaked: bool) -> list[Finding]:
    """What stands against a rotation of the key with this fingerprint ('' = there is none).

    Raises what a store raises that does not answer now; not for a key that `leaked`.
    """
    return [
        finding
        for name, stores in playbook.pool
        for finding in _of(journal, name, stores, fingerprint, leaked)
    ]


def _of(
    journal: Journal, name: str, stores: Sequence[StoreEntry], fingerprint: str, leaked: bool
) -> Iterator[Finding]:
    try:
        held = [(entry, entry.store.read()) for entry in stores]
    except (RotatorError, *UNFORESEEN) as error:
        if isinstance(error, TransientError) and not leaked:
            raise
        text = f"it cannot be told whether {name} of the same pool has the same key: {error}"
        yield Finding(Level.ERROR, text, "its stores must be readable here, too")
        return
    for entry, content in held:
        if content and content.values and journal.fingerprint(content.values) == fingerprint:
            text = f"{name} of the same pool has the same key ({entry.name})"
            hint = "give each of them a key of its own, or take one out of the pool"
            yield Finding(Level.ERROR, text, hint)
            return
    if all(content is None or content.values == {} for _, content in held):
        text = f"{name} of the same pool holds no key: it serves nobody"
        yield Finding(Level.WARNING, text, "give it one, or take it out of the pool")
