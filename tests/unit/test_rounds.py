"""How often a key is asked for, and when: what does not depend on consumers is asked while they
take the key up.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.core import debt as debt_machine
from rotator.core import debt_death, keep, machine, order, patience
from rotator.core.action import Call, Done, Failed, Kind, Later, Op, Result, Swept, WaitUntil
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.order import Order
from rotator.core.plan import ConsumerPlan, Key, Plan, Policy, StorePlan
from rotator.core.state import Cause, Phase, Rotation, Write

OLD, NEW = Key("k1", "f1"), Key("k2", "f2")
POLICY = Policy(
    passes=3, pass_interval=1.0, deadline=600.0, grace=0.0, quiet=0.0, soak=0.0, watch=0.0
)
PLAN = Plan((StorePlan("s"), StorePlan("t")), (ConsumerPlan("c"),), policy=POLICY, tells_use=False)
STARTED = Rotation(
    "r",
    "p",
    PLAN,
    Phase.RESTART,
    now=100.0,
    since=100.0,
    old=OLD,
    new=NEW,
    round=1,
    writes=(Write("1", touched=True, intended=True),) * 2,
)
REFUSED = Failed(0.0, "401", kind=Kind.REJECTED)


def _told(rotation: Rotation, at: float, result: Result | None = None) -> Rotation:
    """What a result at this moment teaches; without one the wait is over."""
    return machine.apply(rotation, replace(result or Done(at), at=at))


def _rolled_out(
    until: float, answers: dict[float, Result] | None = None, every: float = 0.25
) -> Rotation:
    """A roll-out that is looked at each quarter of a second and ends at `until`; the provider
    answers as told.
    """
    rotation = _told(STARTED, 100.0)
    while True:
        action = machine.next_action(rotation)
        if isinstance(action, WaitUntil):
            rotation = _told(rotation, action.at)
        elif isinstance(action, Call) and action.op is Op.ACCEPT:
            rotation = _told(rotation, rotation.now, (answers or {}).get(rotation.now, Done(0.0)))
        elif rotation.now >= until:
            return _told(rotation, rotation.now)
        else:
            rotation = _told(rotation, rotation.now, Later(0.0, every))


def _asked(until: float) -> list[float]:
    """When the provider is asked during such a roll-out."""
    moments: list[float] = []

    class Noted(dict):  # type: ignore[type-arg]
        def get(self, at: float, default: Result) -> Result:  # type: ignore[override]
            moments.append(at)
            return default

    _rolled_out(until, Noted([(0.0, REFUSED)]))
    return moments


def test_the_provider_is_asked_while_consumers_take_the_key_up_and_all_probes_once_afterwards() -> (
    None
):
    verifying = _rolled_out(104.0)
    assert _asked(104.0) == [100.0, 101.0]
    assert verifying.phase is Phase.VERIFY and verifying.wake is None
    assert _told(verifying, 104.0).phase is Phase.LOOK


def test_a_roll_out_that_ends_early_leaves_the_rest_of_the_rounds_to_verify() -> None:
    """Three rounds, each a pause after the one before, whatever they are asked beside:
    never fewer.
    """
    verifying = _rolled_out(100.5)
    once = _told(
        verifying, 100.5
    )  # too soon after the one at 100.0: it tells what is wrong, and does not count
    assert (once.phase, once.wake) == (Phase.VERIFY, 101.0)
    twice = _told(_told(once, 101.0), 101.0)
    assert (twice.phase, twice.wake) == (Phase.VERIFY, 102.0)
    assert _told(_told(twice, 102.0), 102.0).phase is Phase.LOOK


def test_what_the_provider_says_meanwhile_never_stands_for_the_probes() -> None:
    """However often it accepted the key: a consumer that does not work with it stops
    the rotation.
    """
    failing = _told(_rolled_out(104.0), 104.0, Failed(0.0, "api answers 500"))
    assert failing.phase is Phase.WAY_BACK and "500" in failing.problem


def test_a_provider_that_flaps_during_the_roll_out_begins_the_rounds_anew() -> None:
    verifying = _rolled_out(101.75, {101.0: REFUSED})
    assert verifying.accepted == 0
    for at in (101.75, 102.75):
        verifying = _told(verifying, at)
        assert verifying.phase is Phase.VERIFY, at
        verifying = _told(verifying, verifying.wake or 0.0)
    assert _told(verifying, 103.75).phase is Phase.LOOK


def test_a_refusal_right_before_the_end_counts_what_came_after_it() -> None:
    """Refused, then accepted once during the roll-out: two rounds are left."""
    verifying = _rolled_out(101.75, {100.0: REFUSED})
    first = _told(verifying, 102.0)
    assert (first.phase, first.accepted) == (Phase.VERIFY, 2)


def test_an_answer_that_does_not_come_changes_nothing_of_the_roll_out() -> None:
    """Neither its tries nor its deadline nor its handle are of the provider's making."""
    rolling = replace(_told(STARTED, 100.0), tries=2, handle="h")
    for failed in (Failed(0.0, "503", permanent=False), REFUSED, Failed(0.0, "403")):
        beside = _told(rolling, 100.0, failed)
        assert (beside.phase, beside.tries, beside.handle, beside.since) == (
            Phase.CONVERGE,
            2,
            "h",
            100.0,
        )
        assert beside.wake is None and beside.problem == ""
    busy = _told(replace(rolling, accepted=1), 101.0, Failed(0.0, "503", permanent=False))
    assert busy.accepted == 1  # who does not answer has not refused it


