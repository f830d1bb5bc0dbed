"""The look: who holds which key, before an old one is acted on and after the new one is out."""

from __future__ import annotations

from rotator.core.action import Call
from rotator.core.debt_state import Debt
from rotator.core.look import Facts, showing
from rotator.core.plan import Key
from rotator.core.state import Cause
from rotator.counting import count
from rotator.engine import asking, facts
from rotator.engine.job import Job
from rotator.engine.performed import Performed
from rotator.errors import PermanentError
from rotator.journal import credentials
from rotator.model import Evidence


def look(job: Job, call: Call) -> Performed:
    """What stores and consumers hold now, by the playbook of the unit and by today's."""
    playbooks = [job.then] + (
        [job.today] if job.today is not None and job.today is not job.then else []
    )
    held = facts.gather(job.journal, playbooks, job.current(), job.clock.now())
    if call.key is not None and not call.key.fingerprint:
        _none_holds_by_id(job, call.key, held)
    if isinstance(job.unit, Debt) and job.unit.cause in (Cause.ROTATED, Cause.UNDONE):
        _another_lives(job, call.key)
    return job.done(held, _clear_of_it(job, call, held))


def _clear_of_it(job: Job, call: Call, held: Facts) -> str:
    """How many of the consumers show to be clear of the key that is to die."""
    if all(consumer.evidence is Evidence.NONE for consumer in held.consumers):
        return ""
    staying = job.rotation.new if call.step == "verify" else None
    shown = showing(held, call.key or Key(), staying)
    how = f" ({shown[0].evidence})" if shown else ""
    return (
        f"{len(shown)} of {count(len(held.consumers), 'consumer shows', 'consumers show')} it{how}"
    )


def _none_holds_by_id(job: Job, key: Key, held: Facts) -> None:
    """A key whose value nobody knew (a swept one) is compared by its id with what the stores hold.

    Raises PermanentError where one of them may be it.
    """
    with job.journal.database.read() as connection:
        for store in held.stores:
            if not store.fingerprint:
                continue
            known = credentials.known(connection, job.then.name, store.fingerprint)
            if known is None or not known.id or known.id == key.id:
                raise PermanentError(
                    f"{store.name} holds {known or 'a key that this journal does not know'},"
                    f" which may be {key}"
                )


def _another_lives(job: Job, dying: Key | None) -> None:
    """Raises PermanentError where the key in force is refused: then the one that is to die may
    be the last.
    """
    current = job.current()
    if current is not None and asking.surely_refused(job.then, current):
        hint = f"rotate to a new one: `rotate {job.then.name}`"
        raise PermanentError(
            f"the key in force {current.id or current.hint} is refused itself, and {dying} lives",
            hint,
        )
