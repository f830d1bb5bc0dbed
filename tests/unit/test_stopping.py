"""What happens where a process that was told to stop does not end in time."""

from __future__ import annotations

import threading
import time

from rotator import deadline
from rotator.engine.stopping import over_in


def test_who_has_not_ended_in_time_is_ended() -> None:
    stopping, ended = threading.Event(), threading.Event()
    with over_in(0.05, stopping, ended.set):
        assert not ended.wait(0.1), "nobody told it to stop yet"
        stopping.set()
        assert ended.wait(5)


def test_who_has_ended_in_time_is_left_alone() -> None:
    stopping, ended = threading.Event(), threading.Event()
    with over_in(0.2, stopping, ended.set):
        stopping.set()
    time.sleep(0.4)
    assert not ended.is_set()


def test_what_is_in_hand_is_cut_and_what_begins_after_it_too() -> None:
    before, over, after = threading.Event(), threading.Event(), threading.Event()
    try:
        with deadline.cuttable(over.set):
            pass
        with deadline.cuttable(before.set):
            deadline.cut()
            assert before.is_set() and not over.is_set()
        with deadline.cuttable(after.set):
            assert after.is_set()
    finally:
        deadline._ends.clear()  # of this process, which goes on with other tests
