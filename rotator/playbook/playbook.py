"""A playbook that loaded: its plugins made, ready for the engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rotator.core.plan import ConsumerPlan, Plan, StorePlan
from rotator.model import Credential, Evidence, Held
from rotator.playbook import blackouts, locality
from rotator.playbook.blackouts import Blackouts
from rotator.playbook.schema import ANY_NODE, Shape
from rotator.plugin import Probe, Provider, Restarter, Store
from rotator.plugin.channel import Channel, Kind
from rotator.plugin.monitor import Monitor
from rotator.schedules.rules import Due, Rules


@dataclass(frozen=True)
class StoreEntry:
    """`name` is its name in the journal, and for people; no other store of the playbook has it.
    `entry` is the number of its entry there, from 0: one may mean several.
    """

    name: str
    store: Store
    follows: bool = False
    create: bool = False  # it may hold nothing: the key that is made is its first
    entry: int = 0

    def as_it_writes(self, credential: Credential) -> Credential:
        """How the key stands in this store, by the name that the store gives itself."""
        if self.name == self.store.name:
            return credential
        own = credential.spelled.get(self.name)
        spelled = {} if own is None else {self.store.name: own}
        return replace(credential, spelled=spelled)


@dataclass(frozen=True)
class ConsumerEntry:
    name: str
    restarter: Restarter
    allow_unhealthy: bool = False


@dataclass(frozen=True)
class ChannelEntry:
    """Who is told of what. `name` is its name in the journal, and for people; `before` is in
    seconds.
    """

    name: str
    channel: Channel
    when: tuple[Kind, ...]
    before: float | None = None


@dataclass(frozen=True)
class Playbook:
    """What to rotate, how and when. `definition` is the YAML's data with absolute paths, which a
    rotation keeps.

    `written` is the data as a person wrote it; its relative paths begin in `folder`, and programs
    run there. `blackouts` are those that are not written out in it.
    """

    name: str
    file: str
    shape: Shape
    provider_name: str
    provider: Provider
    stores: tuple[StoreEntry, ...]
    consumers: tuple[ConsumerEntry, ...]
    probes: tuple[Probe, ...]
    definition: Mapping[str, Any] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    blackouts: Blackouts = blackouts.NONE
    channels: tuple[ChannelEntry, ...] = ()
    monitor: Monitor | None = None
    series: str = ""  # the name of its file, where that makes several
    # The other keys of its pool: their playbooks' names and stores
    pool: tuple[tuple[str, tuple[StoreEntry, ...]], ...] = ()

    @property
    def plan(self) -> Plan:
        """As far as the saga must know it."""
        wanted = self.shape.evidence
        return Plan(
            stores=tuple(StorePlan(e.name, e.follows, e.store.write_only) for e in self.stores),
            consumers=tuple(
                ConsumerPlan(e.name, _evidence(wanted, e.restarter.evidence))
                for e in self.consumers
            ),
            overlap=self.provider.overlap,
            recovery=self.provider.recovery,
            supplied=self.provider.supplied,
            can_deactivate=self.provider.can_deactivate,
            can_list=self.provider.can_list,
            quota=self.provider.quota,
            tells_use=self.provider.tells_use and self.provider.can_list,
            policy=self.shape.policy(
                self.provider.list_lag, self.provider.propagation, self.provider.revocation
            ),
        )

    def credential_in(self, held: Held) -> Credential:
        """What a store holds, with its id where what stands beside the value tells it."""
        return Credential(held.values or {}, self.provider.id_of(held.beside))

    # --- where it runs ---
    @cached_property
    def local_places(self) -> tuple[str, ...]:
        """Stores and consumers that are on the machine where rotator runs."""
        return locality.places(
            [("store", one.name, one.store) for one in self.stores]
            + [("consumer", one.name, one.restarter) for one in self.consumers]
        )

    @cached_property
    def local(self) -> tuple[str, ...]:
        """All of it that is on that machine: besides, what else it asks there, and the secrets that
        it takes from there.
        """
        others: list[tuple[str, str, Any]] = [("provider", self.provider_name, self.provider)]
        others += [("probe", one.name, one) for one in self.probes]
        parts = [self.provider, *self.probes]
        parts += [entry.store for entry in self.stores]
        parts += [entry.restarter for entry in self.consumers]
        return (*self.local_places, *locality.places(others), *locality.secrets(parts))

    @property
    def anywhere(self) -> bool:
        """Whether it says of itself that each node has what it works with."""
        return ANY_NODE in self.shape.on

    # --- its schedule; `counts_from` is the moment that its last success belonged to (Unix
    # seconds); at `renew` its key is to be replaced because it ends ---
    @cached_property
    def _rules(self) -> Rules | None:
        schedule = self.shape.schedule
        others = self.blackouts.found
        return schedule.rules(self.name, self.shape.max_age, others) if schedule else None

    def due(self, counts_from: float | None, now: float, renew: float | None = None) -> Due | None:
        """When it is due next, and may begin; None without a schedule: then it is rotated by a
        person, whenever its key ends.
        """
        return self._rules.due(counts_from, now, renew) if self._rules else None

    def is_due(
        self,
        counts_from: float | None,
        now: float,
        renew: float | None = None,
        exactly: bool = False,
    ) -> bool:
        """Whether a timer that comes now begins it; `exactly`: one that comes at each moment."""
        return self._rules is not None and self._rules.is_due(counts_from, now, renew, exactly)

    def belongs_to(self, counts_from: float | None, now: float) -> float:
        """The due moment of a rotation that a timer begins now."""
        return self._rules.belongs_to(counts_from, now) if self._rules else now

    @property
    def when(self) -> str:
        """Its schedule as one text, '' without one: another text means another schedule."""
        if self.shape.schedule is None:
            return ""
        age = "" if self.shape.max_age is None else f" max_age={self.shape.max_age:g}"
        usual = self.shape.schedule.text + age * bool(self.shape.schedule.window)
        return usual + self.blackouts.text


_STRENGTH = (Evidence.NONE, Evidence.ANSWERS, Evidence.STARTED, Evidence.READ)


def _evidence(wanted: Evidence, best: Evidence) -> Evidence:
    """The strongest that the restarter can show, where the playbook wants any."""
    return Evidence.NONE if wanted is Evidence.NONE else best


def weaker(best: Evidence, wanted: Evidence) -> bool:
    """Whether the best that can be shown is less than what the playbook wants."""
    return _STRENGTH.index(best) < _STRENGTH.index(wanted)


def as_pool(playbooks: list[Playbook]) -> list[Playbook]:
    """Each knows the other keys of the pool."""
    return [
        replace(one, pool=tuple((each.name, each.stores) for each in playbooks if each is not one))
        for one in playbooks
    ]
