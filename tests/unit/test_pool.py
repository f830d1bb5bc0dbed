"""A wait holds no thread: many works wait together on a few threads."""

from __future__ import annotations

import threading
import time

import pytest

from rotator.engine.clock import SystemClock
from rotator.engine.pool import Work, drive_all


def test_fifty_works_wait_together_on_four_threads() -> None:
    """Each goes on only after all have begun to wait: impossible if a wait held its thread."""
    waiting: list[int] = []
    seen: list[int] = []
    threads: set[int] = set()

    def work(number: int) -> Work[int]:
        threads.add(threading.get_ident())
        waiting.append(number)
        yield time.time() + 0.3
        seen.append(len(waiting))
        return number * 2

    assert drive_all(SystemClock(), [work(n) for n in range(50)], 4) == [n * 2 for n in range(50)]
    assert min(seen) == 50 and len(threads) <= 4


def test_one_failure_does_not_stop_the_others() -> None:
    done: list[int] = []

    def work(number: int) -> Work[None]:
        yield 0.0
        if number == 1:
            raise ValueError("this one")
        done.append(number)

    with pytest.raises(ValueError, match="this one"):
        drive_all(SystemClock(), [work(n) for n in range(5)], 2)
    assert sorted(done) == [0, 2, 3, 4]
