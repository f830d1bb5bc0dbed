"""The baseline: what stores and consumers must hold before a new key is made. A verdict over facts
that were read.

A store that holds nothing, or another key, is most often a wrong path, variable or field: the new
key would be written to where nobody reads it, and the key that is in use would be revoked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rotator.core.look import ConsumerFact
from rotator.model import Evidence


@dataclass(frozen=True, slots=True)
class StoreState:
    """What one store holds. `fingerprint`: "" holds nothing, None cannot tell (write-only).

    `create`: it may hold nothing. `follows`: a controller fills it; `lagging`: so short a time
    after our last write that an earlier key of ours is no wonder. Of a write-only store: `wrote` is
    the fingerprint that is there by its version ("" where that tells nothing), `changed` that
    neither version nor note is of a write of ours.
    """

    name: str
    fingerprint: str | None
    create: bool = False
    follows: bool = False
    lagging: bool = False
    wrote: str = ""
    changed: bool = False

    @property
    def held(self) -> str:
        return self.wrote if self.fingerprint is None else self.fingerprint


@dataclass(frozen=True, slots=True)
class Baseline:
    """The fingerprint that all stores hold ("" where none tells), and the stores that are to be
    filled.
    """

    fingerprint: str = ""
    fill: tuple[str, ...] = ()


class Why(StrEnum):
    EMPTY = "holds no key"
    LOST = "holds no key any more, though one is in force"
    CHANGED = "was written by somebody else since our last write"
    DISAGREE = "holds another key than the other stores"
    UNKNOWN = "holds a key that the journal does not know"


@dataclass(frozen=True, slots=True)
class Refusal:
    why: Why
    stores: tuple[str, ...]


def baseline(
    stores: Sequence[StoreState],
    current: str,
    own: Collection[str] = (),
    fill_all: bool = False,
    lost: bool = False,
) -> Baseline | Refusal:
    """What the stores hold, or why nothing may be made yet.

    `current` is the fingerprint of the journal's current key ("" where it knows none), `own` those
    of all its keys. `fill_all`: a person ordered that the key die at once; empty stores are filled
    without having been asked. `lost`: the current key is to be replaced although no store holds it
    any more.
    """
    judged = [store for store in stores if not store.lagging]
    prints = dict.fromkeys(store.held for store in judged if store.held)
    if len(prints) > 1:
        return Refusal(Why.DISAGREE, tuple(store.name for store in judged if store.held))
    empty = tuple(store for store in stores if store.fingerprint == "")
    if missing := tuple(store.name for store in empty if not (store.create or fill_all)):
        return Refusal(Why.EMPTY, missing)
    if current and len(empty) == len(stores) and not lost:
        return Refusal(Why.LOST, tuple(store.name for store in stores))
    if changed := tuple(store.name for store in stores if store.changed):
        return Refusal(Why.CHANGED, changed)
    held = next(iter(prints), "")
    if held and current and held != current and held not in own:
        return Refusal(Why.UNKNOWN, tuple(store.name for store in judged if store.held == held))
    return Baseline(held, tuple(store.name for store in empty if not store.follows))


@dataclass(frozen=True, slots=True)
class Shown:
    """Consumers by what they show: `another` key than the stores hold; so do copies that are never
    restarted (`left_alone`); or `nothing`, though they can.
    """

    another: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ()


def shown(consumers: Sequence[ConsumerFact], fingerprint: str) -> Shown:
    """What consumers show whose key can be read.

    `fingerprint` is what the stores hold, "" for no key at all.
    """
    another: list[str] = []
    left_alone: list[str] = []
    nothing: list[str] = []
    for consumer in consumers:
        if consumer.evidence is not Evidence.READ:
            continue
        if not consumer.instances:
            nothing.append(consumer.name)
        for instance in consumer.instances:
            name = f"{consumer.name} {instance.name}".strip()
            if instance.fingerprint is None:
                nothing.append(name)
            elif instance.fingerprint != fingerprint:
                (left_alone if instance.left_alone else another).append(name)
    return Shown(tuple(another), tuple(left_alone), tuple(nothing))
