"""One restart for several playbooks: what a rotation does about its restart, by what is known of
the others.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.engine.together import Order, Patience, TakeOver, Wait, decide
from rotator.journal.roll_outs import Board, RollOut, Sharer, Stage

NOW, LATE = 100.0, 200.0
PATIENCE = Patience(for_stores=110.0, for_order=150.0)
A = Sharer("a", "book-a", Stage.WRITTEN, since=90.0, round=1, orders=True)
B = Sharer("b", "book-b", Stage.WRITTEN, since=95.0, round=1, orders=True)
COMING = replace(B, stage=Stage.COMING, since=0.0, round=0, orders=False)


def _decided(
    *sharers: Sharer, roll_outs: tuple[RollOut, ...] = (), now: float = NOW
) -> TakeOver | Wait | Order:
    return decide(Board(sharers, roll_outs), "a", "a.new.1", PATIENCE, now)


def test_alone_it_orders_its_own() -> None:
    own = RollOut(0, "a.new.1", "a", "book-a", 90.0)
    assert _decided(A) == Order(own, (A,))


def test_one_order_serves_all_whose_stores_are_written_and_takes_what_began_before_the_last() -> (
    None
):
    assert _decided(A, B) == Order(RollOut(0, "a.new.1", "a", "book-a", 95.0, shared=True), (A, B))


def test_a_clock_that_is_ahead_orders_no_restart_of_what_begins_later() -> None:
    """What was restarted would count as from before the write, and be restarted again and again."""
    ahead = replace(B, since=NOW + 30.0)
    decided = _decided(A, ahead)
    assert decided == Order(RollOut(0, "a.new.1", "a", "book-a", NOW, shared=True), (A, ahead))
    given = replace(decided.roll_out, n=7, ordered=True)
    both = replace(A, roll_out=7, orders=False), replace(ahead, roll_out=7)
    taken = decide(Board(both, (given,)), "b", "b.new.1", PATIENCE, NOW + 30.0)
    assert taken == TakeOver(given), "it was decided for this one, whatever its clock says"


def test_others_whose_stores_are_being_written_are_waited_for_and_not_for_ever() -> None:
    assert _decided(A, COMING) == Wait(("book-b",))
    assert _decided(A, COMING, now=LATE) == Order(RollOut(0, "a.new.1", "a", "book-a", 90.0), (A,))


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(COMING, works=False), id="no process works on it"),
        pytest.param(replace(COMING, wakes=LATE), id="it waits for longer"),
        pytest.param(replace(COMING, stage=Stage.PAST), id="it needs no restart"),
    ],
)
def test_nobody_waits_for_who_will_not_come(other: Sharer) -> None:
    assert _decided(A, other) == Order(RollOut(0, "a.new.1", "a", "book-a", 90.0), (A,))


def test_what_was_ordered_after_its_stores_were_written_is_taken_over() -> None:
    first = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True, ordered=True)
    served = replace(A, roll_out=7)
    assert _decided(served, replace(B, roll_out=7), roll_outs=(first,)) == TakeOver(first)


def test_a_later_one_is_taken_over_as_well() -> None:
    """It has made anew what the first one did, or was to do."""
    first = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True)
    later = RollOut(9, "c.new.1", "c", "book-c", 99.0, shared=True, ordered=True)
    assert _decided(replace(A, roll_out=7), B, roll_outs=(first, later)) == TakeOver(later)


@pytest.mark.parametrize("change", ["b.undo.2", "b.new.2"])
def test_a_later_one_for_a_single_rotation_is_not_taken_over(change: str) -> None:
    """It left alone what showed that one's own key, whatever else that holds."""
    first = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True)
    later = RollOut(9, change, "b", "book-b", 99.0, ordered=True)
    undoing = replace(B, stage=Stage.PAST, orders=False)
    decided = _decided(replace(A, roll_out=7), undoing, roll_outs=(first, later))
    assert isinstance(decided, Order)
    assert decided.roll_out.change == "a.new.1"


def test_a_later_one_whose_answer_is_not_known_does_not_count() -> None:
    first = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True, ordered=True)
    later = RollOut(9, "c.new.1", "c", "book-c", 99.0)
    assert _decided(replace(A, roll_out=7), roll_outs=(first, later)) == TakeOver(first)


def test_a_later_one_that_may_have_left_something_alone_does_not_serve() -> None:
    """It was for a write of before this rotation's own: what began in between needed none for it."""
    lost = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True)
    later = RollOut(9, "c.new.1", "c", "book-c", 85.0, ordered=True)
    decided = _decided(replace(A, roll_out=7), roll_outs=(lost, later))
    assert decided == Order(RollOut(0, "a.new.1", "a", "book-a", 90.0), (replace(A, roll_out=7),))


def test_what_was_ordered_before_its_stores_were_written_never_counts() -> None:
    earlier = RollOut(7, "b.new.1", "b", "book-b", 80.0, ordered=True)
    assert _decided(A, replace(B, roll_out=7), roll_outs=(earlier,)) == Order(
        RollOut(0, "a.new.1", "a", "book-a", 90.0), (A,)
    )


def test_an_order_that_is_under_way_is_waited_for() -> None:
    """Until it is known to have been given, or nobody works on it, or it takes too long."""
    given = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True)
    served = replace(A, roll_out=7)
    own = RollOut(0, "a.new.1", "a", "book-a", 90.0)
    by_b = replace(B, roll_out=7)
    assert _decided(served, by_b, roll_outs=(given,)) == Wait(("book-b",))
    assert _decided(served, by_b, roll_outs=(given,), now=LATE) == Order(own, (served,))
    undoing = replace(by_b, stage=Stage.PAST, orders=False)
    assert _decided(served, undoing, roll_outs=(given,)) == Order(own, (served,))


def test_who_died_while_it_ordered_is_served_by_the_next_order() -> None:
    given = RollOut(7, "b.new.1", "b", "book-b", 95.0, shared=True)
    served, dead = replace(A, roll_out=7), replace(B, roll_out=7, works=False)
    own = RollOut(0, "a.new.1", "a", "book-a", 95.0, shared=True)
    assert _decided(served, dead, roll_outs=(given,)) == Order(own, (served, dead))


def test_its_own_order_whose_answer_was_lost_is_given_once_more() -> None:
    own = RollOut(7, "a.new.1", "a", "book-a", 95.0, shared=True)
    assert _decided(replace(A, roll_out=7), replace(B, roll_out=7), roll_outs=(own,)) == Order(own)


def test_who_is_left_by_an_order_that_nobody_works_on_is_served_by_the_next() -> None:
    lost = RollOut(7, "c.new.1", "c", "book-c", 80.0, shared=True)
    left = replace(A, roll_out=7), replace(B, roll_out=7)
    decided = _decided(*left, roll_outs=(lost,))
    assert isinstance(decided, Order)
    assert decided.serves == left


def test_who_has_its_restart_is_not_restarted_once_more() -> None:
    done = RollOut(7, "b.new.1", "b", "book-b", 95.0, ordered=True)
    again = RollOut(8, "c.new.1", "c", "book-c", 85.0, shared=True)
    converging = replace(B, roll_out=7, orders=False)
    assert _decided(A, converging, roll_outs=(done,)) == Order(
        RollOut(0, "a.new.1", "a", "book-a", 90.0), (A,)
    )
    # nor by an order of before it that nobody works on
    later = replace(done, n=9)
    decided = _decided(A, replace(B, roll_out=8), roll_outs=(again, later))
    assert isinstance(decided, Order)
    assert decided.serves == (A,)
