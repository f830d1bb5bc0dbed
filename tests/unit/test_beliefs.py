"""What rotator believes of a key: that it is shown, that it lives, that nobody uses it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.clients import reading
from rotator.core import debt as debt_machine
from rotator.core import debt_before, machine, order, sweep
from rotator.core.action import Done, Failed, Kind, Recognised, Recovered, Unknown
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.order import Order, Refusal
from rotator.core.plan import Key, Plan, Policy, StorePlan
from rotator.core.state import Cause, Outcome, Phase, Rotation, Write
from rotator.model import KeyRecord, Label, Overlap, Recovery

OLD, NEW = Key("k1", "f1"), Key("k2", "f2")
PLAN = Plan(stores=(StorePlan("s"),), tells_use=True)
ROTATION = Rotation(
    "r", "p", PLAN, now=100.0, since=100.0, old=OLD, new=NEW, writes=(Write("1", intended=True),)
)
REFUSED = Failed(100.0, "401", kind=Kind.REJECTED)
DEBT = debt_machine.begin(Debt("d", "p", "r", OLD, Cause.ROTATED, PLAN, now=100.0))


def test_a_new_key_is_shown_by_its_provider_before_any_store_is_written() -> None:
    made = machine.apply(replace(ROTATION, phase=Phase.GENERATE, new=None), Done(100.0, NEW))
    assert made.phase is Phase.RECOGNISE
    assert machine.apply(made, Done(100.0, Recognised(shown=True))).phase is Phase.CHECK


def test_an_id_that_the_provider_does_not_show_stops_before_the_stores() -> None:
    """Nobody knows by which id that key would be destroyed; a person looks, and may look again or
    give it up.
    """
    stopped = machine.apply(
        replace(ROTATION, phase=Phase.RECOGNISE), Done(100.0, Recognised(problem="it is k3"))
    )
    assert stopped.phase is Phase.STUCK and "k2" in stopped.question and "k3" in stopped.question
    assert order.order_rotation(stopped, Order.RESUME, 101.0).phase is Phase.RECOGNISE  # type: ignore[union-attr]
    given_up = order.order_rotation(stopped, Order.UNDO, 101.0)
    assert isinstance(given_up, Rotation) and given_up.phase is Phase.RECOVER and not given_up.owed
    assert "k2" in given_up.possible_orphan
    gone = machine.apply(replace(given_up, now=200.0), Done(200.0, Recovered()))
    assert (
        gone.outcome is Outcome.ROLLED_BACK and gone.attempt == 1 and "k2" in gone.possible_orphan
    )
    unlabelled = replace(stopped, plan=replace(PLAN, recovery=Recovery.DIFFERENCE))
    assert order.order_rotation(unlabelled, Order.UNDO, 101.0).outcome is Outcome.ROLLED_BACK  # type: ignore[union-attr]
    no_overlap = replace(stopped, plan=replace(PLAN, overlap=Overlap.NONE))
    assert isinstance(order.order_rotation(no_overlap, Order.UNDO, 101.0), Refusal)


def test_one_lucky_answer_is_not_acceptance() -> None:
    """All passes come before the first store, spread over the time in which a key becomes known
    everywhere.
    """
    plan = replace(PLAN, policy=Policy(passes=3, propagation=8.0))
    checked, waits = replace(ROTATION, plan=plan, phase=Phase.CHECK), []
    for _ in range(2):
        checked = machine.apply(checked, Done(100.0))
        waits.append(checked.wake)
        checked = replace(checked, wake=None)
    assert waits == [104.0, 104.0] and checked.phase is Phase.CHECK
    assert machine.apply(checked, Done(100.0)).phase is Phase.WRITE


def test_a_refusal_begins_the_passes_anew_and_doubles_their_pause() -> None:
    plan = replace(PLAN, policy=Policy(passes=3, propagation=8.0))
    refused = machine.apply(replace(ROTATION, plan=plan, phase=Phase.CHECK, passes=2), REFUSED)
    assert (refused.passes, refused.wake) == (0, 108.0)
    again = machine.apply(replace(refused, wake=None), Done(100.0))
    assert (again.passes, again.wake) == (1, 108.0)


def test_a_previous_key_that_died_is_not_written_back() -> None:
    """Refused three times in a row it is dead: the rotation goes forward, and says which key was
    refused.
    """
    failing = machine.apply(
        replace(ROTATION, phase=Phase.RESTART), Failed(100.0, "it does not start")
    )
    for _ in range(3):
        assert failing.phase is Phase.WAY_BACK
        failing = replace(machine.apply(failing, REFUSED), wake=None)
    assert failing.phase is Phase.CHECK and failing.forward_only
    assert "k1" in failing.problem and "it does not start" in failing.problem
    both = machine.apply(replace(failing, now=900.0), replace(REFUSED, at=900.0))
    assert both.phase is Phase.STUCK and "k1" in failing.problem


def test_who_cannot_tell_whether_the_previous_key_lives_goes_back_as_ever() -> None:
    asking = replace(ROTATION, phase=Phase.WAY_BACK)
    assert machine.apply(asking, Failed(100.0, "503", permanent=False)).phase is Phase.RESTORE_READ


@pytest.mark.parametrize("phase", [Phase.RESTORE_READ, Phase.RESTORE])
def test_after_a_wait_the_previous_key_is_asked_again(phase: Phase) -> None:
    waiting = replace(ROTATION, phase=phase, wake=130.0, tries=1, alive_at=100.0)
    assert machine.apply(waiting, Done(130.0)).phase is Phase.WAY_BACK


def test_a_create_whose_answer_cannot_be_read_is_not_repeated() -> None:
    lost = machine.apply(
        replace(ROTATION, phase=Phase.GENERATE, new=None),
        Unknown(100.0, "no key in the answer", unreadable=True),
    )
    assert lost.phase is Phase.RECOVER
    over = machine.apply(replace(lost, now=200.0), Done(200.0, Recovered()))
    assert (
        over.outcome is Outcome.ROLLED_BACK
        and over.problem == "no key in the answer"
        and over.attempt == 1
    )


@pytest.mark.parametrize("phase", [DebtPhase.REVOKE, DebtPhase.DEACTIVATE])
def test_quiet_is_asked_again_before_the_act(phase: DebtPhase) -> None:
    """After a refusal, a passing failure or a lost answer somebody may use the key again."""
    acting = replace(DEBT, phase=phase, now=100.0, since=100.0)
    assert machine_of(acting, Failed(100.0, "503", permanent=False)).phase is DebtPhase.QUIET
    assert machine_of(acting, Unknown(100.0)).phase is DebtPhase.QUIET
    held = machine_of(acting, Failed(100.0, "403"))
    assert held.phase is DebtPhase.HELD
    assert machine_of(replace(held, wake=100.0), Done(100.0)).phase is DebtPhase.QUIET


def test_what_was_tried_before_quiet_goes_on_being_counted() -> None:
    """Else a revocation that never works would be tried each second, and nobody would be told."""
    failed = machine_of(
        replace(DEBT, phase=DebtPhase.REVOKE, now=100.0, since=100.0),
        Failed(100.0, "503", "", False),
    )
    asked = machine_of(replace(failed, wake=None), Done(101.0))
    assert asked.phase is DebtPhase.LOOK and (asked.tries, asked.since) == (1, 100.0)


def test_a_leaked_key_is_not_waited_for_nor_a_deactivated_one() -> None:
    for changes in ({"cause": Cause.COMPROMISED}, {"deactivated": True}):
        acting = replace(DEBT, phase=DebtPhase.REVOKE, now=100.0, **changes)
        assert machine_of(acting, Unknown(100.0)).phase in (DebtPhase.LOOK, DebtPhase.LAST_LOOK)


def test_a_provider_that_does_not_answer_has_not_said_that_the_key_is_unused() -> None:
    asking = replace(DEBT, phase=DebtPhase.QUIET, now=100.0, since=100.0)
    untold = machine_of(asking, Failed(100.0, "an endless list", kind=Kind.UNSUPPORTED))
    assert untold.phase is DebtPhase.QUIET and untold.wake == 700.0
    late = machine_of(replace(asking, now=900_000.0), Failed(900_000.0, "an endless list"))
    assert late.phase is DebtPhase.HELD and "cannot be told" in late.attention


def test_a_provider_that_tells_no_use_has_no_quiet_step() -> None:
    silent = replace(DEBT, plan=replace(PLAN, tells_use=False))
    assert machine_of(replace(silent, wake=200.0), Done(200.0)).phase is DebtPhase.GRACE
    assert debt_before.after_grace(silent).phase is DebtPhase.LOOK
    before = replace(DEBT, plan=replace(PLAN, tells_use=None), phase=DebtPhase.QUIET)
    assert (
        machine_of(before, Failed(100.0, "no list", kind=Kind.UNSUPPORTED)).phase is DebtPhase.LOOK
    )


def machine_of(debt: Debt, result: object) -> Debt:
    return debt_machine.apply(debt, result)  # type: ignore[arg-type]


def test_a_year_is_not_waited_for() -> None:
    """Whatever Retry-After says: at most a step's deadline."""
    year = Failed(100.0, "busy", permanent=False, retry_in=31_536_000.0)
    assert (
        machine.apply(replace(ROTATION, phase=Phase.GENERATE, new=None), year).wake == 100.0 + 600.0
    )
    assert machine_of(replace(DEBT, phase=DebtPhase.REVOKE, now=100.0), year).wake == 100.0 + 600.0


