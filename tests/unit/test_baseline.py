"""What stores and consumers must hold before a new key is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rotator.core.baseline import Baseline, Refusal, Shown, StoreState, Why, baseline, shown
from rotator.core.look import ConsumerFact, InstanceFact
from rotator.model import Evidence

A = StoreState("a", "ours")
EMPTY = StoreState("b", "")
FOLLOWED = StoreState("b", "earlier", follows=True)
WRITE_ONLY = StoreState("b", None)


def test_stores_that_hold_one_key_are_the_baseline() -> None:
    assert baseline([A, replace(A, name="b")], "ours") == Baseline("ours")
    assert baseline([A], "") == Baseline("ours"), "a first key: which one it is, its provider tells"
    assert baseline([A], "current", own={"ours"}) == Baseline("ours"), (
        "somebody put an earlier key of ours back"
    )


def test_a_store_that_holds_nothing_is_filled_only_where_the_playbook_says_so() -> None:
    """A typo in `key:` or in a path looks like this."""
    assert baseline([A, EMPTY], "ours") == Refusal(Why.EMPTY, ("b",))
    assert baseline([EMPTY], "ours") == Refusal(Why.EMPTY, ("b",))
    assert baseline([A, replace(EMPTY, create=True)], "ours") == Baseline("ours", ("b",))
    assert baseline([replace(EMPTY, create=True)], "") == Baseline("", ("b",)), (
        "a first key is made"
    )
    assert baseline([A, EMPTY], "ours", fill_all=True) == Baseline("ours", ("b",)), (
        "the leaked key must die"
    )
    followed = replace(EMPTY, follows=True, create=True)
    assert baseline([A, followed], "ours") == Baseline("ours"), "a controller fills it"


def test_a_first_key_is_not_made_while_the_journal_knows_one() -> None:
    """`create: true` is still there, and the path was changed: the key in force is
    somewhere else.
    """
    created = replace(EMPTY, create=True)
    assert baseline([created], "ours") == Refusal(Why.LOST, ("b",))
    assert baseline([created], "ours", lost=True) == Baseline("", ("b",)), (
        "a leaked key is replaced all the same"
    )


def test_stores_that_hold_different_keys_are_not_chosen_from() -> None:
    assert baseline([A, replace(A, name="b", fingerprint="other")], "ours") == Refusal(
        Why.DISAGREE, ("a", "b")
    )
    assert baseline([A, FOLLOWED], "ours") == Refusal(Why.DISAGREE, ("a", "b"))
    assert baseline([A, replace(WRITE_ONLY, wrote="other")], "ours") == Refusal(
        Why.DISAGREE, ("a", "b")
    )


def test_a_followed_store_may_lag_behind() -> None:
    assert baseline([A, replace(FOLLOWED, lagging=True)], "ours") == Baseline("ours")


def test_a_key_that_the_journal_does_not_know_is_not_taken_for_its_own() -> None:
    found = baseline([replace(A, fingerprint="other")], "ours", own={"ours", "earlier"})
    assert found == Refusal(Why.UNKNOWN, ("a",))


def test_a_write_only_store_tells_by_its_version() -> None:
    assert baseline([WRITE_ONLY], "") == Baseline(""), "nothing is known of the first key"
    assert baseline([WRITE_ONLY], "ours") == Baseline(""), "some cannot tell"
    assert baseline([replace(WRITE_ONLY, wrote="ours")], "ours") == Baseline("ours")
    assert baseline([A, replace(WRITE_ONLY, changed=True)], "ours") == Refusal(Why.CHANGED, ("b",))


def _consumer(fingerprint: str | None, **more: bool) -> ConsumerFact:
    return ConsumerFact("c", Evidence.READ, True, (InstanceFact("1", 1.0, fingerprint, **more),))


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (_consumer("ours"), Shown()),
        (_consumer("other"), Shown(another=("c 1",))),
        (_consumer("other", left_alone=True), Shown(left_alone=("c 1",))),
        (_consumer(None), Shown(nothing=("c 1",))),
        (ConsumerFact("c", Evidence.READ), Shown(nothing=("c",))),
        (replace(_consumer("other"), evidence=Evidence.STARTED), Shown()),
        (replace(_consumer(None), evidence=Evidence.ANSWERS), Shown()),
    ],
)
def test_consumers_show_what_the_stores_hold_or_are_named(
    consumer: ConsumerFact, expected: Shown
) -> None:
    assert shown([consumer], "ours") == expected


def test_a_consumer_that_shows_a_key_while_the_stores_hold_none_is_named() -> None:
    """The path is wrong: it reads its key somewhere else."""
    assert shown([_consumer("ours")], "").another == ("c 1",)
