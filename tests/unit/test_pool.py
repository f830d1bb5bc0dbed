"""A wait holds no thread: many works wait together on a few threads."""

from __future__ import annotations

import contextvars
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rotator import deadline
from rotator.engine import pool
from rotator.engine.clock import SystemClock
from rotator.engine.pool import Pool, Work, drive_all


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


def _ending_pool(most: int = 2) -> Pool:
    found = Pool(SystemClock(), most)
    threading.Thread(target=found.run, daemon=True).start()
    return found


def _quick() -> Work[int]:
    yield 0.0
    return 1


def test_threads_that_end_by_a_mistake_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told of an end raises: the works after it go on all the same."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    found, ended = _ending_pool(), list[int]()

    def wrong(_: object) -> None:
        raise ValueError("told wrongly")

    for _ in range(6):
        found.add(_quick(), "", wrong, wrong)
    for _ in range(6):
        found.add(_quick(), "", ended.append, wrong)
    assert found.drained(5) and len(ended) == 6


def test_a_machine_without_a_thread_to_give_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has none at this moment: works that are added later go on, and so does that one."""
    found, ended, refused = Pool(SystemClock(), 2), list[int](), list[str]()
    runner, right = threading.Thread(target=found.run, daemon=True), threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("rotation") and not refused:
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        right(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    runner.start()
    found.add(_quick(), "", ended.append, ended.append)
    assert found.drained(5) and ended == [1] and refused


def test_who_still_waits_for_a_work_that_has_ended_counts_for_nothing() -> None:
    """A thread that the work left behind tells of its wait too late."""
    found, ended, left = _ending_pool(), list[int](), list[Any]()

    def leaving() -> Work[int]:
        left.append(contextvars.copy_context())
        yield 0.0
        return 1

    found.add(leaving(), "", ended.append, ended.append)
    assert found.drained(5)
    waiting = deadline.outside()
    left[0].run(waiting.__enter__)
    time.sleep(pool._HANGS + 0.1)
    for _ in range(4):
        found.add(_quick(), "", ended.append, ended.append)
    assert found.drained(5) and ended == [1] * 5
    left[0].run(waiting.__exit__, None, None, None)
    found.add(_quick(), "", ended.append, ended.append)
    assert found.drained(5) and ended == [1] * 6


def test_works_that_close_slowly_hold_up_nobody_who_closes_the_pool() -> None:
    """Each gives its lease back, for which it may have to wait; one that fails holds up no other."""
    found, go_on, closed = _ending_pool(), threading.Event(), list[int]()

    def slow(number: int) -> Work[None]:
        try:
            yield time.time() + 600
        finally:
            go_on.wait(10)
            closed.append(number)
            if number == 0:
                raise ValueError("cannot be closed")

    for number in range(3):
        found.add(slow(number), "", lambda _: None, lambda _: None)
    while found._inside or len(found._waiting) < 3 or found._waiting[0][0] == 0:
        time.sleep(0.01)
    begun = time.monotonic()
    found.close()
    assert time.monotonic() - begun < 1 and not found.drained(0.1)
    go_on.set()
    assert found.drained(5) and closed == [0, 1, 2]


def test_a_work_that_is_continued_when_the_pool_is_closed_ends_where_it_would_wait() -> None:
    found, inside, go_on, closed = _ending_pool(), threading.Event(), threading.Event(), list[str]()

    def working() -> Work[None]:
        try:
            inside.set()
            go_on.wait(10)
            yield time.time() + 600
            closed.append("it was continued once more")
        finally:
            closed.append("closed")

    found.add(working(), "", lambda _: None, lambda _: None)
    assert inside.wait(5)
    found.close()
    assert not found.drained(0.1) and not closed
    go_on.set()
    assert found.drained(5) and closed == ["closed"]


def test_a_pool_is_closed_on_a_machine_without_a_thread_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, closed, right = _ending_pool(), list[int](), threading.Thread.start

    def waiting() -> Work[None]:
        try:
            yield time.time() + 600
        finally:
            closed.append(1)

    found.add(waiting(), "", lambda _: None, lambda _: None)
    while found._inside or not found._waiting or found._waiting[0][0] == 0:
        time.sleep(0.01)

    def start(thread: threading.Thread) -> None:
        if thread.name == "closing":
            raise RuntimeError("can't start new thread")
        right(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    found.close()
    assert found.drained(5) and closed == [1]


def test_those_that_hang_take_no_thread_each_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a group some hang, the rest waits for them; another group goes on."""
    monkeypatch.setattr(pool, "_HANGS", 0.01)
    monkeypatch.setattr(pool, "_PACE", 0.0)
    monkeypatch.setattr(pool, "_MOST_HANGING", 5)
    free, begun, other = threading.Event(), list[int](), threading.Event()

    def hanging(number: int) -> Work[None]:
        begun.append(number)
        with deadline.outside():
            free.wait(60)
        yield 0.0

    def working() -> Work[None]:
        while len(begun) < 5:
            yield time.time() + 0.01
        for _ in range(20):  # long enough for more of the others to begin
            yield time.time() + 0.02
        assert len(begun) <= 5 + 3, "those that do not hang yet are few"
        other.set()
        free.set()

    works = [*(hanging(number) for number in range(60)), working()]
    drive_all(SystemClock(), works, 4, ["dead"] * 60 + ["alive"])
    assert other.is_set() and sorted(begun) == list(range(60))


def test_a_pool_has_so_many_threads_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_HANGS", 0.01)
    monkeypatch.setattr(pool, "_PACE", 0.0)
    monkeypatch.setattr(pool, "_MOST_THREADS", 6)
    inside, most, lock = [0], [0], threading.Lock()

    def hanging() -> Work[None]:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        with deadline.outside():
            time.sleep(0.05)
        with lock:
            inside[0] -= 1
        yield 0.0

    drive_all(SystemClock(), [hanging() for _ in range(40)], 4, [str(n) for n in range(40)])
    assert most[0] <= 6


class SetClock(SystemClock):
    """A wall clock that is set by `by` seconds."""

    by = 0.0

    def now(self) -> float:
        return super().now() + self.by


@pytest.mark.parametrize(("wait", "by"), [(0.2, -3600.0), (3600.0, 3601.0)])
def test_a_clock_that_is_set_makes_no_wait_longer(
    wait: float, by: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_REST", 0.05)
    clock = SetClock()

    def waits() -> Work[bool]:
        end = clock.now() + wait
        yield end
        return True

    def sets() -> Work[bool]:
        yield clock.now() + 0.1
        clock.by = by
        return True

    begun = time.monotonic()
    assert drive_all(clock, [waits(), waits(), sets()], 2) == [True] * 3
    assert time.monotonic() - begun < 5
