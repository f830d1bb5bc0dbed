"""Which of the provider's keys is ours: what a lost create left, and whether a new key is shown as
it was answered.

Nothing is destroyed on the word of a list that does not show the keys in force, nor where a store
or a running instance holds what was found: after an old journal was restored, "what a lost create
left" may be the key in production.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rotator.core import identity, lost, recognise, sweep
from rotator.core.action import Recognised, Recovered
from rotator.core.lost import Lost, Strange
from rotator.core.plan import Key
from rotator.engine import facts
from rotator.engine.job import Job
from rotator.errors import Rejected, RotatorError
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal
from rotator.model import Credential, Held, KeyRecord, Recovery
from rotator.playbook.playbook import Playbook
from rotator.secret import Secret, hint_of

_SLACK = 5.0  # seconds that a provider's clock may be off when a new key is told from an older one


@dataclass(frozen=True, slots=True)
class Found:
    """What recovery found, and the value of a key that turned out to be in force."""

    recovered: Recovered
    value: tuple[Key, Credential] | None = None


def shows(job: Job, new: Key, attempt: int) -> Recognised:
    """Whether the provider shows the new key, by the kind of list that it has."""
    provider, before = job.then.provider, job.rotation.snapshot
    with job.journal.database.read() as connection:
        others = credentials.ids_of_others(connection, job.then.name, new.fingerprint)
    if provider.recovery is Recovery.REREAD:
        slot = _slot(job)
        return recognise.in_slot(
            job.journal.fingerprint(slot.values) if slot else None, new, before
        )
    if provider.recovery is Recovery.DIFFERENCE:
        return recognise.by_difference(provider.inventory(), new, (*before, *others))
    value = job.with_value(new).primary.reveal()
    records = provider.inventory()
    if mistaken := _hint_tells_nothing(job, value, records):
        return mistaken

    def fits(record: KeyRecord) -> bool:
        return identity.agreement(record, value, "") is not None

    return recognise.by_label(records, new, job.label(attempt), (*before, *others), fits)


def _hint_tells_nothing(job: Job, value: str, records: Sequence[KeyRecord]) -> Recognised | None:
    """The old key was found by its hint in this rotation, and the new value fits that hint, too: so
    may anybody's.
    """
    old, name = job.rotation.old, job.then.name
    if old is None:
        return None
    with job.journal.database.read() as connection:
        by_hint = credentials.seen_first_in(connection, name, old) == job.rotation.id
    record = next((one for one in records if by_hint and one.id == old.id), None)
    literal = job.then.provider.literal_prefix(Secret(value))
    if record is None or (identity.agreement(record, value, literal) or 0) < identity.ENOUGH:
        return None
    return Recognised(
        problem=(
            f"the hint {record.hint}, by which {old.id} was taken for the old key, fits the new one"
            " as well"
        ),
        hint=(
            f"say which key the stores hold: `rotator undo {name}`, then `rotator adopt {name}"
            " --id ID`"
        ),
    )


def left_by_a_lost_create(job: Job, attempt: int) -> Found:
    """What the create of this attempt left, by the kind that the provider declares."""
    provider = job.then.provider
    match provider.recovery:
        case Recovery.REREAD:
            return _in_the_slot(job)
        case Recovery.NONE:
            return Found(
                Recovered(ambiguous="the answer to a create was lost and the provider cannot list")
            )
    records = provider.inventory()
    label = job.label(attempt)
    if provider.recovery is Recovery.LABEL:
        seen = Lost(sweep.left_by(records, label), later=sweep.of_later_attempts(records, label))
        candidates = seen.left
    else:
        before = {
            *job.rotation.snapshot,
            *_known_ids(job),
        }  # a snapshot may lag behind, too
        seen = Lost(*sweep.new_since(records, before, job.rotation.asked_at, _SLACK))
        candidates = tuple(
            Key(record.id, "", record.hint) for record in records if record.id not in before
        )
    if not candidates:
        return Found(lost.what_it_left(seen))
    values: dict[str, Mapping[str, Secret]] = {}
    recovered = lost.what_it_left(_looked_at(job, seen, candidates, records, values))
    current = recovered.reread
    if current is None:
        return Found(recovered)
    value = Credential(
        values[current.fingerprint], current.id, hint_of(_primary(values[current.fingerprint]))
    )
    current = replace(current, hint=value.hint)
    return Found(replace(recovered, reread=current), (current, value))


def not_shown(
    journal: Journal, playbook: Playbook, in_force: Iterable[Key], records: Sequence[KeyRecord]
) -> tuple[Key, ...]:
    """Keys in force that the list lacks. One that its provider refuses is not in force any more."""
    return tuple(
        key for key in sweep.not_shown(in_force, records) if not _refused(journal, playbook, key)
    )


def _refused(journal: Journal, playbook: Playbook, key: Key) -> bool:
    with journal.database.read() as connection:
        credential = credentials.value_of(connection, journal.sealer, playbook.name, key)
    held = [entry.store.read() for entry in playbook.stores] if credential is None else []
    values = [found.values for found in held if found is not None and found.values is not None]
    values = [found for found in values if journal.fingerprint(found) == key.fingerprint]
    values += [credential.values] if credential is not None else []
    try:
        for found in values[:1]:
            playbook.provider.probe(Credential(found, key.id, key.hint))
    except RotatorError as error:
        return isinstance(error, Rejected)
    return False


def _old(job: Job) -> tuple[Key, ...]:
    old = job.rotation.old
    return (old,) if old is not None else ()


def _known_ids(job: Job) -> tuple[str, ...]:
    """Every key of this playbook that the journal ever saw: none of them is what a lost create
    left.
    """
    with job.journal.database.read() as connection:
        return credentials.ids(connection, job.then.name)


def _slot(job: Job) -> Credential | None:
    old = job.rotation.old
    return job.then.provider.reread(job.credential(old) if old else None)


def _in_the_slot(job: Job) -> Found:
    slot = _slot(job)
    if slot is None or job.journal.fingerprint(slot.values) in job.rotation.snapshot:
        return Found(Recovered())
    key = job.journal.key_of(slot)
    return Found(Recovered(reread=key), (key, slot))


# --- who holds what was found? ---
def _looked_at(
    job: Job,
    seen: Lost,
    candidates: Sequence[Key],
    records: Sequence[KeyRecord],
    values: dict[str, Mapping[str, Secret]],
) -> Lost:
    """With what stores and instances hold that this journal never saw; `values` gets what stands in
    the stores.
    """
    strange: list[Strange] = []
    blind: list[str] = []
    for index, entry in enumerate(job.then.stores):
        held, writes = entry.store.read(), job.rotation.writes
        if held is None:
            continue
        if held.values is None:
            if index >= len(writes) or held.version != writes[index].replaced:
                blind.append(entry.name)
            continue
        fingerprint = job.journal.fingerprint(held.values)
        if not _known(job, fingerprint):
            may_be = tuple(key for key in candidates if _is(job, held, key))
            strange.append(Strange(entry.name, fingerprint, may_be))
            values[fingerprint] = held.values
    used = {record.id for record in records if record.last_used_at is not None}
    return replace(
        seen,
        candidates=tuple(candidates),
        strange=tuple(strange),
        blind=tuple(blind),
        shown=_shown_by_instances(job),
        used=tuple(key for key in seen.left if key.id in used),
        hidden=not_shown(job.journal, job.then, _old(job), records),
    )


def _primary(values: Mapping[str, Secret]) -> str:
    return next(iter(values.values())).reveal()


def _known(job: Job, fingerprint: str) -> bool:
    old = job.rotation.old
    if old is not None and old.fingerprint == fingerprint:
        return True
    with job.journal.database.read() as connection:
        return credentials.known(connection, job.then.name, fingerprint) is not None


def _shown_by_instances(job: Job) -> frozenset[str]:
    """Fingerprints that running instances show and the journal never saw."""
    playbooks = [job.then]
    found = facts.gather(job.journal, playbooks, _current(job), job.clock.now())
    prints = {
        one.fingerprint
        for consumer in found.consumers
        for one in consumer.instances
        if one.fingerprint
    }
    return frozenset(one for one in prints if not _known(job, one))


def _current(job: Job) -> Credential | None:
    with job.journal.database.read() as connection:
        key = cases.current_key(connection, job.then.name)
    return job.credential(key) if key else None


def _is(job: Job, held: Held, key: Key) -> bool:
    """Whether what a store holds is this key: by the id beside it, its note, or enough characters
    of the hint.
    """
    provider, values = job.then.provider, held.values or {}
    if beside := provider.id_of(held.beside):
        return key.id == beside
    value = _primary(values)
    agreeing = identity.agreement(
        KeyRecord(key.id, hint=key.hint), value, provider.literal_prefix(Secret(value))
    )
    if agreeing is None:
        return False
    noted = held.note.key_id if held.note is not None else ""
    return key.id == noted if noted else agreeing >= identity.ENOUGH
