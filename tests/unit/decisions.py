"""What the core decides, written down: `python -m tests.unit.decisions` writes decisions.txt anew;
review its diff.

A line is a phase, a result and what the result changes in the plain state of that phase; in
brackets a mark of what it changes in all the other situations below. `python -m
tests.unit.decisions --full` prints those, to compare commits.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from pathlib import Path
from typing import Any

from rotator.core import debt as debt_machine
from rotator.core import (
    fence,
    forward,
    incident,
    keep,
    look,
    lost,
    machine,
    order,
    patience,
    recognise,
    sweep,
    turn,
)
from rotator.core.action import (
    Done,
    Failed,
    Kind,
    Later,
    Read,
    Ready,
    Recognised,
    Recovered,
    Result,
    Swept,
    Unknown,
    Written,
)
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.core.lost import Lost, Strange
from rotator.core.order import Order
from rotator.core.plan import ConsumerPlan, Key, Plan, Policy, StorePlan
from rotator.core.state import Cause, Outcome, Owed, Phase, Rotation, Write
from rotator.model import Evidence, KeyRecord, Label, Overlap, Recovery

FILE = Path(__file__).with_suffix(".txt")

OLD, NEW, OTHER = Key("old", "f-old", "o…d"), Key("new", "f-new", "n…w"), Key("other", "f-other")
NOW = 1000.0
POLICY = Policy(
    deadline=100.0,
    grace=50.0,
    quiet=20.0,
    quiet_deadline=200.0,
    soak=35.0,
    watch=45.0,
    list_lag=7.0,
    creates=3,
    passes=2,
    pass_interval=0.5,
    rounds=3,
    look_again=90.0,
    first_retry=0.75,
    longest_retry=9.0,
)
PLAN = Plan((StorePlan("s"), StorePlan("t")), (ConsumerPlan("c"), ConsumerPlan("d")), policy=POLICY)
WRITES = (Write("1", "1", 5.0, True, True, False, "1"), Write("7", replaced="7"))
ROTATION = Rotation(
    "r",
    "p",
    PLAN,
    now=NOW - 1,
    since=NOW - 2,
    old=OLD,
    new=NEW,
    writes=WRITES,
    round=1,
    asked_at=NOW - 9,
    attempt=1,
)

# --- facts for looks ---
_STORE = StoreFact("s", "f-new", True, 10.0)
CLEAR = Facts(
    (_STORE,), (ConsumerFact("c", Evidence.STARTED, True, (InstanceFact("1", 20.0),)),), NOW
)
FACTS = {
    "clear": CLEAR,
    "a store holds the old key": replace(
        CLEAR, stores=(replace(_STORE, fingerprint="f-old", by="argo"),)
    ),
    "a store with a long name holds the old key": replace(
        CLEAR, stores=(StoreFact("dotenv /srv/.env", "f-old", False, 10.0, by="argo"),)
    ),
    "two stores hold the old key": replace(
        CLEAR,
        stores=(
            replace(_STORE, fingerprint="f-old"),
            replace(_STORE, name="t", fingerprint="f-old"),
        ),
    ),
    "a store holds the new key": replace(CLEAR, stores=(replace(_STORE, fingerprint="f-new"),)),
    "a store holds another key": replace(CLEAR, stores=(replace(_STORE, fingerprint="f-other"),)),
    "a store cannot tell": replace(CLEAR, stores=(replace(_STORE, fingerprint=None, ours=False),)),
    "a consumer may hold the old key": replace(CLEAR, stores=(replace(_STORE, written_at=30.0),)),
    "a consumer holds the old key": replace(
        CLEAR,
        consumers=(ConsumerFact("c", Evidence.READ, True, (InstanceFact("1", 20.0, "f-old"),)),),
    ),
    "a consumer holds the new key": replace(
        CLEAR,
        consumers=(ConsumerFact("c", Evidence.READ, True, (InstanceFact("1", 20.0, "f-new"),)),),
    ),
}

RESULTS: dict[str, Result] = {
    "done": Done(NOW),
    "done, true": Done(NOW, True),
    "done, false": Done(NOW, False),
    "done, refused": Done(NOW, Proof.REFUSED),
    "done, not listed": Done(NOW, Proof.UNLISTED),
    "done, no proof": Done(NOW, Proof.NONE),
    "done, used 15 s ago": Done(NOW, NOW - 15),
    "done, used 20 s ago": Done(NOW, NOW - 20),
    "done, used 25 s ago": Done(NOW, NOW - 25),
    "done, used 19.5 s ago": Done(NOW, NOW - 19.5),
    "done, used just now": Done(NOW, NOW),
    "done, a tuple": Done(NOW, ("a", "b")),
    "done, ready": Done(NOW, Ready(OLD, False, ("3", "4"))),
    "done, ready, nothing held": Done(NOW, Ready(None)),
    "done, ready, the old key is dead": Done(NOW, Ready(OLD, True, ("3", "4"))),
    "done, ready, the new key is held": Done(NOW, Ready(NEW, False, ("3", "4"))),
    "done, ready, one superseded": Done(NOW, Ready(OLD, False, ("3", "4"), (OTHER,))),
    "done, ready, no room": Done(NOW, Ready(OLD, False, ("3", "4"), (), "its place is taken")),
    "done, ready, with what is listed": Done(
        NOW, Ready(OLD, versions=("3", "4"), listed=("a", "b"), shown=("f-x",))
    ),
    "done, a key": Done(NOW, OTHER),
    "done, the key in force": Done(NOW, OLD),
    "done, the key in force under another id": Done(NOW, Key("old 2", "f-old")),
    "done, a key without a value": Done(NOW, Key("old")),
    "done, shown": Done(NOW, Recognised(shown=True)),
    "done, not shown yet": Done(NOW, Recognised()),
    "done, another id": Done(NOW, Recognised(problem="another id", hint="look there")),
    "done, another id, no hint": Done(NOW, Recognised(problem="another id")),
    "done, recovered nothing": Done(NOW, Recovered()),
    "done, recovered one": Done(NOW, Recovered((OTHER,))),
    "done, recovered the old one": Done(NOW, Recovered((OLD,))),
    "done, reread": Done(NOW, Recovered(reread=OTHER)),
    "done, reread, and one beside it": Done(NOW, Recovered(reread=OTHER, beside=(NEW, OLD))),
    "done, ambiguous": Done(NOW, Recovered((OTHER,), ambiguous="2 new keys")),
    "done, read the old key": Done(NOW, Read("f-old", "9")),
    "done, read the new key": Done(NOW, Read("f-new", "9")),
    "done, read another key": Done(NOW, Read("f-other", "9")),
    "done, read nothing": Done(NOW, Read("", "")),
    "done, cannot be read": Done(NOW, Read(None, "9")),
    "done, written": Done(NOW, Written("8")),
    "done, swept": Done(NOW, Swept((OTHER,))),
    **{f"done, look: {name}": Done(NOW, found) for name, found in FACTS.items()},
    "later": Later(NOW, 3.0, "handle", "soon"),
    "later, without words": Later(NOW, 3.0),
    "unknown": Unknown(NOW),
    "unknown, unreadable": Unknown(NOW, "no key in it", "see", True),
    "failed, without words": Failed(NOW, ""),
    "failed for now": Failed(NOW, "it is busy", "wait", permanent=False),
    "failed for now, in half a second": Failed(
        NOW, "it is busy", "wait", permanent=False, retry_in=0.5
    ),
    "failed for now, in 4 s": Failed(NOW, "it is busy", "wait", permanent=False, retry_in=4.0),
    "failed for now, in a year": Failed(
        NOW, "it is busy", "wait", permanent=False, retry_in=31_536_000.0
    ),
    **{f"failed, {kind}": Failed(NOW, f"it is {kind}", "mend it", kind=kind) for kind in Kind},
}


def _plan(**changes: Any) -> dict[str, Any]:
    return {"plan": replace(PLAN, **changes)}


def _policy(**changes: Any) -> dict[str, Any]:
    return {"plan": replace(PLAN, policy=replace(POLICY, **changes))}


ROTATIONS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "waiting": {"wake": NOW + 5},
    "no old key": {"old": None},
    "no new key": {"new": None},
    "same keys": {"new": OLD},
    "at the deadline": {"since": NOW - 100},
    "right before the deadline": {"since": NOW - 99.5},
    "third try": {"tries": 2},
    "fourth try": {"tries": 3},
    "fifth try": {"tries": 4},
    "last pass": {"passes": 1},
    "last but one attempt": {"attempt": 2},
    "last attempt": {"attempt": 3},
    "round 2": {"round": 2, "round_at": 900.0},
    "round 3": {"round": 3},
    "round 5": {"round": 5},
    "round 6": {"round": 6},
    "forward only": {"forward_only": True},
    "compromised": {"compromised": True, "forward_only": True},
    "revoke first": {"revoke_first": True, "compromised": True},
    "round 3, resumed": {"round": 3, "resumed": 2},
    "round 6, resumed": {"round": 6, "resumed": 1},
    "back": {"back": True},
    "back, revived": {"back": True, "revive": True},
    "second target": {"target": 1},
    "the second consumer is down": {"down": "d"},
    "the second consumer is down, at it": {"down": "d", "target": 1},
    "three stores, the second never intended": {
        **_plan(stores=(StorePlan("s"), StorePlan("t"), StorePlan("u"))),
        "writes": (WRITES[0], WRITES[1], replace(WRITES[0], at=6.0)),
    },
    "three stores, the third alone": {
        **_plan(stores=(StorePlan("s"), StorePlan("t"), StorePlan("u"))),
        "writes": (Write("1"), Write("7"), replace(WRITES[0], at=6.0)),
    },
    "three stores, the first is followed": {
        **_plan(stores=(StorePlan("s", follows=True), StorePlan("t"), StorePlan("u"))),
        "writes": (WRITES[0], replace(WRITES[0], at=6.0), WRITES[0]),
    },
    "with attention": {"attention": "see"},
    "uncertain": {"writes": (replace(WRITES[0], uncertain=True), WRITES[1])},
    "untouched": {"writes": (replace(WRITES[0], touched=False), WRITES[1])},
    "never intended": {"writes": (Write("1"), Write("7"))},
    "second store written, too": {"writes": (WRITES[0], replace(WRITES[0], at=6.0))},
    "second store written, at it": {"writes": (WRITES[0], replace(WRITES[0], at=6.0)), "target": 1},
    "one found": {"found": (OTHER,)},
    "two found": {"found": (OTHER, NEW)},
    "possible orphan": {"possible_orphan": "attempt 1 of r"},
    "a handle": {"handle": "h"},
    "with a problem": {"problem": "before", "hint": "so"},
    "already owed": {"owed": (Owed(OTHER, Cause.SWEPT),)},
    "no consumers": _plan(consumers=()),
    "store is followed": _plan(stores=(StorePlan("s", follows=True), StorePlan("t"))),
    "store is followed, at the deadline": {
        **_plan(stores=(StorePlan("s", follows=True), StorePlan("t"))),
        "since": NOW - 100,
    },
    "second store is followed": _plan(stores=(StorePlan("s"), StorePlan("t", follows=True))),
    "store is write-only": _plan(stores=(StorePlan("s", write_only=True), StorePlan("t"))),
    "supplied": _plan(supplied=True),
    "quota": _plan(quota=2),
    "quota, one found": {**_plan(quota=2), "found": (OTHER,)},
    "no overlap": _plan(overlap=Overlap.NONE),
    "no overlap, second attempt": {**_plan(overlap=Overlap.NONE), "attempt": 2},
    "no overlap, last attempt": {**_plan(overlap=Overlap.NONE), "attempt": 3},
    "two slots": _plan(overlap=Overlap.TWO_SLOTS, recovery=Recovery.REREAD),
    "two slots, no old key": {
        **_plan(overlap=Overlap.TWO_SLOTS, recovery=Recovery.REREAD),
        "old": None,
    },
    "difference": {**_plan(recovery=Recovery.DIFFERENCE), "found": (OTHER,)},
    "reread": {**_plan(recovery=Recovery.REREAD), "found": (OTHER,)},
    "reread, the last create": {
        **_plan(recovery=Recovery.REREAD),
        "last_create": True,
        "problem": "no key in it",
    },
    "the last create": {"last_create": True, "problem": "no key in it"},
    "no passes but one": _policy(passes=1),
    "propagation": _policy(propagation=6.0, passes=3),
    "propagation, second try": {**_policy(propagation=6.0, passes=3), "tries": 1},
    "with a snapshot": {"snapshot": ("a", "b")},
    "the last create, difference": {
        **_plan(recovery=Recovery.DIFFERENCE),
        "last_create": True,
        "found": (OTHER,),
    },
    "the last create, one found": {
        "last_create": True,
        "found": (OTHER,),
        "possible_orphan": "attempt 1 of r",
    },
    "the last create, two found": {
        "last_create": True,
        "found": (OTHER, NEW),
        "possible_orphan": "attempt 1 of r",
    },
    "alive just long enough ago": {"alive_at": NOW - 9},
    "alive too long ago": {"alive_at": NOW - 9.5},
    "alive a moment ago": {"alive_at": NOW - 1},
    "alive a moment ago, second try": {"alive_at": NOW - 1, "tries": 1},
    "two refusals": {"passes": 2},
    "back, second try": {"back": True, "tries": 1},
    "back, third try": {"back": True, "tries": 2},
    "no recovery": _plan(recovery=Recovery.NONE),
    "a list that lags": {"since": NOW - 6.5},
    "a list that lagged": {"since": NOW - 7},
    "no pause between passes": _policy(pass_interval=0.0),
    "accepted once": {"accepted": 1, "accept_at": NOW - 0.25},
    "accepted once, a moment ago": {"accepted": 1, "accept_at": NOW + 0.25},
    "three passes, accepted once, right now": {
        **_policy(passes=3),
        "accepted": 1,
        "accept_at": NOW,
    },
    "three passes, accepted twice": {**_policy(passes=3), "accepted": 2, "accept_at": NOW - 0.25},
    "nobody can ask before verify": {"accept_at": NOW + 100},
}
_OFF = {"plan": replace(PLAN, can_deactivate=True)}
DEBT = Debt(
    "d",
    "p",
    "r",
    OLD,
    Cause.ROTATED,
    PLAN,
    now=NOW - 1,
    since=NOW - 2,
    born=NOW - 10,
    boot="b",
    boot_at=40.0,
)
DEBTS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "waiting": {"wake": NOW + 5},
    "second try": {"tries": 1},
    "third try": {"tries": 2},
    "fourth try": {"tries": 3},
    "second pass": {"passes": 1},
    "third pass": {"passes": 2},
    "third pass, with attention": {"passes": 2, "attention": "look here"},
    "proven": {"passes": 3},
    "swept": {"swept": True},
    "swept, third pass": {"swept": True, "passes": 2},
    "slowly known": _policy(revocation=8.0),
    "slowly known, second try": {**_policy(revocation=8.0), "tries": 1},
    "slowly known, supplied": {**_policy(revocation=8.0), "plan": replace(PLAN, supplied=True)},
    "slowly known, by hand": {**_policy(revocation=8.0), "by_hand": True},
    "slowly known, swept, second pass": {
        **_policy(revocation=8.0),
        "swept": True,
        "passes": 1,
        "asked_at": NOW - 1,
    },
    "slowly known, asked a moment ago": {
        **_policy(revocation=8.0),
        "passes": 1,
        "asked_at": NOW - 1,
    },
    "slowly known, asked long ago": {**_policy(revocation=8.0), "passes": 1, "asked_at": NOW - 5},
    "as slowly known as a new one": _policy(propagation=8.0),
    "known more slowly than a step may take": {**_policy(revocation=150.0), "since": NOW - 100},
    "at the deadline": {"since": NOW - 100},
    "right before the deadline": {"since": NOW - 99.5},
    "quiet deadline": {"since": NOW - 200},
    "right before the quiet deadline": {"since": NOW - 199.5},
    "soaked": {"since": NOW - 35, "born": NOW - 35},
    "watched": {"since": NOW - 45},
    "second target": {"target": 1},
    "can be deactivated": _OFF,
    "can be deactivated, no soak": {
        "plan": replace(_OFF["plan"], policy=replace(POLICY, soak=0.0))
    },
    "deactivated": {**_OFF, "deactivated": True},
    "probes pass": {**_OFF, "deactivated": True, "probes_pass": True},
    "probes pass, third try": {**_OFF, "deactivated": True, "probes_pass": True, "tries": 2},
    "probes pass, third try, compromised": {
        **_OFF,
        "deactivated": True,
        "probes_pass": True,
        "tries": 2,
        "cause": Cause.COMPROMISED,
    },
    "revocation intended": {"revoke_intended": True},
    "never stored": {"stored": False},
    "supplied": _plan(supplied=True),
    "supplied, asked twice": {**_plan(supplied=True), "tries": 2},
    "nearly soaked": {"since": NOW - 34.5, "born": NOW - 34.5},
    "nearly watched": {"since": NOW - 44.5},
    "short quiet": _policy(quiet=0.5),
    "short soak": {"plan": replace(PLAN, can_deactivate=True, policy=replace(POLICY, soak=0.5))},
    "short watch": _policy(watch=0.5),
    "slow retries": {**_policy(first_retry=5.0), "probes_pass": True, "deactivated": True},
    "no quiet": _policy(quiet=0.0),
    "use is told": _plan(tells_use=True),
    "use is not told": _plan(tells_use=False),
    "no watch": _policy(watch=0.0),
    "no overlap": _plan(overlap=Overlap.NONE),
    "with attention": {"attention": "look here"},
    "at once": {"at_once": True, "cause": Cause.COMPROMISED},
    "at once, fourth try": {"at_once": True, "cause": Cause.COMPROMISED, "tries": 3},
    "at once, second pass": {"at_once": True, "cause": Cause.COMPROMISED, "passes": 1},
    "at once, woken": {"at_once": True, "cause": Cause.COMPROMISED, "wake": NOW},
    "by hand": {"by_hand": True},
    "by hand, with attention": {"by_hand": True, "attention": "look here"},
    "supplied, with attention": {**_plan(supplied=True), "attention": "look here"},
    "short watch, proven": {**_policy(watch=0.5), "passes": 3},
    "short watch, swept, third pass": {**_policy(watch=0.5), "passes": 2, "swept": True},
    "by hand, at once": {"by_hand": True, "at_once": True, "cause": Cause.COMPROMISED},
    "a person's": {"person": True},
    "a person's, woken": {"person": True, "wake": NOW},
    "woken": {"wake": NOW},
    **{str(cause): {**_OFF, "cause": cause} for cause in Cause},
    **{f"{cause}, cannot be deactivated": {"cause": cause} for cause in Cause},
    "discarded, deactivated, woken": {"cause": Cause.DISCARDED, "deactivated": True, "wake": NOW},
    "deactivated, woken": {"deactivated": True, "wake": NOW},
}


@cache
def _fields(kind: type) -> list[tuple[str, Any]]:
    return [(field.name, field.default) for field in fields(kind)]


@cache
def shown(value: Any) -> str:
    if isinstance(value, Key):
        hint = f"~{value.hint}" if value.hint and value not in (OLD, NEW) else ""
        return (
            value.id
            + (f"/{value.fingerprint}" if value.fingerprint != f"f-{value.id}" else "")
            + hint
        )
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, Plan):
        return "plan"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(shown, value)) + ")"
    if is_dataclass(value):
        parts = []
        for name, default in _fields(type(value)):
            found = getattr(value, name)
            if found != default:
                parts.append(f"{name}={shown(found)}")
        return f"{type(value).__name__}({', '.join(parts)})"
    return repr(value)


def change(before: Any, after: Any) -> str:
    """What differs, field by field."""
    if type(before) is not type(after):
        return shown(after)
    names = [
        name
        for name, _ in _fields(type(before))
        if getattr(before, name) is not getattr(after, name)
    ]
    found = [
        f"{n}={shown(getattr(after, n))}" for n in names if getattr(before, n) != getattr(after, n)
    ]
    return " ".join(found) or "nothing"


def rows(
    phases: Any,
    start: Any,
    situations: dict[str, dict[str, Any]],
    acts: dict[str, Callable[[Any], Any]],
    ignored: str = "now=1000.0",
) -> Iterator[str]:
    """For each phase and act the usual answer, and a mark of the answers in all other situations.

    What is ignored as usual is not asked in other situations, but for a wait.
    """
    for phase in phases:
        states = [replace(start, phase=phase, **changes) for changes in situations.values()]
        for act, perform in acts.items():
            usual = _answer(states[0], perform)
            if usual == ignored:
                continue
            others = [_answer(state, perform) for state in states]
            if IN_FULL:
                yield from (
                    f"{phase} · {act} · {name} → {one}"
                    for name, one in zip(situations, others, strict=True)
                )
            else:
                yield f"{phase} · {act} → {usual}  [{_mark(others)}]"


IN_FULL = False


def _mark(answers: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(answers).encode()).hexdigest()[:12]


def _answer(state: Any, perform: Callable[[Any], Any]) -> str:
    try:
        return change(state, perform(state))
    except (
        AssertionError,
        IndexError,
        AttributeError,
    ) as error:  # cannot come to pass in this situation
        return f"never ({type(error).__name__})"


Group = Callable[[], Iterator[str]]


def groups() -> dict[str, Group]:
    """Everything, in small parts: a test each."""
    applied = {
        name: lambda state, result=result: machine.apply(state, result)
        for name, result in RESULTS.items()
    }
    paid = {
        name: lambda state, result=result: debt_machine.apply(state, result)
        for name, result in RESULTS.items()
    }
    set_back = {
        f"clock {off:+} s": lambda rotation, off=off: patience.set_back(rotation, NOW - 1 + off)
        for off in (-301, -300, -299, 0, 301)
    }
    jumps = {
        f"moved by {by:+} s": lambda rotation, by=by: patience.moved(rotation, by)
        for by in (-3600.0, 3600.0)
    }
    ahead = {"next": machine.next_action, "restart since": _since, "picked up": machine.picked_up}
    begun: dict[str, Callable[[Any], Any]] = {
        "next": debt_machine.next_action,
        "begin": debt_machine.begin,
        "void": debt_machine.void,
        **{
            f"boot clock {off:+} s": lambda debt, off=off: debt_machine.by_boot_clock(
                debt, NOW - 1, "b", 49.0 + off
            )
            for off in (-301, -300, -299, 299, 300, 301)
        },
        "another boot": lambda debt: debt_machine.by_boot_clock(debt, NOW - 1, "c", 49.0 - 301),
        "no boot": lambda debt: debt_machine.by_boot_clock(
            replace(debt, boot=""), NOW - 1, "", 49.0 - 301
        ),
    }
    orders = {
        f"order {one}": lambda state, one=one: order.order_rotation(state, one, NOW)
        for one in Order
    }
    hurried = {
        f"order {one}": lambda state, one=one: order.order_debt(state, one, NOW) for one in Order
    }
    stuck = {"as usual": {}, **{f"stuck in {phase}": {"came_from": phase} for phase in Phase}}
    stuck |= {
        f"stuck in {phase}, forward only": {"came_from": phase, "forward_only": True}
        for phase in Phase
    }
    asked = replace(ROTATION, question="?", problem="!")
    lagged = {name: {"since": NOW - 7, **changes} for name, changes in ROTATIONS.items()}
    found: dict[str, Group] = {}
    for phase in Phase:
        if phase is not Phase.SETTLE:
            found[f"a rotation in {phase}: result → what changes"] = _rows(
                phase, ROTATION, ROTATIONS, applied
            )
        found[f"what a rotation in {phase} does next"] = _rows(phase, ROTATION, ROTATIONS, ahead)
        found[f"orders to a rotation in {phase}"] = _rows(phase, ROTATION, ROTATIONS, orders, "")
        found[f"a rotation in {phase} beside debts: whose turn, who may act, what is needed"] = (
            partial(_beside, phase)
        )
    found["a rotation whose lost create left nothing, when the list has had its time"] = _rows(
        Phase.RECOVER, ROTATION, lagged, applied
    )
    found["the pivot"] = _rows(Phase.LOOK, ROTATION, ROTATIONS, {"pivot": forward.pivot})
    found["a rotation whose clock was set back"] = _rows(Phase.WRITE, ROTATION, ROTATIONS, set_back)
    found["a rotation whose clock jumped"] = _rows(Phase.WRITE, ROTATION, ROTATIONS, jumps)
    found["orders to a rotation that is stuck"] = _rows(Phase.STUCK, asked, stuck, orders, "")
    for debt_phase in DebtPhase:
        found[f"an old key in {debt_phase}: result → what changes"] = _rows(
            debt_phase, DEBT, DEBTS, paid
        )
        found[f"what happens to an old key in {debt_phase}"] = _rows(debt_phase, DEBT, DEBTS, begun)
        found[f"orders to an old key in {debt_phase}"] = _rows(debt_phase, DEBT, DEBTS, hurried, "")
    found["debts alone, and going back"] = _alone
    found["a leaked key dies first: which keys, and what becomes of the rotation"] = lambda: (
        _marked("kills", _kills())
    )
    found["looks: who holds a key that is to die"] = lambda: _marked("looks", _every_look())
    found["sweeps: which keys at the provider are ours and nobody's"] = _sweeps
    found["what a lost create left, and whether a new key is shown"] = _ours
    from tests.unit import decisions_of_beliefs  # late: it takes its words from here

    for name, group in decisions_of_beliefs.groups().items():
        found[name] = lambda group=group: _marked_in_tens(group())
    return found


def _marked_in_tens(answers: Iterator[str]) -> Iterator[str]:
    """A line for each of few; of many the first of ten, with a mark of all of them."""
    every = list(answers)
    for begun in range(0, len(every), 1 if IN_FULL or len(every) < 60 else 10):
        ten = every[begun : begun + (1 if IN_FULL or len(every) < 60 else 10)]
        yield ten[0] if len(ten) == 1 else f"{ten[0]}  [{_mark(ten)}]"


def _rows(phase: Any, start: Any, situations: Any, acts: Any, ignored: str = "now=1000.0") -> Group:
    return partial(rows, [phase], start, situations, acts, ignored)


def _since(rotation: Rotation) -> Any:
    return Written(str(rotation.restart_since))


BESIDE: dict[str, tuple[Debt, ...]] = {
    "none": (),
    "grace": (DEBT,),
    "look": (replace(DEBT, phase=DebtPhase.LOOK),),
    "look, compromised": (replace(DEBT, phase=DebtPhase.LOOK, cause=Cause.COMPROMISED),),
    "of the new key": (replace(DEBT, phase=DebtPhase.LOOK, key=NEW, cause=Cause.UNDONE),),
    "of another key": (replace(DEBT, phase=DebtPhase.LOOK, key=OTHER),),
    "of another key, waiting": (replace(DEBT, phase=DebtPhase.LOOK, key=OTHER, wake=NOW + 3),),
    "held": (replace(DEBT, phase=DebtPhase.HELD, key=OTHER, attention="see"),),
    "proving": (replace(DEBT, phase=DebtPhase.PROVE),),
    "retired, not proven": (replace(DEBT, phase=DebtPhase.SWEEP, passes=1),),
    "retired, proven": (replace(DEBT, phase=DebtPhase.SWEEP, passes=3),),
    "asked of a person, at once": (
        replace(
            DEBT,
            phase=DebtPhase.REVOKE,
            key=OTHER,
            cause=Cause.COMPROMISED,
            by_hand=True,
            at_once=True,
        ),
    ),
    "asked of a person, of another key": (
        replace(DEBT, phase=DebtPhase.REVOKE, key=OTHER, cause=Cause.COMPROMISED, by_hand=True),
    ),
    "two, the second to die at once": (
        replace(DEBT, phase=DebtPhase.LOOK, key=OTHER, cause=Cause.COMPROMISED),
        replace(DEBT, id="e", phase=DebtPhase.REVOKE, cause=Cause.COMPROMISED, at_once=True),
    ),
    "watched": (replace(DEBT, phase=DebtPhase.WATCH),),
    "to die at once, waiting": (
        replace(DEBT, phase=DebtPhase.REVOKE, cause=Cause.COMPROMISED, at_once=True, wake=NOW + 3),
    ),
    "to die at once, in vain": (
        replace(
            DEBT,
            phase=DebtPhase.REVOKE,
            cause=Cause.COMPROMISED,
            at_once=True,
            wake=NOW + 3,
            attention="503",
        ),
    ),
    "asked of a person": (
        replace(DEBT, phase=DebtPhase.REVOKE, cause=Cause.COMPROMISED, by_hand=True),
    ),
    "paid": (replace(DEBT, phase=DebtPhase.PAID),),
    "two": (DEBT, replace(DEBT, id="e", key=OTHER, phase=DebtPhase.REVOKE)),
    "the new key's, paid": (replace(DEBT, key=NEW, cause=Cause.UNDONE, phase=DebtPhase.PAID),),
    "another rotation's new key, paid": (
        replace(DEBT, key=NEW, cause=Cause.UNDONE, phase=DebtPhase.PAID, rotation="q"),
    ),
}
KINDS: dict[str, dict[str, Any]] = {
    "as usual": {},
    "pivoted": {"pivoted": True},
    "waiting": {"wake": NOW + 5},
    "verified": {"outcome": Outcome.VERIFIED},
    "write-only": _plan(stores=(StorePlan("s", write_only=True),)),
    "no keys": {"old": None, "new": None},
}


def _beside(phase: Phase) -> Iterator[str]:
    for kind, changes in KINDS.items():
        yield from _marked(f"{phase} · {kind}", _cases(phase, changes))


def _kills() -> Iterator[str]:
    """For every phase: the keys, and what is left of the rotation, by which of its keys die."""
    dying = {
        "none": (),
        "the old": (OLD,),
        "the new": (NEW,),
        "both": (OLD, NEW),
        "another": (OTHER,),
    }
    kinds: dict[str, dict[str, Any]] = {
        "as usual": {},
        "found one": {"found": (OTHER,)},
        "back": {"back": True},
        "no old key": {"old": None},
        "no new key": {"new": None},
        "possible orphan": {"possible_orphan": "attempt 1 of r"},
        "supplied": _plan(supplied=True),
        "difference": {**_plan(recovery=Recovery.DIFFERENCE), "found": (OTHER,)},
        "compromised": {"compromised": True},
        "waiting": {"wake": NOW + 5},
    }
    for phase in Phase:
        for stuck, (kind, changes) in itertools.product((False, True), kinds.items()):
            at = {"phase": Phase.STUCK, "came_from": phase} if stuck else {"phase": phase}
            rotation = replace(ROTATION, **at, **changes)
            what = f"{phase}{', stuck' if stuck else ''}, {kind}"
            yield (
                f"{what}:"
                f" {shown(incident.to_kill(rotation, (DEBT, replace(DEBT, key=OTHER)), OLD))}"
            )
            yield (
                f"{what}, a stranger in force:"
                f" {shown(incident.to_kill(rotation, (DEBT,), Key('in force')))}"
            )
            yield (
                f"{what}, over, none in force → {change(rotation, incident.over(rotation, 'why'))}"
            )
            for name, keys in dying.items():
                for current in (None, OLD, OTHER):
                    found = change(rotation, incident.carried_on(rotation, keys, current, NOW))
                    yield f"{what}, {name} die, {current} in force → {found}"
            for current in (OLD, NEW, OTHER):
                yield (
                    f"{what}, over, {current} →"
                    f" {change(rotation, incident.over(rotation, 'why', current, at=NOW))}"
                )
    for phase, cause in itertools.product(DebtPhase, Cause):
        debt = replace(DEBT, phase=phase, cause=cause)
        yield (
            f"{phase}, {cause}: {shown(incident.to_kill(None, (debt,), None))},"
            f" {incident.ending(debt)}"
        )
        for name, changes in DEBTS.items():
            changed = replace(debt, **{**changes, "cause": cause})
            killed = change(changed, debt_machine.kill(changed))
            yield f"{phase}, {cause}, {name} → {incident.ending(changed)}; {killed}"


def _alone() -> Iterator[str]:
    for name, owed in BESIDE.items():
        told = (
            f"turn {shown(_unit(turn.turn(None, owed)))}; needed"
            f" {shown(keep.still_needed(None, owed))}"
        )
        yield (
            f"no rotation · debts: {name} → {told}; go back"
            f" {_answered(order.go_back(None, owed, NOW))}"
        )
    back = (
        f"{n} → {shown(order.begin_back('q', PLAN, replace(DEBT, **c), NOW))}"
        for n, c in DEBTS.items()
    )
    yield from _marked("begin back", back)


def _marked(what: str, answers: Iterable[str]) -> Iterator[str]:
    if IN_FULL:
        yield from (f"{what} · {answer}" for answer in answers)
    else:
        yield f"{what}  [{_mark(answers)}]"


def _cases(phase: Phase, changes: dict[str, Any]) -> Iterator[str]:
    rotation = replace(ROTATION, phase=phase, found=(OTHER,), question="?", problem="!", **changes)
    for name, owed in BESIDE.items():
        told = {
            "turn": shown(_unit(turn.turn(rotation, owed))),
            "needed": shown(keep.still_needed(rotation, owed)),
            "current again": shown(tuple(debt.id for debt in turn.current_again(rotation, owed))),
            "settle": change(rotation, turn.settle(rotation, owed)),
            "may act": shown(tuple(turn.may_act(debt, rotation) for debt in owed)),
            "unblocked": " ".join(
                change(rotation, turn.unblocked(rotation, debt)) for debt in owed
            ),
            "go back": _answered(order.go_back(rotation, owed, NOW)),
        }
        answers = "; ".join(
            f"{what}: {answer}" for what, answer in told.items() if answer not in ("", "()")
        )
        yield f"debts: {name} → {answers}"


def _unit(found: tuple[Any, Any]) -> Any:
    unit, action = found
    return (unit.id if unit is not None else None, action)


def _answered(answer: Any) -> str:
    return shown(answer) if not isinstance(answer, Debt) else f"to {answer.key.id}"


def _every_look() -> Iterator[str]:
    for started in (-0.5, 0.5, 1.5):
        consumer = ConsumerFact("c", Evidence.STARTED, True, (InstanceFact("1", started),))
        yield f"no stores, started {started} → {shown(look.look(Facts((), (consumer,), NOW), OLD))}"
    stores = {
        "holds it": _STORE.__class__("s", "f-old", True, 10.0),
        "holds it, told by whom": StoreFact("s", "f-old", False, 10.0, by="argo"),
        "holds the new key": _STORE,
        "holds another": replace(_STORE, fingerprint="f-other"),
        "holds nothing": replace(_STORE, fingerprint=""),
        "cannot tell, wrote it": replace(_STORE, fingerprint=None, wrote="f-old"),
        "cannot tell, wrote the new key": replace(_STORE, fingerprint=None, wrote="f-new"),
        "cannot tell, wrote nothing": replace(_STORE, fingerprint=None),
        "cannot tell, not ours": replace(_STORE, fingerprint=None, wrote="f-new", ours=False),
        "no time": replace(_STORE, written_at=None),
        "younger": replace(_STORE, written_at=25.0),
    }
    instances = {
        "none": (),
        "older": (InstanceFact("1", 9.0),),
        "as old as the store": (InstanceFact("1", 10.0),),
        "younger": (InstanceFact("1", 20.0),),
        "now": (InstanceFact("1", NOW),),
        "from the future": (InstanceFact("1", NOW + 1),),
        "no time": (InstanceFact("1"),),
        "holds it": (InstanceFact("1", 20.0, "f-old"), InstanceFact("", 20.0, "f-new")),
        "holds the new key": (InstanceFact("1", 9.0, "f-new"),),
    }
    for many in (5, 6, 7, 9):
        pods = tuple(InstanceFact(str(number), 9.0) for number in range(many))
        verdict = look.look(
            Facts((_STORE,), (ConsumerFact("c", Evidence.STARTED, True, pods),), NOW), OLD
        )
        yield f"{many} of them → {verdict.words('the old key')!r}"
    job = InstanceFact("job", 9.0, left_alone=True)
    for which, found in {
        "a job": (job,),
        "a job and an older": (job, InstanceFact("1", 9.0)),
    }.items():
        for converged in (True, False):
            consumer = ConsumerFact("c", Evidence.STARTED, converged, found)
            for living in (None, NEW):
                verdict = look.look(Facts((_STORE,), (consumer,), NOW), OLD, living)
                yield (
                    f"{which}, converged {converged}, living {living} → {verdict.clear}"
                    f" {verdict.words('the old key')!r}"
                )
    for name, store in stores.items():
        for living in (None, NEW):
            verdict = look.look(
                Facts((store, replace(_STORE, name="t", written_at=15.0)), (), NOW), OLD, living
            )
            yield (
                f"store {name}, living {living} → {shown(verdict)} {verdict.clear} {verdict.words('the old key')!r}"
            )
        for evidence in Evidence:
            for converged in (True, False):
                for which, found in instances.items():
                    consumer = ConsumerFact("c", evidence, converged, found)
                    verdict = look.look(Facts((store,), (consumer,), NOW), OLD)
                    yield (
                        f"store {name}, {evidence}, converged {converged}, {which} →"
                        f" {verdict.clear} {verdict.words('the old key')!r}"
                    )


def _sweeps() -> Iterator[str]:
    label = Label("inst", "p", "r", 1)
    known = sweep.Known("inst", "p", {"r"}, {"kept"})
    records = {
        "ours": KeyRecord("a", label.text, "h"),
        "kept": KeyRecord("kept", label.text, "h"),
        "another installation's": KeyRecord("b", replace(label, installation="else").text),
        "another playbook's": KeyRecord("b", replace(label, playbook="q").text),
        "of an unknown rotation": KeyRecord("b", replace(label, rotation="x").text),
        "of another attempt": KeyRecord("b", replace(label, attempt=2).text, "h"),
        "without a label": KeyRecord("b", "made by hand"),
    }
    for name, record in records.items():
        found = (
            sweep.orphans([records["without a label"], record], known),
            sweep.left_by([record], label),
        )
        yield f"{name} → orphan {shown(found[0])}, left by the attempt {shown(found[1])}"
    one = KeyRecord("n", hint="h", created_at=100.0)
    lists = {
        "none": [],
        "one": [one],
        "known": [replace(one, id="k")],
        "two": [one, replace(one, id="m")],
        "used": [replace(one, last_used_at=1.0)],
        "inactive": [replace(one, active=False)],
        "older": [replace(one, created_at=94.0)],
        "as old as the slack": [replace(one, created_at=95.0)],
        "no time": [replace(one, created_at=None)],
    }
    for name, found in lists.items():
        yield f"new since, {name} → {shown(sweep.new_since(found, ['k'], 100.0, 5.0))}"
    backs = [POLICY.backoff(tries) for tries in (0, 1, 2, 3, 4, 5, 20, 21, 22, 2000)]
    yield f"back-off → {backs}"
    yield (
        "a long back-off →"
        f" {[replace(POLICY, longest_retry=1e9).backoff(tries) for tries in (20, 21, 22, 23)]}"
    )
    spread = [(times, tries) for times in (1, 2, 3) for tries in (0, 1, 3, 20, 21, 22)]
    long = replace(POLICY, longest_retry=1e9)
    yield (
        f"spacing → {[long.spacing(8.0, *one) for one in spread]},"
        f" {[POLICY.spacing(8.0, *one) for one in spread]}"
    )
    yield f"fence → {[fence.admits(present, mine) for present, mine in ((1, 1), (2, 1), (1, 2))]}"
    yield f"endless → {', '.join(sorted(patience.ENDLESS))}"
    long = replace(known, playbook="p" * 70), KeyRecord("a", replace(label, playbook="p" * 60).text)
    yield f"a long name → {shown(sweep.orphans([long[1]], long[0]))}"
    twice = [records["ours"], replace(records["ours"], id="c")]
    yield f"two with one label → {shown(sweep.orphans(twice, known))}"
    keys = [
        OLD,
        NEW,
        Key("old"),
        Key("", "f-old"),
        Key(),
        Key("", "", "o…d"),
        Key("", "", "x"),
        Key("", "", "xy"),
    ]
    keys.append(Key("", "0123456789abcdef"))
    for key in keys:
        same = [shown(other) for other in (*keys, None) if key.same(other)]
        yield f"key {shown(key)} → {key!s}; same as {same}"


def _ours() -> Iterator[str]:
    strange = Strange("s", "f-x", (OTHER,))
    for name, facts in {
        "nothing": Lost(()),
        "one": Lost((OTHER,)),
        "not certain": Lost((), "2 new keys"),
        "a later attempt": Lost((OTHER,), later=(NEW, OLD)),
        "cannot be read": Lost((OTHER,), blind=("s", "t")),
        "nothing left, cannot be read": Lost((), blind=("s",)),
        "a store holds it": Lost((OTHER,), strange=(strange,)),
        "not certain, a store holds one": Lost((), "2 new keys", strange=(strange,)),
        "not certain, a store holds one of two": Lost(
            (), "2", strange=(strange,), candidates=(NEW, OTHER)
        ),
        "a store holds it, with a hint": Lost(
            (OTHER,), strange=(Strange("s", "f-x", (replace(OTHER, hint="h"),)),)
        ),
        "two stores hold it": Lost((OTHER,), strange=(strange, replace(strange, store="t"))),
        "two stores hold two": Lost((OTHER,), strange=(strange, Strange("t", "f-y", (OTHER,)))),
        "a store holds one of two": Lost(
            (OTHER, NEW), strange=(replace(strange, may_be=(OTHER, NEW)),)
        ),
        "two stores, two ids": Lost(
            (OTHER, NEW), strange=(strange, replace(strange, may_be=(NEW,)))
        ),
        "a store holds a stranger": Lost((OTHER,), strange=(Strange("s", "f-x"),)),
        "a store and an instance": Lost((OTHER,), strange=(strange,), shown=frozenset({"f-x"})),
        "a store, and an instance another": Lost(
            (OTHER,), strange=(strange,), shown=frozenset({"f-y"})
        ),
        "an instance": Lost((OTHER,), shown=frozenset({"f-x"})),
        "used": Lost((OTHER,), used=(OTHER,)),
        "the old one is hidden": Lost((OTHER,), hidden=(OLD,)),
        "nothing left, the old one is hidden": Lost((), hidden=(OLD,)),
    }.items():
        yield f"{name} → {shown(lost.what_it_left(facts))}"
    label = Label("inst", "p", "r", 1)
    ours, foreign = KeyRecord("new", label.text, "h"), KeyRecord("b", "made by hand", "g")
    for name, (listed, key, before) in {
        "shown": ([foreign, ours], NEW, ()),
        "not yet": ([foreign], NEW, ()),
        "there before": ([ours], NEW, ("new",)),
        "there before, ours is another": ([foreign, replace(ours, id="c")], Key("b"), ("b",)),
        "under another id": ([replace(ours, id="c")], NEW, ()),
        "without an id": ([ours], Key("", "f-new"), ()),
        "without an id, not yet": ([foreign], Key("", "f-new"), ()),
        "without our label": ([replace(ours, label="x")], NEW, ()),
        "two": ([ours, replace(ours, id="c")], NEW, ()),
        "of another value": ([replace(ours, hint="no")], NEW, ()),
    }.items():
        by_label = recognise.by_label(
            listed, key, label, before, lambda record: record.hint != "no"
        )
        yield (
            f"{name} → {shown(by_label)}; by difference"
            f" {shown(recognise.by_difference(listed, key, before))}"
        )
    slots = [
        (None, ()),
        ("f-new", ()),
        ("f-new", ("f-old",)),
        ("f-new", ("f-new",)),
        ("f-old", ("f-old",)),
    ]
    yield f"slots → {[shown(recognise.in_slot(slot, NEW, before)) for slot, before in slots]}"
    hidden = sweep.not_shown([OLD, NEW], [KeyRecord("new")])
    later = [replace(ours, label=replace(label, attempt=n).text) for n in (1, 2)]
    others = [
        replace(later[1], label=replace(label, attempt=3, **one).text)
        for one in ({"rotation": "q"}, {"playbook": "q"})
    ]
    found = sweep.of_later_attempts([*later, *others, foreign], label)
    long = replace(label, playbook="p" * 70), replace(label, playbook="p" * 60, attempt=2)
    of_long = sweep.of_later_attempts([replace(ours, label=long[1].text)], long[0])
    yield f"of later attempts, a long name → {shown(of_long)}"
    yield f"not shown → {shown(hidden)}; of later attempts → {shown(found)}"


def text() -> str:
    return "".join(
        f"# {name}\n" + "".join(f"{line}\n" for line in group()) for name, group in groups().items()
    )


if __name__ == "__main__":
    IN_FULL = "--full" in sys.argv
    if IN_FULL:
        print(text())
    else:
        FILE.write_text(text())
