"""Single rows of the tables that a person would look up first."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

import rotator.core
from rotator.core import debt as debt_machine
from rotator.core import machine, order, patience, sweep
from rotator.core.action import Done, Failed, Finish, Read, Recovered, Unknown, WaitUntil
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact, look, showing
from rotator.core.order import Order, Refusal
from rotator.core.plan import ConsumerPlan, Key, Plan, Policy, StorePlan
from rotator.core.state import Cause, Phase, Rotation, Write
from rotator.model import Evidence, KeyRecord

OLD, NEW = Key("k1", "f1"), Key("k2", "f2")
PLAN = Plan(stores=(StorePlan("s"),))
DEBT = debt_machine.begin(Debt("d", "p", "r", OLD, Cause.ROTATED, PLAN, now=100.0))


def facts(
    held: str = "f2",
    started: float | None = 20.0,
    ours: bool = True,
    read: str | None = None,
    evidence: Evidence = Evidence.STARTED,
) -> Facts:
    store = StoreFact("s", held, ours, 10.0 if ours else None)
    return Facts(
        (store,), (ConsumerFact("c", evidence, True, (InstanceFact("1", started, read),)),)
    )


@pytest.mark.parametrize(
    ("found", "clear"),
    [
        (facts(), True),
        (facts(held="f1"), False),
        (replace(facts(), now=15.0), False),
        (facts(started=9.0), False),
        (facts(started=None), False),
        (facts(ours=False), False),
        (facts(ours=False, read="f2"), True),
        (facts(read="f1"), False),
        (facts(started=9.0, evidence=Evidence.NONE), True),
        (facts(evidence=Evidence.READ), False),
    ],
)
def test_the_look_lets_a_key_die_only_when_nobody_can_hold_it(found: Facts, clear: bool) -> None:
    assert look(found, OLD, NEW).clear is clear


def test_a_write_only_store_holds_what_we_wrote_while_its_version_is_ours() -> None:
    ours = StoreFact("s", None, True, 10.0, wrote="f2")
    assert look(Facts((ours,)), OLD).clear
    assert not look(Facts((replace(ours, ours=False),)), OLD).clear


def test_only_consumers_that_are_clear_of_the_dying_key_show_it() -> None:
    """Not all those of which evidence is wanted: one that holds the old key, or cannot tell, shows
    nothing.
    """
    old, new = Key("old", "f-old"), Key("new", "f-new")
    held = {"a": "f-new", "b": "f-old", "c": None}
    consumers = tuple(
        ConsumerFact(name, Evidence.READ, True, (InstanceFact("1", fingerprint=found),))
        for name, found in held.items()
    )
    unasked = ConsumerFact("d", Evidence.NONE, True)
    facts = Facts((StoreFact("s", "f-new", written_at=1.0),), (*consumers, unasked))
    assert [one.name for one in showing(facts, old, new)] == ["a"]


def test_a_lap_of_an_undo_is_one_round() -> None:
    """A consumer that still holds the new key is restarted as often as the policy says, not half as
    often.
    """
    consumers = (ConsumerPlan("c", Evidence.READ),)
    plan = Plan((StorePlan("s"),), consumers, policy=Policy(rounds=3))
    written = Write("1", "2", 5.0, intended=True, touched=True)
    rotation = Rotation(
        "r", "p", plan, Phase.UNDO_RESTART, old=OLD, new=NEW, writes=(written,), round=1
    )
    holds_it = facts(held="f1", read="f2", evidence=Evidence.READ)
    results = {
        Phase.RESTORE_READ: Done(1.0, Read("f1", "3")),
        Phase.UNDO_LOOK: Done(1.0, holds_it),
    }
    laps = 0
    while rotation.phase is not Phase.STUCK:
        laps += rotation.phase is Phase.UNDO_RESTART
        rotation = machine.apply(rotation, results.get(rotation.phase, Done(1.0)))
    assert laps == 2 * plan.policy.rounds == rotation.round


def test_grace_is_a_date_not_a_sleep() -> None:
    assert debt_machine.next_action(DEBT) == WaitUntil(100.0 + 86_400, "grace of k1")


def test_a_clock_that_jumps_does_not_end_grace() -> None:
    """Within one boot its clock must agree; after a reboot, or on another machine, the wall clock
    is all there is.
    """
    born = replace(DEBT, boot="b", boot_at=50.0)
    month_later = replace(born, now=100.0 + 2_600_000)
    now = month_later.now
    waiting = debt_machine.by_boot_clock(month_later, now, "b", 60.0)
    assert waiting.born + 86_400 > month_later.now
    assert debt_machine.by_boot_clock(month_later, now, "b", 50.0 + 2_600_000) is month_later
    assert debt_machine.by_boot_clock(month_later, now, "another", 60.0) is month_later


def test_a_clock_that_is_set_back_makes_no_wait_longer() -> None:
    """Debts and rotations count on from where the clock stands now."""
    month = 2_600_000.0
    born = replace(DEBT, born=100.0 + month, now=100.0 + month, boot="b", boot_at=50.0)
    assert debt_machine.by_boot_clock(born, 110.0, "b", 60.0).born == 100.0
    waiting = Rotation(
        "r",
        "p",
        PLAN,
        Phase.CONVERGE,
        now=month,
        since=month - 5,
        wake=month + 2,
        writes=(Write(),),
    )
    moved = patience.set_back(waiting, 1_000.0)
    assert (moved.now, moved.since, moved.wake) == (1_000.0, 995.0, 1_002.0)


@pytest.mark.parametrize("by", [-3_600.0, 3_600.0])
def test_a_clock_that_jumps_takes_every_time_along_and_what_is_not_known_stays_so(
    by: float,
) -> None:
    """Else what started before a write would seem to have started after it."""
    known = Rotation(
        "r",
        "p",
        PLAN,
        now=9_001.0,
        since=9_002.0,
        wake=9_003.0,
        round_at=9_004.0,
        accept_at=9_005.0,
        asked_at=9_006.0,
        alive_at=9_007.0,
        writes=(Write(at=9_008.0), Write()),
    )
    moved = patience.moved(known, by)
    times = ("now", "since", "wake", "round_at", "accept_at", "asked_at", "alive_at")
    assert [getattr(moved, name) for name in times] == [9_001.0 + n + by for n in range(7)]
    assert [write.at for write in moved.writes] == [9_008.0 + by, 0.0]
    unknown = patience.moved(Rotation("r", "p", PLAN), by)
    assert (unknown.wake, unknown.round_at, unknown.accept_at) == (None, 0.0, 0.0)
    assert (unknown.asked_at, unknown.alive_at) == (0.0, 0.0)


def test_a_key_in_use_is_not_quiet() -> None:
    asked = replace(DEBT.to(DebtPhase.QUIET), now=200.0, since=200.0)
    assert debt_machine.apply(asked, Done(200.0, 150.0)).wake == 150.0 + 3_600
    assert debt_machine.apply(asked, Done(4_000.0, 150.0)).phase is not DebtPhase.QUIET


def test_a_failing_probe_in_soak_gives_the_key_back() -> None:
    plan = replace(PLAN, can_deactivate=True)
    soaking = replace(DEBT, plan=plan, probes_pass=True, deactivated=True).to(DebtPhase.SOAK)
    for moment in (101.0, 102.0, 103.0):
        soaking = debt_machine.apply(soaking, Failed(moment, "500", permanent=False))
        soaking = replace(soaking, wake=None)
    assert soaking.phase is DebtPhase.REACTIVATE
    given_back = debt_machine.apply(soaking, Done(104.0))
    assert given_back.phase is DebtPhase.HELD and given_back.person and not given_back.deactivated


def test_a_passing_failure_at_the_deadline_is_a_lasting_one() -> None:
    rotation = Rotation(
        "r", "p", PLAN, Phase.VERIFY, old=OLD, new=NEW, writes=(Write(touched=True, intended=True),)
    )
    patient = machine.apply(rotation, Failed(10.0, "busy", permanent=False))
    assert patient.phase is Phase.VERIFY and patient.wake == 11.0
    late = machine.apply(replace(patient, wake=None), Failed(601.0, "busy", permanent=False))
    assert late.phase is Phase.WAY_BACK


def test_back_off_grows_and_is_bounded() -> None:
    assert [Policy().backoff(n) for n in (1, 2, 3, 10, 1000)] == [1, 2, 4, 60, 60]


def test_difference_is_sure_or_says_why_not() -> None:
    one = KeyRecord("new", created_at=100.0)
    assert sweep.new_since([one], [], 100.0, 5.0) == ((Key("new"),), "")
    assert sweep.new_since([], [], 100.0, 5.0) == ((), "")
    assert "2 new keys" in sweep.new_since([one, KeyRecord("other")], [], 100.0, 5.0)[1]
    assert "used" in sweep.new_since([replace(one, last_used_at=101.0)], [], 100.0, 5.0)[1]
    assert "older" in sweep.new_since([replace(one, created_at=50.0)], [], 100.0, 5.0)[1]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("given", list(Order))
def test_every_order_in_every_state_has_an_answer(phase: Phase, given: Order) -> None:
    """A new state or a reason; never an exception, never a step back to a compromised key."""
    rotation = Rotation(
        "r",
        "p",
        PLAN,
        phase,
        old=OLD,
        new=NEW,
        writes=(Write(),),
        came_from=Phase.VERIFY,
        compromised=True,
    )
    answer = order.order_rotation(rotation, given, 1.0)
    assert isinstance(answer, (Rotation, Refusal))
    if (
        given is Order.UNDO and phase is Phase.RECOGNISE
    ):  # the new key, which nobody holds, is given up: no step back
        assert isinstance(answer, Rotation) and answer.phase is Phase.RECOVER
    elif given is Order.UNDO:
        assert isinstance(answer, Refusal)


@pytest.mark.parametrize("phase", list(DebtPhase))
@pytest.mark.parametrize("given", list(Order))
def test_every_order_to_a_debt_has_an_answer(phase: DebtPhase, given: Order) -> None:
    assert isinstance(order.order_debt(replace(DEBT, phase=phase), given, 200.0), (Debt, Refusal))


def test_what_kept_a_key_alive_is_not_told_of_it_any_more_once_it_is_revoked() -> None:
    """Else a command ends with 4 for a key that is dead, and nothing says why."""
    refused = debt_machine.apply(
        debt_machine.kill(DEBT), Failed(1000.0, "the admin key is refused", permanent=True)
    )
    assert refused.attention
    tried_again = debt_machine.apply(debt_machine.apply(refused, Done(1100.0)), Done(1101.0))
    assert tried_again.phase is DebtPhase.PROVE and not tried_again.attention


def test_a_probe_that_works_again_asks_for_no_attention() -> None:
    watched = replace(DEBT, cause=Cause.COMPROMISED).to(DebtPhase.WATCH)
    for at in range(3):
        watched = replace(debt_machine.apply(watched, Failed(200.0 + at, "refused")), wake=None)
    assert "a probe fails" in watched.attention
    assert not debt_machine.apply(watched, Done(300.0)).attention


def test_a_closed_debt_has_nothing_to_do() -> None:
    assert debt_machine.next_action(debt_machine.void(DEBT)) == Finish(None)


def test_the_core_imports_nothing_that_acts() -> None:
    """No I/O, no clock, no randomness: only data, itself and the model's words."""
    allowed = {"__future__", "collections", "dataclasses", "enum", "re", "rotator"}
    for path in Path(rotator.core.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert str(module).split(".")[0] in allowed, f"{path.name} imports {module}"


def test_a_lagging_list_is_waited_for_from_when_the_answer_was_lost() -> None:
    """The create may have happened until then, not only when it was intended (simulation seed
    2025195).
    """
    asked = Rotation(
        "r", "p", PLAN, Phase.GENERATE, now=100.0, asked_at=100.0, old=OLD, writes=(Write(),)
    )
    lost = machine.apply(asked, Unknown(120.0))
    lag = PLAN.policy.list_lag
    waiting = machine.apply(lost, Done(100.0 + lag, Recovered()))
    assert waiting.phase is Phase.RECOVER and waiting.wake == 120.0 + lag
    again = machine.apply(machine.apply(waiting, Done(120.0 + lag)), Done(120.0 + lag, Recovered()))
    assert again.phase is not Phase.RECOVER and again.attempt == 2
