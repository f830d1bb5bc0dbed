"""The calls that end an old key: revoke, prove it dead, retire what stores keep of it."""

from __future__ import annotations

from rotator.core.action import Call, Later, Swept
from rotator.core.debt_state import Debt, Proof
from rotator.core.plan import Key
from rotator.engine import asking
from rotator.engine.job import Job
from rotator.engine.orphans import find_orphans
from rotator.engine.performed import Performed
from rotator.errors import PermanentError, TransientError, Unsupported
from rotator.model import Credential, KeyRecord
from rotator.plugin.monitor import Monitor

# Seconds until probes are asked again that nothing can answer before a new key is out
_ASK_AGAIN_IN = 30.0


def revoke(job: Job, call: Call) -> Performed:
    job.then.provider.revoke(_known(job, call))
    return job.done(detail=str(call.key))


def deactivate(job: Job, call: Call) -> Performed:
    job.then.provider.deactivate(_known(job, call))
    return job.done(detail=str(call.key))


def _known(job: Job, call: Call) -> Credential:
    """The credential of a key that somebody could tell from others.

    Of one known by its hint alone (a store held it once) no provider can say anything; that an
    inventory lacks it would be a proof of every such key's death.
    """
    credential = job.credential(call.key)
    if not credential.id and not credential.values:
        raise Unsupported(f"nobody knows the id of {call.key}, nor its value")
    return credential


def reactivate(job: Job, call: Call) -> Performed:
    job.then.provider.reactivate(job.credential(call.key))
    return job.done(detail=str(call.key))


def quiet(job: Job, call: Call) -> Performed:
    """When it was last used, as late as the provider may tell it.

    A key that the list lacks is not a quiet one.
    """
    record = _listed(job, call.key)
    if record is None and not asking.is_refused(job.then, job.with_value(call.key)):
        raise PermanentError(f"the provider's list does not show {call.key}")
    used = record.last_used_at if record else None
    return job.done(used + job.then.provider.usage_lag if used is not None else None)


def _listed(job: Job, key: Key | None) -> KeyRecord | None:
    """The provider's record of the key, None where its list does not show it."""
    records = job.then.provider.inventory()
    return next((record for record in records if key and record.id == key.id), None)


def watch(job: Job, call: Call) -> Performed:
    """The playbook's probes, with the key in force: does everything still work without the old?"""
    credential = job.current() or _in_a_store(job)
    if credential is None or not credential.values:
        return job.done()
    if _was_killed(job, credential):  # refused because we revoked it
        return Performed(
            Later(job.clock.now(), _ASK_AGAIN_IN, text="consumers have no new key yet")
        )
    for probe in job.then.probes:
        probe.probe(credential)
    return job.done(detail=_monitored(job.then.monitor))


def _monitored(monitor: Monitor | None) -> str:
    """Raises PermanentError where consumers fail. One that cannot tell is no failure: the probes
    watch all the same, and what is unknown gives no key back.
    """
    if monitor is None:
        return ""
    try:
        too_much = monitor.reading()
    except TransientError as error:
        return f"the monitor cannot tell: {error.message}"
    if too_much:
        raise PermanentError(too_much, "who still uses the old key? `rotator show` says which")
    return ""


def _in_a_store(job: Job) -> Credential | None:
    for entry in job.then.stores:
        held = entry.store.read()
        if held and held.values:
            return job.then.credential_in(held)
    return None


def suspect(job: Job, call: Call) -> Performed:
    """Whether a key that a lost create may have left is surely unused."""
    record = _listed(job, call.key)
    return job.done(record is None or (not record.active and record.last_used_at is None))


def prove(job: Job, call: Call) -> Performed:
    """Whether the key is dead, and what shows it: the provider's own probe; where it has none,
    the playbook's that ask with the key.
    """
    credential = _known(job, call)
    if not credential.values:
        return job.done(Proof.UNLISTED if _is_gone(job, call.key) else Proof.NONE)
    refused, current = asking.refused_anywhere(job.then, credential), job.current()
    another = current is not None and bool(current.values) and current.primary != credential.primary
    if refused and another and current is not None and asking.surely_refused(job.then, current):
        if _was_killed(job, current):  # refused because we revoked it: the list decides
            gone = not job.then.provider.can_list or _is_gone(job, call.key)
            return job.done(Proof.REFUSED if gone else Proof.NONE)
        raise PermanentError(
            f"the provider refuses the key in force as well: that proves nothing of {call.key}"
        )
    return job.done(Proof.REFUSED if refused else Proof.NONE)


def _is_gone(job: Job, key: Key | None) -> bool:
    """The provider does not list it as active any more."""
    return key is not None and key.id not in {
        record.id for record in job.then.provider.inventory() if record.active
    }


def _was_killed(job: Job, current: Credential) -> bool:
    """Whether this key was ordered to die at once."""
    key = job.journal.key_of(current)
    return any(debt.at_once and debt.key.same(key) for debt in job.case.debts)


def retire(job: Job, call: Call) -> Performed:
    assert isinstance(job.unit, Debt)
    version = job.unit.versions[call.target] if call.target < len(job.unit.versions) else ""
    job.then.stores[call.target].store.retire(version)
    return job.done()


def sweep(job: Job, call: Call) -> Performed:
    return job.done(Swept(find_orphans(job.journal, job.then, job.case)))
