"""The look: a pure verdict over freshly read facts.

Who holds a key that is to die, or may still hold it?
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rotator.core.plan import Key
from rotator.model import Evidence

TOLD = 6  # names in a verdict's text


@dataclass(frozen=True, slots=True)
class StoreFact:
    """A store as read now. `fingerprint`: "" holds nothing, None cannot tell what. `ours` says that
    the present version is the one that our write returned; `written_at` is when it was written, if
    that is known.
    """

    name: str
    fingerprint: str | None
    ours: bool = False
    written_at: float | None = None
    # Fingerprint that our last write put there (a write-only store that is still ours holds it)
    wrote: str = ""
    by: str = ""  # who wrote the present version, where the store tells


@dataclass(frozen=True, slots=True)
class InstanceFact:
    """`left_alone`: not restarted for a change (a job that runs to its end); it must be gone before
    a key dies.
    """

    name: str
    started_at: float | None = None
    fingerprint: str | None = None
    left_alone: bool = False


@dataclass(frozen=True, slots=True)
class ConsumerFact:
    name: str
    evidence: Evidence
    converged: bool = False
    instances: tuple[InstanceFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    stores: tuple[StoreFact, ...] = ()
    consumers: tuple[ConsumerFact, ...] = ()
    now: float = float(
        "inf"
    )  # an instance that started later than now was timed by another clock, or before it jumped


@dataclass(frozen=True, slots=True)
class Verdict:
    """`stores` and `instances` hold the dying key; `strangers` are stores that hold neither key;
    `unproven` may still hold the dying one. All by name.
    """

    stores: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()
    strangers: tuple[str, ...] = ()
    unproven: tuple[str, ...] = ()

    @property
    def holders(self) -> tuple[str, ...]:
        return self.stores + self.instances

    @property
    def clear(self) -> bool:
        """Nobody holds the dying key, and nobody may."""
        return not self.holders and not self.unproven

    def words(self, key: str) -> str:
        """The same for people; `key` is how the dying key is called ("the old key", its id)."""
        parts = [f"{name} holds {key}" for name in self.holders]
        parts += [f"{name} holds another key" for name in self.strangers]
        parts += [f"{name} may still hold {key}" for name in self.unproven]
        more = [f"and {len(parts) - TOLD} more"] if len(parts) > TOLD else []
        return "; ".join(parts[:TOLD] + more)


def look(facts: Facts, dying: Key, living: Key | None = None) -> Verdict:
    """Judge whether `dying` may die.

    With `living`, a store that holds anything else is a stranger.
    """
    stores: list[str] = []
    instances: list[str] = []
    strangers: list[str] = []
    unproven: list[str] = []
    for store in facts.stores:
        held = _held(store)
        if held is None:
            unproven.append(store.name)
        elif held and held == dying.fingerprint:
            stores.append(f"{store.name} (written by {store.by})" if store.by else store.name)
        elif living is not None and held != living.fingerprint:
            strangers.append(store.name)
    present = _present_version_time(facts)
    for consumer in facts.consumers:
        _judge(
            _that_matter(consumer, living), dying, living, present, facts.now, instances, unproven
        )
    return Verdict(tuple(stores), tuple(instances), tuple(strangers), tuple(unproven))


def showing(facts: Facts, dying: Key, living: Key | None = None) -> tuple[ConsumerFact, ...]:
    """The consumers of which evidence is wanted that show to be clear of `dying`."""
    present, found = _present_version_time(facts), []
    for consumer in facts.consumers:
        doubts: list[str] = []
        _judge(_that_matter(consumer, living), dying, living, present, facts.now, doubts, doubts)
        if consumer.evidence is not Evidence.NONE and not doubts:
            found.append(consumer)
    return tuple(found)


def _that_matter(consumer: ConsumerFact, living: Key | None) -> ConsumerFact:
    """Those that are left alone hold nobody up but the one who would let the old key die."""
    if living is None:
        return consumer
    return replace(
        consumer, instances=tuple(one for one in consumer.instances if not one.left_alone)
    )


def _held(store: StoreFact) -> str | None:
    if store.fingerprint is not None:
        return store.fingerprint
    return store.wrote if store.ours and store.wrote else None


def _present_version_time(facts: Facts) -> float | None:
    """When the youngest present version was written; None where one store cannot tell (then only
    reading counts).
    """
    times: list[float] = []
    for store in facts.stores:
        if store.written_at is None:
            return None
        times.append(store.written_at)
    return max(times, default=0.0)


def _judge(
    consumer: ConsumerFact,
    dying: Key,
    living: Key | None,
    present: float | None,
    now: float,
    holders: list[str],
    unproven: list[str],
) -> None:
    """An instance is clear if it was read to hold another key (`living`, where that is to be
    brought out), or started after the present version was written.
    """
    if consumer.evidence is Evidence.NONE:
        return
    if not consumer.instances:
        if not consumer.converged:
            unproven.append(consumer.name)
        return
    for instance in consumer.instances:
        name = f"{consumer.name} {instance.name}".strip()
        if instance.fingerprint is not None:
            if instance.fingerprint == dying.fingerprint:
                holders.append(name)
            elif living is not None and instance.fingerprint != living.fingerprint:
                unproven.append(name)
        elif consumer.evidence is Evidence.READ:
            unproven.append(name)
        elif consumer.evidence is Evidence.ANSWERS:
            if not consumer.converged:
                unproven.append(name)
        elif (
            present is None
            or instance.started_at is None
            or not present < instance.started_at <= now
        ):
            unproven.append(name)
