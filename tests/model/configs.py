"""The configurations whose every state is walked: in short, whole in CI's proof, and in pairs
beside faults.
"""

from __future__ import annotations

import itertools
from typing import Any

from rotator.model import Overlap, Recovery
from tests.model.world import Config

KINDS = [
    (Overlap.MANY, Recovery.LABEL, True),
    (Overlap.MANY, Recovery.LABEL, False),
    (Overlap.MANY, Recovery.DIFFERENCE, True),
    (Overlap.MANY, Recovery.NONE, False),
    (Overlap.TWO_SLOTS, Recovery.REREAD, False),
    (Overlap.NONE, Recovery.REREAD, False),
    (Overlap.NONE, Recovery.LABEL, False),
]


_LISTED = (Recovery.LABEL, Recovery.DIFFERENCE)  # without a list no id can be held against another


def configs(full: bool = True) -> list[Config]:
    """Every combination with one fault and one stranger, and every kind with two faults; in short,
    one of each.

    Regret after the pivot makes large worlds, most of all beside an older debt: that is walked in
    full for two of them.
    """
    wide = [
        Config(
            stores,
            consumers,
            overlap,
            recovery,
            off,
            compromised,
            prior,
            regret=_regrets(stores, consumers, prior),
        )
        for (overlap, recovery, off), stores, consumers, compromised, prior in itertools.product(
            KINDS,
            (1, 2) if full else (1,),
            (0, 1, 2) if full else (1,),
            (False, True),
            (False, True),
        )
        if stores + consumers < 4 or not prior  # what interacts there is in the smaller ones
    ]
    deep = [
        Config(overlap=overlap, recovery=recovery, can_deactivate=off, faults=2)
        for overlap, recovery, off in KINDS
    ]
    kills = [
        Config(overlap=overlap, recovery=recovery, can_deactivate=off, kills=True, strangers=0)
        for overlap, recovery, off in KINDS
    ]
    kills += [
        Config(kills=True, revokes=False, strangers=0),
        Config(kills=True, prior_debt=True, faults=0),
    ]
    slow = [
        Config(
            overlap=overlap,
            recovery=recovery,
            can_deactivate=off,
            slowly=True,
            strangers=luck,
            deaths=1 - luck,
        )
        for (overlap, recovery, off), luck in itertools.product(KINDS, (0, 1))
    ]
    slow += [Config(slowly=True, kills=True, strangers=0), Config(slowly=True, consumers=2)]
    both = [Config(can_deactivate=off, prior_debt=True, regret=True) for off in (True, False)]
    found = (
        wide
        + believed(beside_faults=False)
        + (
            deep + slow + both + kills + believed(beside_faults=True)
            if full
            else kills[:1] + slow[:1]
        )
    )
    return list(dict.fromkeys(found))


# What rotator may wrongly believe: ids that disagree, hints that tell little, stores that hold
# nothing or a stranger's key, an old key that dies at any moment, a journal from before.
BELIEFS: list[dict[str, Any]] = [
    {"answers": "unknown"},
    {"answers": "old"},
    {"first": True},
    {"first": True, "hints": "thin"},
    {"hints": "thin"},
    {"start": "nothing"},
    {"start": "strange"},
    {"first": True, "start": "strange", "hints": "thin"},
    {"deaths": 1},
    {"older_journal": True},
]


def believed(beside_faults: bool) -> list[Config]:
    """Each belief alone beside a fault and a stranger, and all pairs: without, or beside a fault,
    too.
    """
    found = {}
    for (overlap, recovery, off), compromised in itertools.product(KINDS, (False, True)):
        kind = {
            "overlap": overlap,
            "recovery": recovery,
            "can_deactivate": off,
            "compromised": compromised,
        }
        for one, other in itertools.combinations_with_replacement(BELIEFS, 2):
            both = {**one, **other}
            if "answers" in both and recovery not in _LISTED:
                continue
            luck = int(one is other or beside_faults)
            older = both.get(
                "older_journal", False
            )  # what strangers did since no journal from before can know
            config = Config(
                **kind,
                **both,
                faults=luck * (not older or beside_faults),
                strangers=luck * (not older),
            )
            found[config] = config
    return list(found)


def _regrets(stores: int, consumers: int, prior: bool) -> bool:
    return not prior and stores + consumers <= 2