def test_a_rotation_that_goes_neither_on_nor_back_is_given_up_by_a_person() -> None:
    """The previous key died, the new one is refused, or an older journal knows neither: there is a
    way out.
    """
    lost = replace(ROTATION, phase=Phase.CHECK, forward_only=True).stuck("both are refused")
    over = order.order_rotation(lost, Order.UNDO, 101.0)
    assert isinstance(over, Rotation) and over.outcome is Outcome.ABANDONED, (
        "no key that works is left: no way back"
    )
    assert [(one.key, one.cause) for one in over.owed] == [(NEW, Cause.SWEPT)]
    assert isinstance(
        order.order_rotation(replace(lost, compromised=True), Order.UNDO, 101.0), Refusal
    )


def test_a_label_that_several_bear_is_no_word_to_destroy_by() -> None:
    """A colleague's key in an account that rotator made bears our name, too."""
    label = Label("i", "p", "r", 1).text
    known = sweep.Known("i", "p", {"r"}, {"ours"})
    assert sweep.orphans([KeyRecord("ours", label), KeyRecord("theirs", label)], known) == ()


def test_a_day_alone_may_mean_its_last_second() -> None:
    assert reading.last_use("2026-11-20") == reading.moment("2026-11-20T00:00:00Z") + 86_400.0  # type: ignore[operator]
    assert reading.last_use("2026-11-20T10:00:00Z") == reading.moment("2026-11-20T10:00:00Z")
