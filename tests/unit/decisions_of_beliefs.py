"""What the core believes of keys, stores and consumers, written down with its other decisions (see
`decisions`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from rotator.core import baseline, identity, incident, look, resume
from rotator.core.baseline import StoreState
from rotator.core.debt_state import DebtPhase
from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.core.plan import ConsumerPlan, Plan, StorePlan
from rotator.core.state import CLOCKS_AGREE, Phase, Rotation
from rotator.model import Evidence, KeyRecord
from tests.unit import decisions as written
from tests.unit.decisions import (
    DEBT,
    DEBTS,
    FACTS,
    NEW,
    NOW,
    OLD,
    OTHER,
    ROTATION,
    ROTATIONS,
    change,
    rows,
    shown,
)

_TODAY = Plan(
    (StorePlan("t"), StorePlan("u", follows=True)), (ConsumerPlan("e"),), policy=written.POLICY
)
_VALUE, _LITERAL = "sk-proj-Abcdefghijklmnopqrstuvwxyzx2Lk", "sk-proj-"


def groups() -> dict[str, Callable[[], Iterator[str]]]:
    found: dict[str, Callable[[], Iterator[str]]] = {}
    for phase in Phase:
        found[f"a rotation in {phase} goes on as today's playbook says"] = lambda phase=phase: (
            _as_today(phase)
        )
    found["an old key is looked for where today's playbook says"] = _owed_as_today
    found["what a rotation that is over leaves open"] = _left_open
    found["which consumers show to be clear of a key"] = _showing
    found["what stores must hold before a key is made"] = _baselines
    found["what consumers show whose key can be read"] = _shown_keys
    found["in how many characters a hint agrees with a key"] = _agreements
    found["which of the provider's keys it is"] = _identities
    return found


def _as_today(phase: Phase) -> Iterator[str]:
    acts: dict[str, Callable[[Any], Any]] = {
        "as today": lambda rotation: resume.as_today(rotation, _TODAY, {"u": "3"}),
        "as today, a key shown": lambda rotation: resume.as_today(rotation, _TODAY, {}, OTHER),
        "as today, from where it is stuck": lambda rotation: _stuck(rotation, phase),
        "as today, where": lambda rotation: _places(_stuck(rotation, phase)),
    }
    situations = {
        **ROTATIONS,
        "no writes yet": {"writes": ()},
        "with words": {"question": "?", "problem": "!", "hint": "so"},
    }
    yield from rows([phase], ROTATION, situations, acts, "")


def _stuck(rotation: Rotation, phase: Phase) -> Rotation:
    return resume.as_today(
        replace(rotation, phase=Phase.STUCK, came_from=phase, question="?"), _TODAY, {"u": "3"}
    )


def _places(rotation: Rotation) -> Any:
    return rotation.plan.stores, rotation.plan.consumers


def _owed_as_today() -> Iterator[str]:
    for phase, versions in itertools.product(DebtPhase, ((), ("1",), ("1", "7"))):
        for name, changes in DEBTS.items():
            debt = replace(DEBT, phase=phase, **{"versions": versions, **changes})
            taken = resume.owed_as_today(debt, _TODAY)
            where = shown((taken.plan.stores, taken.plan.consumers))
            yield f"{phase}, {versions}, {name} → {change(debt, taken)} {where}"


def _left_open() -> Iterator[str]:
    yield f"none → {shown(incident.left_open(None))}"
    for phase, orphan in itertools.product(Phase, ("", "attempt 1 of r")):
        rotation = replace(ROTATION, phase=phase, possible_orphan=orphan)
        yield f"{phase}, {orphan!r} → {shown(incident.left_open(rotation))}"


def _showing() -> Iterator[str]:
    instances = {
        "younger": (InstanceFact("1", 20.0),),
        "older": (InstanceFact("1", 9.0),),
        "holds it": (InstanceFact("1", 20.0, "f-old"),),
        "holds the new key": (InstanceFact("1", 9.0, "f-new"),),
        "holds a third key": (InstanceFact("1", 20.0, "f-other"),),
        "a job that holds it": (
            InstanceFact("1", 9.0, "f-old", left_alone=True),
            InstanceFact("2", 20.0),
        ),
        "from the future": (InstanceFact("1", NOW + 1),),
        "none": (),
    }
    stores = (StoreFact("s", "f-new", True, 10.0), StoreFact("t", "f-new", True, 15.0))
    for evidence, converged, living in itertools.product(Evidence, (True, False), (None, NEW)):
        consumers = tuple(
            ConsumerFact(name, evidence, converged, found) for name, found in instances.items()
        )
        clear = look.showing(Facts(stores, consumers, NOW), OLD, living)
        yield f"{evidence}, converged {converged}, living {living} → {[one.name for one in clear]}"
    third = (ConsumerFact("c", Evidence.READ, True, instances["holds a third key"]),)
    verdict = look.look(Facts(stores, third, NOW), OLD, NEW)
    yield f"a third key is shown → {verdict.clear} {verdict.words('the old key')!r}"
    for name, facts in FACTS.items():
        yield f"{name} → {[one.name for one in look.showing(facts, OLD, NEW)]}"


def _baselines() -> Iterator[str]:
    one = StoreState("s", "f-old")
    stores = {
        "holds it": (one,),
        "holds another": (replace(one, fingerprint="f-x"),),
        "holds nothing": (replace(one, fingerprint=""),),
        "holds nothing, may": (replace(one, fingerprint="", create=True),),
        "cannot tell": (replace(one, fingerprint=None),),
        "cannot tell, wrote it": (replace(one, fingerprint=None, wrote="f-old"),),
        "cannot tell, changed": (replace(one, fingerprint=None, changed=True),),
        "two agree": (one, StoreState("t", "f-old")),
        "two disagree": (one, StoreState("t", "f-x")),
        "two disagree, one lags": (one, StoreState("t", "f-x", follows=True, lagging=True)),
        "both lag": (replace(one, lagging=True), StoreState("t", "f-x", lagging=True)),
        "one is empty": (one, StoreState("t", "")),
        "one is empty and may be": (one, StoreState("t", "", create=True)),
        "one is empty and followed": (one, StoreState("t", "", create=True, follows=True)),
        "one is written to only": (one, StoreState("t", None, wrote="f-x")),
        "none": (),
    }
    for name, states in stores.items():
        for current, own in itertools.product(("", "f-old", "f-new"), ((), ("f-x",))):
            for fill_all, lost in itertools.product((False, True), (False, True)):
                found = baseline.baseline(states, current, own, fill_all, lost)
                yield (
                    f"{name}, current {current!r}, own {own}, fill all {fill_all}, lost {lost} →"
                    f" {shown(found)}"
                )


def _shown_keys() -> Iterator[str]:
    instances = {
        "it": (InstanceFact("1", 9.0, "f-old"),),
        "another": (InstanceFact("1", 9.0, "f-x"), InstanceFact("", 9.0, "f-x")),
        "another, a job": (InstanceFact("1", 9.0, "f-x", left_alone=True),),
        "nothing": (InstanceFact("1", 9.0), InstanceFact("2", 9.0, "f-old")),
        "no instances": (),
    }
    for evidence in Evidence:
        consumers = [ConsumerFact(name, evidence, True, found) for name, found in instances.items()]
        for fingerprint in ("", "f-old"):
            yield f"{evidence}, {fingerprint!r} → {shown(baseline.shown(consumers, fingerprint))}"
    both = [
        ConsumerFact(evidence, evidence, True, instances["another"])
        for evidence in reversed(Evidence)
    ]
    yield f"one of each → {shown(baseline.shown(both, 'f-old'))}"


def _agreements() -> Iterator[str]:
    hints = ["", "***", "…", "..", ".", "sk-***", "sk-proj-", "sk-proj-A", "sk-proj-Abcd", "x2Lk"]
    hints += [
        "sk-proj-Abcd…x2Lk",
        "•••x2Lk",
        "sk-...x2Lk",
        "sk-...Ac4A",
        "sk-live...x2Lk",
        "***x2Lk***",
    ]
    hints += ["Lk...sk-proj-", " sk-…Lk ", "Abcd"]
    hints += [
        "sk-..bcd..hij..Lk",
        "sk-..hij..bcd..Lk",
        "sk-..bcd..bcd..Lk",
        "sk-..bcd..efg..Lk",
        "sk-..xyz..yzx..Lk",
    ]
    hints += ["..2L..Lk"]
    hints += [
        _VALUE,
        f"{_VALUE}…",
        f"…{_VALUE}",
        f"{_VALUE[:20]}…{_VALUE[20:]}",
        f"{_VALUE[:21]}…{_VALUE[20:]}",
    ]
    for hint in hints:
        for literal in (_LITERAL, "", "sk-", _VALUE, _VALUE[:-2]):
            yield (
                f"{hint!r} beyond {literal!r} →"
                f" {identity.agreement(KeyRecord('id', hint=hint), _VALUE, literal)}"
            )
    for hint in ("ab…XX…", "ab…ab…", "ab…cd…ab", "XX…ab…"):
        yield (
            f"{hint!r} of what repeats →"
            f" {identity.agreement(KeyRecord('id', hint='…' + hint), 'abXXcdabYYab', '')}"
        )
    of_ids = [("AKIAEXAMPLE", "AKIAEXAMPLE"), ("AKIAEXAMPLE", "AKIA…MPLE")]
    of_ids += [("AKIAEXAMPLE", "AKIA…"), ("AKIAEXAMPLE", "…"), ("k", "sk…k")]
    for key_id, hint in of_ids:
        yield (
            f"{hint!r} of {key_id} →"
            f" {identity.agreement(KeyRecord(key_id, hint=hint), _VALUE, _LITERAL)}"
        )


def _identities() -> Iterator[str]:
    ours = KeyRecord("k", hint="sk-…x2Lk", created_at=NOW - 9, active=True)
    twin, thin = replace(ours, id="twin"), replace(ours, id="thin", hint="sk-…")
    records = {
        "none": [],
        "it": [ours],
        "it, twice": [ours, ours],
        "it, first inactive, then listed again": [replace(ours, active=False), ours],
        "a stranger": [replace(ours, hint="sk-…Ac4A")],
        "two": [ours, twin],
        "a thin one": [thin],
        "it and a thin one": [ours, thin],
        "three characters": [replace(ours, hint="sk-…2Lk")],
        "made later": [replace(ours, created_at=NOW + CLOCKS_AGREE + 1)],
        "made now, by another clock": [replace(ours, created_at=NOW + CLOCKS_AGREE)],
        "of no time": [replace(ours, created_at=None)],
        "expired": [replace(ours, expires_at=NOW - CLOCKS_AGREE - 1)],
        "expired just now, by another clock": [replace(ours, expires_at=NOW - CLOCKS_AGREE)],
        "expires later": [replace(ours, expires_at=NOW + 1)],
        "inactive": [replace(ours, active=False)],
        "expired and inactive": [replace(ours, active=False, expires_at=NOW - CLOCKS_AGREE - 1)],
    }
    for name, listed in records.items():
        for accepted, foreign in itertools.product((True, False, None), ((), ("k",), ("twin",))):
            found = identity.identify(listed, _VALUE, _LITERAL, NOW, accepted, foreign)
            refused = isinstance(found, identity.Refusal)
            told = f"{found.why}: {[one.id for one in found.candidates]}" if refused else "it"
            yield f"{name}, accepted {accepted}, foreign {foreign} → {told}"
