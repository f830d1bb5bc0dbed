"""Every reachable state of the machine keeps the promises; and a machine broken on purpose is
caught.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from rotator.core import debt as debt_machine
from rotator.core import debt_before, fence, forward, machine, recover, sweep, turn, undo
from rotator.core.action import Done, Recovered
from rotator.core.debt_state import DebtPhase
from rotator.core.plan import Key
from rotator.core.state import Phase
from rotator.model import Recovery
from tests.model import explore as explore_of
from tests.model import proof
from tests.model import world as world_of
from tests.model.configs import configs
from tests.model.explore import explore
from tests.model.world import Broken, Config

FULL = bool(os.environ.get("ROTATOR_FULL"))
SHARE = 0.05 if FULL else 0.01  # of all states, walked again where the proof that is kept stands


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_reachable_state_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Promises 1, 2, 3 and 5: a part of the kept proof, chosen anew each time; all, where anything
    of it changed.
    """
    kept, seed = proof.kept(), int(os.environ.get("ROTATOR_FIRST_SEED") or time.time())
    stands = kept.digest == proof.digest()
    walked = proof.walks(proof.sample(kept, SHARE, seed) if stands else configs(FULL))
    states = sum(walk.states for walk in walked.values())
    with capsys.disabled():
        if stands:
            print(
                f"\nmodel: {states} of the proof's {kept.states} states walked again, chosen by"
                f" seed {seed}"
            )
        else:
            print(
                f"\nmodel: {states} states, no broken promise; tests/model/proof.json is older:"
                " make prove"
            )
    assert not stands or not proof.differing(kept, walked), (
        "other states than in the proof, though its digest stands"
    )
    assert states >= (SHARE * kept.states if stands else 50_000)


def test_a_judgement_that_is_dropped_is_noticed_though_the_digest_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is judged of each state is part of the proof, not only which states there are."""
    config, judgements = Config(), explore_of.judgements
    before = proof.Proof("", {proof.name(config): proof.walk(config)})

    def fewer(world: world_of.World, last: bool) -> Iterator[tuple[str, bool]]:
        return (one for one in judgements(world, last) if "promise 1" not in one[0])

    monkeypatch.setattr(explore_of, "judgements", fewer)
    assert proof.differing(before, {proof.name(config): proof.walk(config)}) == [proof.name(config)]


def test_a_machine_that_decides_otherwise_is_noticed_though_the_digest_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that breaks no promise, too: a second look left out where nobody interferes."""
    config = Config(faults=0, strangers=0)
    before = proof.Proof("", {proof.name(config): proof.walk(config)})
    monkeypatch.setattr(debt_before, "before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    assert proof.differing(before, {proof.name(config): proof.walk(config)}) == [proof.name(config)]


@pytest.mark.parametrize(
    "config",
    [Config(regret=True), Config(can_deactivate=True, recovery=Recovery.DIFFERENCE, regret=True)],
)
def test_a_small_model_is_walked_in_a_second(config: Config) -> None:
    """The quick look for every run."""
    assert explore(config) > 1_000


# --- the code broken on purpose ---
def revoke_before_verify(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The old key is revoked as soon as the new one stands in the stores."""
    monkeypatch.setattr(forward, "begin_restarts", forward.pivot)
    monkeypatch.setattr(debt_before, "before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    return [Config()]


def no_second_look(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A debt goes from grace straight to revocation."""
    monkeypatch.setattr(debt_before, "before_look", lambda debt: debt.to(DebtPhase.REVOKE))
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

    def some(rotation, after):
        target = rotation.consumer_after(after)
        return (
            rotation.to(Phase.UNDO_VERIFY)
            if after is not None
            else rotation.to(Phase.UNDO_RESTART, target)
        )

    monkeypatch.setattr(undo, "_restart", some)
    monkeypatch.setitem(
        machine._ROWS, Phase.UNDO_LOOK, lambda rotation, result: undo.settle(rotation)
    )
    monkeypatch.setattr(debt_before, "before_look", lambda debt: debt.to(DebtPhase.REVOKE))
    return [Config(consumers=2)]


def resume_without_fencing(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A holder that froze and woke may write what it believes."""
    monkeypatch.setattr(fence, "admits", lambda present, mine: True)
    return [Config()]


def a_debt_is_paid_while_its_key_is_current_again(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """A debt acts whatever the rotation is doing, even on the key that the rotation may
    go back to.
    """
    monkeypatch.setattr(turn, "may_act", lambda debt, rotation: True)
    monkeypatch.setattr(turn, "current_again", lambda rotation, debts: ())
    go_back_unasked(monkeypatch)  # else the way back is found closed, and no harm is done
    return [Config(prior_debt=True, faults=2, strangers=1)]


def go_back_unasked(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Undo writes the previous key without asking whether it lives."""
    monkeypatch.setitem(
        machine._ROWS,
        Phase.WAY_BACK,
        lambda rotation, result: rotation.to(Phase.RESTORE_READ, rotation.target),
    )
    monkeypatch.setattr(world_of, "_commit_rotation", unasked(world_of._commit_rotation))
    return [Config(deaths=1)]


def a_leaked_key_waits_for_a_look(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Ordered to die first, it is held up by whoever holds it, as any other old key."""
    monkeypatch.setattr(debt_machine, "kill", lambda debt: debt.to(DebtPhase.LOOK))
    return [Config(kills=True, faults=0, strangers=0)]


def a_leaked_key_waits_for_the_rotation(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Ordered to die first, it waits until the rotation has brought the new key out, or stands for
    ever.
    """
    monkeypatch.setattr(
        turn, "may_act", lambda debt, rotation: may_act(replace(debt, at_once=False), rotation)
    )
    return [Config(kills=True, strangers=0)]


may_act = turn.may_act


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
        a_leaked_key_waits_for_a_look,
        a_leaked_key_waits_for_the_rotation,
    ],
)
def test_a_machine_broken_on_purpose_breaks_a_promise(
    breakage, monkeypatch: pytest.MonkeyPatch
) -> None:
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
