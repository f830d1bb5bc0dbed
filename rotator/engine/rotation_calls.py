"""The calls of a rotation: preflight, generate, write, restart, verify and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from rotator.core.action import Call, Later, Read, Written
from rotator.core.plan import Key
from rotator.engine import asking, diagnosis, recovery, together
from rotator.engine.job import Job
from rotator.engine.performed import Performed
from rotator.engine.preflight import check
from rotator.errors import PermanentError, Unsupported
from rotator.journal import credentials
from rotator.model import Change, Credential, Note, NotYet, Recovery
from rotator.plugin import Fitting, InSteps, Nudged, Provider
from rotator.secret import Secret

_FINDINGS = 8  # in the line of the step


def preflight(job: Job, call: Call) -> Performed:
    together.join(job)
    checked = check(job.journal, job.then, job.rotation, job.case.debts)
    keep = ((checked.ready.old, checked.old),) if checked.old and checked.ready.old else ()
    texts = [finding.text for finding in checked.findings if finding.level != "warning"]
    return job.done(checked.ready, _shortly(texts), keep=keep, findings=checked.findings)


def snapshot(job: Job, call: Call) -> Performed:
    if job.then.provider.recovery is Recovery.DIFFERENCE:
        return job.done(tuple(record.id for record in job.then.provider.inventory()))
    slot = job.then.provider.reread(job.credential(job.rotation.old) if job.rotation.old else None)
    return job.done((job.journal.fingerprint(slot.values),) if slot else ())


def generate(job: Job, call: Call) -> Performed:
    like = job.credential(job.rotation.old) if job.rotation.old else None
    provider, label = job.then.provider, job.label(call.attempt)
    if call.handle and isinstance(provider, InSteps):
        answer = provider.proceed(label, like, call.handle)
    else:
        answer = provider.generate(label, like)
    if isinstance(answer, NotYet):
        return Performed(Later(job.clock.now(), answer.retry_in, answer.handle, answer.text))
    key = job.journal.key_of(answer)
    return job.done(key, _named(key), keep=((key, answer),))


def recover(job: Job, call: Call) -> Performed:
    left = recovery.left_by_a_lost_create(job, call.attempt)
    return job.done(left.recovered, keep=(left.value,) if left.value else ())


def recognise(job: Job, call: Call) -> Performed:
    assert call.key is not None
    return job.done(recovery.shows(job, call.key, call.attempt))


def read(job: Job, call: Call) -> Performed:
    store = job.then.stores[call.target].store
    held = store.read()
    if held is None:
        return job.done(Read("", ""))
    fingerprint = job.journal.fingerprint(held.values) if held.values is not None else None
    mine = call.key is not None and fingerprint == call.key.fingerprint
    if not mine and job.then.stores[call.target].follows and isinstance(store, Nudged):
        store.nudge(f"{job.rotation.id}.{call.step}")
    version = (job.then.stores[call.target].name, held.version, fingerprint or "") if mine else None
    return job.done(Read(fingerprint, held.version), store_version=version)


def write(job: Job, call: Call) -> Performed:
    entry = job.then.stores[call.target]
    credential = job.with_value(call.key)
    credential = replace(credential, beside=job.then.provider.beside(credential))
    note = Note(credential.id, job.journal.installation, job.rotation.id, job.clock.now())
    entry.store.tidy(call.expect)
    version = entry.store.write(entry.as_it_writes(credential), call.expect, note)
    fingerprint = job.journal.fingerprint(credential.values)
    return job.done(Written(version), entry.name, store_version=(entry.name, version, fingerprint))


def _change(job: Job, call: Call) -> Change:
    undoing = call.step == "undo"
    name = f"{job.rotation.id}.{'undo' if undoing else 'new'}.{call.round}"
    as_before = partial(_as_before, job) if undoing else None
    return Change(name, job.rotation.restart_since, job.credential(call.key), as_before=as_before)


def _as_before(job: Job, shown: Secret) -> bool:
    """Whether an instance showed this before the rotation changed anything."""
    fingerprint, new = job.journal.fingerprint({"key": shown}), job.rotation.new
    return fingerprint in job.rotation.shown and (new is None or fingerprint != new.fingerprint)


def restart(job: Job, call: Call) -> Performed:
    return together.restart(job, call, _change(job, call))


def progress(job: Job, call: Call) -> Performed:
    entry = job.then.consumers[call.target]
    change = together.followed(job, call, _change(job, call))
    progress = entry.restarter.progress(change)
    if progress.converged:
        return job.done(detail=f"{entry.name} {progress.current}/{progress.total}")
    waited = job.clock.now() - job.rotation.since
    words = diagnosis.of(entry.name, progress, change, job.rotation.old, partial(_whose, job))
    ask_again_in = min(progress.again, max(0.05, waited / 8))
    return Performed(Later(job.clock.now(), ask_again_in, text=words))


def _whose(job: Job, value: Secret) -> Key | None:
    """The key with this value, None where the journal does not know it."""
    fingerprint = job.journal.fingerprint({"key": value})
    with job.journal.database.read() as connection:
        return credentials.known(connection, job.then.name, fingerprint)


def probe(job: Job, call: Call) -> Performed:
    """The key by itself, at its provider; by the playbook's probes where the
    provider has none.
    """
    credential = job.with_value(call.key)
    if call.step == "generate" and job.rotation.passes == 0:
        _must_fit(job, credential)
    try:
        job.then.provider.probe(credential)
    except Unsupported:
        for probe in job.then.probes:
            if probe.name != "provider":
                probe.probe(credential)
    return job.done(detail=_named(call.key) if call.key else "")


def _must_fit(job: Job, credential: Credential) -> None:
    """Each store can write the new key so that whoever reads it there gets it: before the first
    is written.
    """
    credential = replace(credential, beside=job.then.provider.beside(credential))
    for entry in job.then.stores:
        if isinstance(entry.store, Fitting) and not entry.follows:
            entry.store.fits([credential])


def accept(job: Job, call: Call) -> Performed:
    """The new key by itself, never through a consumer: those may be between two keys."""
    asking.must_be_accepted(job.then, job.with_value(call.key))
    return job.done()


def verify(job: Job, call: Call) -> Performed:
    credential = job.with_value(call.key)
    for probe in job.then.probes:
        probe.probe(credential)
    if job.rotation.passes == 0:
        _parity(job, credential)
    return job.done(detail=" · ".join(probe.name for probe in job.then.probes))


def _parity(job: Job, new: Credential) -> None:
    """The new key must see the same organisation and models as the old one."""
    rotation = job.rotation
    if (
        rotation.old is None
        or rotation.forward_only
        or all(probe.name != "provider" for probe in job.then.probes)
    ):
        return
    old = job.credential(rotation.old)
    if old.values:
        compare(job.then.provider, old, new)


def compare(provider: Provider, old: Credential, new: Credential) -> None:
    """Raises PermanentError where the new key shows another organisation or other models."""
    try:
        before = provider.probe(old).facts
    except PermanentError:  # it died meanwhile, or shows nothing: nothing to compare with
        return
    after = provider.probe(new).facts
    other = [name for name, value in before.items() if after.get(name, value) != value]
    if other:
        raise PermanentError(
            f"the new key does not see the same {' and '.join(other)} as the old one",
            "is it made in the same project, with the same permissions?",
        )


def _shortly(texts: Sequence[str]) -> str:
    """The first findings in one line; `rotator plan` lists all of them."""
    more = len(texts) - _FINDINGS
    return " · ".join([*texts[:_FINDINGS], *([f"and {more} more"] if more > 0 else [])])


def _named(key: Key) -> str:
    """A key as people recognise it."""
    return f"{key} ({key.hint})" if key.id and len(key.hint) > 1 else str(key)
