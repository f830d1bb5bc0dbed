"""Every reachable state of the machine keeps the promises; and a machine broken on purpose is caught."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from rotator.core import debt as debt_machine
from rotator.core import fence, forward, machine, recover, sweep, turn, undo
from rotator.core.action import Done, Recovered
from rotator.core.state import DebtPhase, Key, Phase
from rotator.model import Overlap, Recovery
from tests.model import world as world_of
from tests.model.explore import explore
from tests.model.world import Broken, Config

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
FULL = bool(os.environ.get("ROTATOR_FULL"))
WHOLE = bool(os.environ.get("ROTATOR_MODEL_WHOLE"))


def configs() -> list[Config]:
    """Every combination with one fault and one stranger, and every kind with two faults; in short, one of each.

    Regret after the pivot makes large worlds, most of all beside an older debt: that is walked in full for two of them.
    """
    wide = [
        Config(stores, consumers, overlap, recovery, off, compromised, prior, regret=_regrets(stores, consumers, prior))
        for (overlap, recovery, off), stores, consumers, compromised, prior in itertools.product(
            KINDS, (1, 2) if FULL else (1,), (0, 1, 2) if FULL else (1,), (False, True), (False, True)
        )
        if stores + consumers < 4 or not prior  # what interacts there is in the smaller ones
    ]
    deep = [
        Config(overlap=overlap, recovery=recovery, can_deactivate=off, faults=2) for overlap, recovery, off in KINDS
    ]
    both = [Config(can_deactivate=off, prior_debt=True, regret=True) for off in (True, False)]
    return wide + believed() + (deep + both if FULL else [])


# What rotator may wrongly believe: ids that disagree, hints that tell little, stores that hold nothing or a stranger's
# key, an old key that dies at any moment, a journal from before.
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


def believed() -> list[Config]:
    """Each belief alone beside a fault and a stranger, and all pairs; `make soak` walks pairs beside a fault, too."""
    found = {}
    for (overlap, recovery, off), compromised in itertools.product(KINDS, (False, True)):
        kind = {"overlap": overlap, "recovery": recovery, "can_deactivate": off, "compromised": compromised}
        for one, other in itertools.combinations_with_replacement(BELIEFS, 2):
            both = {**one, **other}
            if "answers" in both and recovery not in _LISTED:
                continue
            luck = int(one is other or WHOLE)
            older = both.get("older_journal", False)  # what strangers did since no journal from before can know
            config = Config(**kind, **both, faults=luck * (not older or WHOLE), strangers=luck * (not older))
            found[config] = config
    return list(found)


def _regrets(stores: int, consumers: int, prior: bool) -> bool:
    return not prior and stores + consumers <= 2


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_reachable_state_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Every state of every configuration: promises 1, 2, 3 and 5."""
    every = configs()
    with ProcessPoolExecutor() as pool:  # each configuration is a world of its own
        walked = sum(pool.map(explore, every))
    with capsys.disabled():
        print(f"\nmodel: {walked} states in {len(every)} configurations, no broken promise")
    assert walked > 50_000


@pytest.mark.parametrize(
    "config", [Config(regret=True), Config(can_deactivate=True, recovery=Recovery.DIFFERENCE, regret=True)]
)
def test_a_small_model_is_walked_in_a_second(config: Config) -> None:
    """The quick look for every run."""
    assert explore(config) > 1_000


# --- the code broken on purpose ---
def revoke_before_verify(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The old key is revoked as soon as the new one stands in the stores."""
    monkeypatch.setattr(forward, "begin_restarts", lambda rotation: rotation.to(Phase.KILL))
    return [Config()]


def no_second_look(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A debt goes from grace straight to revocation."""
    monkeypatch.setattr(debt_machine, "_before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    return [Config()]


def sweep_by_difference(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What a lost create left is destroyed by difference, whatever the provider declared."""

    def everything_new(rotation, result):
        if isinstance(result, Done) and isinstance(result.data, Recovered) and result.data.found:
            return recover.replace(rotation.to(Phase.DISCARD), found=result.data.found)
        return original(rotation, result)

    original = machine._ROWS[Phase.RECOVER]
    monkeypatch.setitem(machine._ROWS, Phase.RECOVER, everything_new)
    monkeypatch.setitem(
        machine._CALLS,
        Phase.DISCARD,
        lambda r: machine.Call(machine.Op.REVOKE, "generate", key=r.found[0], attempt=r.attempt),
    )
    return [Config(recovery=Recovery.DIFFERENCE, can_deactivate=True)]


def undo_restarts_only_the_first(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Undo restarts only some consumers, and trusts that the others never saw the new key."""

    def some(rotation, target):
        return rotation.to(Phase.UNDO_VERIFY) if target >= 1 else rotation.to(Phase.UNDO_RESTART, target)

    monkeypatch.setattr(undo, "_restart", some)
    monkeypatch.setitem(machine._ROWS, Phase.UNDO_LOOK, lambda rotation, result: undo.settle(rotation))
    monkeypatch.setattr(debt_machine, "_before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    return [Config(consumers=2)]


def resume_without_fencing(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A holder that froze and woke may write what it believes."""
    monkeypatch.setattr(fence, "admits", lambda present, mine: True)
    return [Config()]


def a_debt_is_paid_while_its_key_is_current_again(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A debt acts whatever the rotation is doing, even on the key that the rotation may go back to."""
    monkeypatch.setattr(turn, "may_act", lambda debt, rotation: True)
    monkeypatch.setattr(turn, "current_again", lambda rotation, debts: ())
    go_back_unasked(monkeypatch)  # else the way back is found closed, and no harm is done
    return [Config(prior_debt=True, faults=2, strangers=1)]


def go_back_unasked(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Undo writes the previous key without asking whether it lives."""
    monkeypatch.setitem(
        machine._ROWS, Phase.WAY_BACK, lambda rotation, result: rotation.to(Phase.RESTORE_READ, rotation.target)
    )
    monkeypatch.setattr(world_of, "_commit_rotation", unasked(world_of._commit_rotation))
    return [Config(deaths=1)]


def unasked(commit):
    """Nobody was asked: what is written then is judged as it is."""
    return lambda *given: replace(commit(*given), asked=False)


@pytest.mark.parametrize(
    "breakage",
    [
        revoke_before_verify,
        no_second_look,
        sweep_by_difference,
        undo_restarts_only_the_first,
        resume_without_fencing,
        a_debt_is_paid_while_its_key_is_current_again,
        go_back_unasked,
    ],
)
def test_a_machine_broken_on_purpose_breaks_a_promise(breakage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: each of these classic mistakes is found by the same walk."""
    for config in breakage(monkeypatch):
        with pytest.raises(Broken):
            explore(config)


def test_labels_of_others_are_never_swept() -> None:
    """Only a label that names a rotation of this journal makes a key a candidate."""
    known = sweep.Known("i", "p", {"r"}, set())
    from rotator.model import KeyRecord, Label

    theirs = [
        KeyRecord("a", "production"),
        KeyRecord("b", Label("other", "p", "r", 1).text),
        KeyRecord("c", Label("i", "p", "unknown", 1).text),
        KeyRecord("d", Label("i", "q", "r", 1).text),
    ]
    ours = KeyRecord("e", Label("i", "p", "r", 1).text)
    assert sweep.orphans([*theirs, ours], known) == (Key("e"),)