def test_where_nothing_can_ask_without_a_consumer_all_rounds_come_afterwards() -> None:
    verifying = _rolled_out(104.0, {100.0: Failed(0.0, "no probe", kind=Kind.UNSUPPORTED)})
    for at in (104.0, 105.0):
        verifying = _told(verifying, at)
        assert verifying.phase is Phase.VERIFY
        verifying = _told(verifying, verifying.wake or 0.0)
    assert _told(verifying, 106.0).phase is Phase.LOOK


def test_rounds_of_another_process_do_not_count() -> None:
    """It may have been a week ago."""
    assert machine.picked_up(_rolled_out(104.0)).accepted == 0


def test_each_restart_of_all_begins_its_rounds_anew() -> None:
    """What was accepted before consumers were told once more is of the round before."""
    stuck = replace(_rolled_out(104.0), phase=Phase.STUCK, came_from=Phase.CONVERGE)
    resumed = order.order_rotation(stuck, Order.RESUME, 105.0)
    assert (
        isinstance(resumed, Rotation) and resumed.phase is Phase.RESTART and resumed.accepted == 0
    )


def test_a_clock_that_is_set_back_does_not_put_the_next_round_off() -> None:
    back = patience.set_back(replace(STARTED, now=10_000.0, accept_at=10_001.0), 1_000.0)
    assert back.accept_at == 1_001.0


# --- proofs of a key's death ---
REVOKED = debt_death.to_be_proven(
    Debt("d", "p", "r", OLD, Cause.ROTATED, PLAN, now=100.0, versions=("1", "2"))
)
REFUSAL = Done(0.0, Proof.REFUSED)
ACCEPTED = Done(0.0, Proof.NONE)


def _of(revocation: float | None, **changes: object) -> Debt:
    policy = replace(POLICY, revocation=revocation)
    return replace(REVOKED, plan=replace(PLAN, policy=policy), **changes)  # type: ignore[arg-type]


def _heard(debt: Debt, at: float, result: Result) -> Debt:
    return debt_machine.apply(debt, replace(result, at=at))


def _put_away(debt: Debt, at: float) -> Debt:
    """Retired in both stores, and swept."""
    for result in (Done(0.0), Done(0.0), Done(0.0, Swept())):
        debt = _heard(debt, at, result)
    return debt


