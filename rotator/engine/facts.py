"""Reading the world for a look: what every store and every consumer holds now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.journal import versions
from rotator.journal.journal import Journal
from rotator.model import Change, Credential, Evidence, Progress
from rotator.playbook.playbook import ConsumerEntry, Playbook, StoreEntry


def gather(
    journal: Journal, playbooks: Iterable[Playbook], current: Credential | None, now: float
) -> Facts:
    """Facts of the rotation's playbook and of today's, each store and consumer once."""
    stores: list[tuple[StoreEntry, StoreFact]] = []
    consumers: list[tuple[ConsumerEntry, Evidence, Evidence]] = []
    for playbook in playbooks:
        plan, known = playbook.plan, [(one.name, one.store) for one, _ in stores]
        several = Counter(one.name for one in playbook.stores)
        stores += [
            (entry, _store(journal, playbook.name, entry))
            for entry in playbook.stores
            if _is_another(entry.name, entry.store, known, several)
        ]
        asked = [(one.name, one.restarter) for one, *_ in consumers]
        several = Counter(one.name for one in playbook.consumers)
        consumers += [
            (consumer, wanted.evidence, playbook.shape.evidence)
            for wanted, consumer in zip(plan.consumers, playbook.consumers, strict=True)
            if _is_another(consumer.name, consumer.restarter, asked, several)
        ]
    since = max((fact.written_at or 0.0 for _, fact in stores), default=0.0)
    change = Change("look", since, current or Credential({}))
    found = tuple(_consumer(journal, *one, change) for one in consumers)
    return Facts(tuple(fact for _, fact in stores), found, now)


def _is_another(
    name: str, plugin: object, known: Sequence[tuple[str, object]], several: Mapping[str, int]
) -> bool:
    """Whether it is none that an earlier playbook has (`known`): by its name, and where one of a
    name is several, as a container of one name on each of two engines, by all that it says.
    """
    others = [other for its_name, other in known if its_name == name]
    return not others or (several[name] > 1 and plugin not in others)


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
