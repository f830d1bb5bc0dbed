"""Reading the world for a look: what every store and every consumer holds now."""

from __future__ import annotations

from collections.abc import Iterable

from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.journal import versions
from rotator.journal.journal import Journal
from rotator.model import Change, Credential, Evidence, Progress
from rotator.playbook.playbook import ConsumerEntry, Playbook, StoreEntry


def gather(
    journal: Journal, playbooks: Iterable[Playbook], current: Credential | None, now: float
) -> Facts:
    """Facts of the rotation's playbook and of today's, each store and consumer once."""
    stores: dict[str, StoreFact] = {}
    consumers: dict[str, tuple[ConsumerEntry, Evidence, Evidence]] = {}
    for playbook in playbooks:
        plan = playbook.plan
        for entry in playbook.stores:
            if entry.name not in stores:
                stores[entry.name] = _store(journal, playbook.name, entry)
        for wanted, consumer in zip(plan.consumers, playbook.consumers, strict=True):
            consumers.setdefault(
                consumer.name, (consumer, wanted.evidence, playbook.shape.evidence)
            )
    since = max((store.written_at or 0.0 for store in stores.values()), default=0.0)
    change = Change("look", since, current or Credential({}))
    found = tuple(_consumer(journal, *asked, change) for asked in consumers.values())
    return Facts(tuple(stores.values()), found, now)


def _store(journal: Journal, playbook: str, entry: StoreEntry) -> StoreFact:
    held = entry.store.read()
    with journal.database.read() as connection:
        row = versions.last_write(connection, playbook, entry.name)
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


def _consumer(
    journal: Journal, entry: ConsumerEntry, evidence: Evidence, least: Evidence, change: Change
) -> ConsumerFact:
    """`least` is what the playbook wants of each consumer: where that is enough, what cannot be
    read counts by when it started.
    """
    if evidence is Evidence.NONE:
        return ConsumerFact(entry.name, evidence)
    progress = entry.restarter.shown(change)
    untold = least is not Evidence.READ and _read_as_far_as_told(progress)
    return shown(journal, entry, Evidence.STARTED if untold else evidence, progress)


def _read_as_far_as_told(progress: Progress) -> bool:
    """Whether some instance does not tell what it holds, and every other one was read."""
    told = [instance.holds is not None or bool(instance.untold) for instance in progress.instances]
    return all(told) and any(instance.untold for instance in progress.instances)


def shown(
    journal: Journal, entry: ConsumerEntry, evidence: Evidence, progress: Progress
) -> ConsumerFact:
    """What a consumer shows, as the core knows it: fingerprints, no keys."""
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