def test_proofs_are_spread_over_the_time_in_which_a_revocation_becomes_known() -> None:
    """Meanwhile what is left of the key is put away; it counts as dead, and its value is let go,
    after the last one.
    """
    first = _heard(_of(8.0), 100.0, REFUSAL)
    assert (
        first.phase is DebtPhase.RETIRE
        and not first.proven
        and keep.still_needed(None, (first,)) == (OLD,)
    )
    second = _put_away(first, 101.0)
    assert (second.phase, second.wake, second.proof) == (DebtPhase.PROVE, 104.0, Proof.NONE)
    assert keep.still_needed(None, (second,)) == (OLD,)
    third = _heard(_heard(second, 104.0, Done(0.0)), 104.0, REFUSAL)
    assert (third.phase, third.wake) == (DebtPhase.PROVE, 108.0)
    paid = _heard(_heard(third, 108.0, Done(0.0)), 108.0, REFUSAL)
    assert (paid.phase, paid.proof) == (DebtPhase.PAID, Proof.REFUSED)


def test_where_a_revocation_is_known_at_once_nothing_is_waited_for() -> None:
    proving = _of(0.0)
    for _ in range(2):
        proving = _heard(proving, 100.0, REFUSAL)
        assert (proving.phase, proving.wake) == (DebtPhase.PROVE, None)
    proven = _heard(proving, 100.0, REFUSAL)
    assert (proven.phase, proven.proof) == (DebtPhase.RETIRE, Proof.REFUSED)
    assert _put_away(proven, 100.0).phase is DebtPhase.PAID


def test_what_a_catalog_does_not_say_of_old_keys_it_says_of_new_ones() -> None:
    proving = replace(_of(None), plan=replace(PLAN, policy=replace(POLICY, propagation=8.0)))
    assert _put_away(_heard(proving, 100.0, REFUSAL), 100.0).wake == 104.0


def test_a_dead_key_that_is_accepted_begins_the_proofs_anew_and_doubles_their_pause() -> None:
    """A provider that flaps: no lucky refusal counts, and what comes after is spread further."""
    flapping = _heard(_of(0.0), 100.0, REFUSAL)
    flapping = _heard(flapping, 100.0, ACCEPTED)
    assert (flapping.passes, flapping.wake) == (0, 101.0)
    flapping = _heard(_heard(flapping, 101.0, Done(0.0)), 101.0, REFUSAL)
    assert (flapping.phase, flapping.wake) == (DebtPhase.PROVE, 103.0)
    flapping = _heard(_heard(flapping, 103.0, Done(0.0)), 103.0, ACCEPTED)
    assert (flapping.passes, flapping.proven, flapping.wake) == (0, False, 105.0)


def test_one_that_is_accepted_again_after_it_was_put_away_goes_on_being_proven() -> None:
    swept = _put_away(_heard(_of(8.0), 100.0, REFUSAL), 101.0)
    again = _heard(_heard(swept, 104.0, Done(0.0)), 104.0, ACCEPTED)
    assert (again.phase, again.passes, again.proven) == (DebtPhase.PROVE, 0, False)
    assert keep.still_needed(None, (again,)) == (OLD,)


@pytest.mark.parametrize("how", [{"by_hand": True}, {"tries": 1}])
def test_before_all_proofs_nothing_is_put_away_on_a_persons_word_or_of_a_key_that_still_worked(
    how: dict[str, object],
) -> None:
    assert _heard(_of(8.0, **how), 100.0, REFUSAL).phase is DebtPhase.PROVE


def test_a_lag_that_is_documented_needs_nobodys_attention() -> None:
    """It may be longer than a step: until then an edge may still accept the key."""
    late = replace(_of(900.0), since=100.0)
    assert _heard(late, 800.0, ACCEPTED).phase is DebtPhase.PROVE
    assert _heard(late, 1_001.0, ACCEPTED).phase is DebtPhase.HELD


def test_where_nothing_can_ask_its_providers_word_is_enough() -> None:
    told = _heard(_of(8.0), 100.0, Failed(0.0, "no probe", kind=Kind.UNSUPPORTED))
    assert told.phase is DebtPhase.RETIRE and told.proven and told.proof is Proof.NONE
    assert _put_away(told, 100.0).phase is DebtPhase.PAID
