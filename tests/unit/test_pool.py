"""A wait holds no thread: many works wait together on a few threads."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from rotator import deadline
from rotator.engine import pool
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


def test_who_waits_for_somebody_else_does_not_hold_up_the_others() -> None:
    """Whether a door tells that it only waits, or nobody does: a hundred that hang, and one that
    works.
    """
    for hang in (_outside, time.sleep):
        free = threading.Event()
        ended: list[float] = []
        begun = time.monotonic()

        def hanging(
            hang: Callable[[float], None] = hang, free: threading.Event = free
        ) -> Work[None]:
            while not free.is_set():
                hang(0.2)
            yield 0.0

        def working(
            ended: list[float] = ended, begun: float = begun, free: threading.Event = free
        ) -> Work[None]:
            for _ in range(3):
                yield time.time() + 0.05
            ended.append(time.monotonic() - begun)
            free.set()

        works = [*(hanging() for _ in range(100)), working()]
        drive_all(SystemClock(), works, 4, ["dead"] * 100 + ["alive"])
        assert ended[0] < 2


def _outside(seconds: float) -> None:
    with deadline.outside():
        time.sleep(seconds)


def test_of_a_group_that_hangs_the_rest_begins_slowly_and_all_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_HANGS", 0.2)
    free = threading.Event()
    began: list[float] = []
    start = time.monotonic()

    def hanging() -> Work[None]:
        began.append(time.monotonic() - start)
        if len(began) == 20:
            free.set()
        with deadline.outside():
            free.wait(20)
        yield 0.0

    drive_all(SystemClock(), [hanging() for _ in range(20)], 4)
    assert len(began) == 20 and sum(at < 0.2 for at in began) <= 4


def test_an_interruption_does_not_wait_for_who_hangs() -> None:
    code = """
import signal, threading, time
from rotator import deadline
from rotator.engine import pool
from rotator.engine.clock import SystemClock
from rotator.engine.pool import drive_all
def hanging():
    print("hangs", flush=True)
    time.sleep(60)
    yield 0.0
signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs in the background ignores it
drive_all(SystemClock(), [hanging(), hanging()], 4)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "hangs\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
