"""Reading the world for a look: what every store and every consumer holds now."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.journal import cases
from rotator.journal.journal import Journal
from rotator.model import Change, Credential, Evidence
from rotator.playbook.playbook import ConsumerEntry, Playbook, StoreEntry


def gather(journal: Journal, playbooks: Iterable[Playbook], current: Credential | None, now: float) -> Facts:
    """Facts of the rotation's playbook and of today's, each store and consumer once."""
    stores: dict[str, StoreFact] = {}
    consumers: dict[str, tuple[ConsumerEntry, Evidence]] = {}
    for playbook in playbooks:
        plan = playbook.plan
        for entry in playbook.stores:
            if entry.name not in stores:
                stores[entry.name] = _store(journal, playbook.name, entry)
        for wanted, consumer in zip(plan.consumers, playbook.consumers, strict=True):
            consumers.setdefault(consumer.name, (consumer, wanted.evidence))
    since = max((store.written_at or 0.0 for store in stores.values()), default=0.0)
    change = Change("look", since, current or Credential({}))
    found = tuple(consumer_fact(journal, entry, evidence, change) for entry, evidence in consumers.values())
    return Facts(tuple(stores.values()), found, now)


def _store(journal: Journal, playbook: str, entry: StoreEntry) -> StoreFact:
    held = entry.store.read()
    with journal.database.read() as connection:
        row = cases.store_version(connection, playbook, entry.name)
    if held is None:
        return StoreFact(entry.name, "", written_at=0.0)
    ours = row is not None and row["version"] == held.version
    fingerprint = journal.fingerprint(held.values) if held.values is not None else None
    return StoreFact(
        entry.name,
        fingerprint,
        ours,
        row["at"] if ours and row else held.written_at,
        row["fingerprint"] if row else "",
        "" if ours else held.by or (held.note.installation if held.note else ""),
    )


def consumer_fact(journal: Journal, entry: ConsumerEntry, evidence: Evidence, change: Change) -> ConsumerFact:
    if evidence is Evidence.NONE:
        return ConsumerFact(entry.name, evidence)
    progress = entry.restarter.progress(change)
    instances = tuple(
        InstanceFact(
            instance.name,
            instance.started_at,
            journal.fingerprint({"key": instance.holds}) if instance.holds else None,
            instance.left_alone,
        )
        for instance in progress.instances
    )
    return ConsumerFact(entry.name, evidence, progress.converged, instances)
