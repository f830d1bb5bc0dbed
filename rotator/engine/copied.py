"""Consumers of a Secret's copies in other namespaces: only those of copies that the playbook names
are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

from rotator.integrations.kubernetes.copies import Copies
from rotator.integrations.kubernetes.store import KubernetesStore
from rotator.model import Finding, Level
from rotator.playbook.playbook import Playbook


def copied(playbook: Playbook) -> list[Finding]:
    """Warnings. Raises what the cluster raises."""
    stores = [entry.store for entry in playbook.stores if isinstance(entry.store, KubernetesStore)]
    declared = {"/".join(store.place) for store in stores if store.follows}
    written = [store for store in stores if not store.follows]
    return [
        found
        for store in written
        for copies in store.copies()
        for found in _of(store, copies, declared)
    ]


def _of(store: KubernetesStore, copies: Copies, declared: set[str]) -> Iterator[Finding]:
    name = store.place[1]
    there = [one if "/" in one else f"{one}/{name}" for one in copies.where]
    missing = [one for one in there if one not in declared] if copies.exact else there
    if copies.exact and not missing:
        return
    where = ", ".join(missing if copies.exact else copies.where) or "every namespace"
    may = "may copy" if copies.asked else "copies"
    text = (
        f"{copies.by} {may} {store.name} to {where}: who takes it there keeps the old key, and is"
        " not looked at"
    )
    if not copies.exact and declared:
        text += f", but for {', '.join(sorted(declared))}"
    entry = (
        f"{{uses: kubernetes, secret: {missing[0] if copies.exact else f'NAMESPACE/{name}'}, …,"
        " follows: true}"
    )
    yield Finding(
        Level.WARNING,
        text,
        f"a store for each copy, {entry}: then its users are found and restarted, too",
    )
