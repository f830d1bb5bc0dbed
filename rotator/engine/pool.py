"""Many works side by side on a few threads. A work is a generator that yields when it wants to go
on; a wait holds no thread, so a thousand roll-outs are watched with sixteen.

Who waits for somebody else, a provider that does not answer, counts as none of the sixteen: another
thread goes on with the others. Works are of groups, which depend on the same neighbour: they take
turns, and where some of a group hang already, the rest of it begins slowly, so that a hundred that
will hang do not take the processor from one that works.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from rotator import deadline
from rotator.engine.clock import Clock
from rotator.journal.clocks import Reading

T = TypeVar("T")
Work = Generator[
    float, None, T
]  # yields the moment (Unix seconds) at which it wants to be continued
_HANGS = 1.0  # seconds after which who is still outside does not come back soon
_STALLS = 3.0  # and after which who never said that it is outside counts as if it were
# So many threads are left to those of one group that hang, and to all: the rest waits for its turn.
_MOST_HANGING, _MOST_THREADS = 64, 512
_PACE = 0.1  # seconds between two of a group some of which hang
_REST = 10.0  # seconds after which the clock is looked at again, however long a wait is
_LOOK = 0.05  # seconds between two looks whether something became ripe, or hangs
_NO_THREAD = 1.0  # seconds until a thread is asked for again that this machine did not give


def drive(clock: Clock, work: Work[T]) -> T:
    """One work, to its end, in this thread."""
    while True:
        try:
            at = next(work)
        except StopIteration as ended:
            found: T = ended.value
            return found
        clock.wait(at - clock.now())


def drive_all(
    clock: Clock, works: Sequence[Work[T]], threads: int, groups: Sequence[str] = ()
) -> list[T]:
    """All works, `threads` at once besides those that wait for others; results in their order.

    `groups` names on whom each depends. The first exception is raised when all have ended; an
    interruption at once.
    """
    if len(works) == 1:
        return [drive(clock, works[0])]
    pool = Pool(clock, threads, shared=len(set(groups)) > 1)
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    for number, work in enumerate(works):
        group = groups[number] if groups else ""
        pool.add(work, group, partial(results.__setitem__, number), failures.append)
    pool.finish()
    if failures:
        raise failures[0]
    return [results[number] for number in range(len(works))]


@dataclass(frozen=True)
class _Task(Generic[T]):
    work: Work[T]
    group: str
    ended: Callable[[T], object]
    failed: Callable[[BaseException], object]


class Pool:
    """Works that come and go. Whoever has one calls `finish`, or `run` in a thread of its own.

    `most` threads go on with works at once, besides those that wait for others; where they are
    `shared` by several groups, none of these gets more than three quarters.
    """

    def __init__(self, clock: Clock, most: int, shared: bool = True) -> None:
        self.clock, self.most, self._shared = clock, most, shared
        self._changed = threading.Condition()
        self._tasks: dict[int, _Task[Any]] = {}  # all that have not ended
        self._number = 0
        self._waiting: list[tuple[float, int]] = []  # until when, by the clock that never jumps
        self._reading = self._read()[1]
        self._ripe: dict[str, deque[int]] = {}
        self._threads = self._idle = 0
        self._inside: dict[int, float] = {}  # works that are being continued, since when
        self._outside: dict[int, float] = {}  # and those of them that wait for somebody else
        self._begun: dict[str, float] = {}  # when the last one of each group was continued
        self._last = False  # no further one is added
        self._stops = False  # nor is one continued that waits

    def add(
        self,
        work: Work[T],
        group: str,
        ended: Callable[[T], object],
        failed: Callable[[BaseException], object],
    ) -> None:
        """`group` names on whom it depends. `ended` or `failed` is called in the thread that was
        the last to continue it.
        """
        with self._changed:
            self._tasks[self._number] = _Task(work, group, ended, failed)
            heapq.heappush(self._waiting, (0.0, self._number))
            self._number += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Until all have ended. Threads are left to themselves at an interruption."""
        self._last = True
        self.run()

    def run(self) -> None:
        """Threads are begun as needed, until no work is added any more and all have ended."""
        with self._changed:
            while not self._is_over():
                if not self._wants_thread():
                    self._changed.wait(_LOOK if self._inside else self._pause())
                elif self._begins_thread():
                    self._changed.wait(_LOOK)
                else:
                    self._changed.wait(_NO_THREAD)

    def _begins_thread(self) -> bool:
        """False where this machine has no thread to give now: works wait for those there are."""
        name = f"rotation {self._threads + 1}"
        try:
            threading.Thread(target=self._help, name=name, daemon=True).start()
        except RuntimeError:
            return False
        self._threads += 1
        return True

    def close(self) -> None:
        """Nothing is begun any more. Works that wait are closed, which ends what they have open;
        those that are being continued run until they want to wait. `drained` tells when they have.
        """
        with self._changed:
            self._last = self._stops = True
            idle = [number for number in self._tasks if number not in self._inside]
            self._waiting.clear()
            self._ripe.clear()
            self._changed.notify_all()
        # Each gives its lease back, for which a journal that others have locked lets it wait.
        closing = threading.Thread(target=self._close, args=(idle,), name="closing", daemon=True)
        try:
            closing.start()
        except RuntimeError:  # no thread is to be had
            self._close(idle)

    def _close(self, idle: Sequence[int]) -> None:
        for number in idle:
            with contextlib.suppress(Exception):  # of a work that nobody waits for any more
                self._ended(number, self._tasks[number].work.close)

    def drained(self, seconds: float) -> bool:
        """Whether all have ended within so many seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._tasks, seconds)

    def _is_over(self) -> bool:
        return self._last and not self._tasks

    def _wants_thread(self) -> bool:
        return (
            not self._idle
            and self._threads - self._away() < self.most
            and self._threads < _MOST_THREADS
            and self._next_group() is not None
        )

    def _help(self) -> None:
        """What each thread does: continue whatever is ripe, until everything has ended."""
        try:
            self._continue()
        except BaseException:
            with self._changed:  # another takes its place
                self._threads -= 1
                self._changed.notify_all()
            raise

    def _continue(self) -> None:
        while (number := self._next()) is not None:
            deadline.told_when_outside(lambda outside, number=number: self._went(number, outside))  # type: ignore[misc]
            task = self._tasks[number]
            try:
                self._later(number, next(task.work))
            except StopIteration as ended:
                self._ended(number, partial(task.ended, ended.value))
            except BaseException as error:
                self._ended(number, partial(task.failed, error))

    def _next(self) -> int | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._is_over() and self._threads - self._away() <= self.most:
                    group = self._next_group() if self._busy() < self.most else None
                    if group is not None:
                        number = self._ripe[group].popleft()
                        self._inside[number] = self._begun[group] = time.monotonic()
                        return number
                    self._changed.wait(self._pause())
                self._threads -= 1
                return None
            finally:
                self._idle -= 1
                self._changed.notify_all()

    def _next_group(self) -> str | None:
        """Whose turn it is: of those that may, the group of which the fewest are under way."""
        now = self._now()
        while self._waiting and self._waiting[0][0] <= now:
            number = heapq.heappop(self._waiting)[1]
            self._ripe.setdefault(self._tasks[number].group, deque()).append(number)
        under_way = Counter(self._tasks[number].group for number in self._inside)
        hanging = Counter(self._tasks[number].group for number in self._hanging())
        may = [
            group
            for group, ripe in self._ripe.items()
            if ripe and self._may(group, under_way[group], hanging[group])
        ]
        return min(may, key=lambda group: under_way[group], default=None)

    def _may(self, group: str, under_way: int, hanging: int) -> bool:
        slow = hanging > 0 and time.monotonic() - self._begun.get(group, 0.0) < _PACE
        room = self.most // 4 if self._shared else 0  # for others, whatever this group does
        bounded = hanging < _MOST_HANGING
        return bounded and under_way - hanging < self.most - room and not slow

    def _hanging(self) -> list[int]:
        now = time.monotonic()
        stalled = [number for number, since in self._inside.items() if now - since > _STALLS]
        return [
            *stalled,
            *(n for n, since in self._outside.items() if now - since > _HANGS and n not in stalled),
        ]

    def _away(self) -> int:
        """Threads that wait for somebody else."""
        return len({*self._outside, *self._hanging()})

    def _busy(self) -> int:
        return len(self._inside) - self._away()

    def _pause(self) -> float | None:
        if any(self._ripe.values()):
            return _LOOK
        if not self._waiting:
            return None
        return min(max(0.0, self._waiting[0][0] - self._now()), _REST)

    def _read(self) -> tuple[float, Reading]:
        """The clock that never jumps, and how far the other one is ahead of it."""
        boot, steady = self.clock.boot()
        return steady, Reading(boot, self.clock.now() - steady)

    def _now(self) -> float:
        """By the clock that never jumps: a wait gets no longer where the other one is set back, and
        ends earlier where that is set forward.
        """
        steady, reading = self._read()
        if by := reading.jumped_since(self._reading):
            self._reading = reading
            if by > 0:
                self._waiting = [(at - by, number) for at, number in self._waiting]
        return steady

    def _went(self, number: int, outside: bool) -> None:
        with self._changed:
            if number not in self._inside:
                return  # it has ended, and left somebody behind who waits
            if outside:
                self._outside[number] = time.monotonic()
                self._changed.notify_all()
            else:
                self._outside.pop(number, None)
                self._inside[number] = time.monotonic()

    def _later(self, number: int, at: float) -> None:
        with self._changed:
            if not self._stops:
                del self._inside[number]
                self._now()
                heapq.heappush(self._waiting, (at - self._reading.ahead, number))
                self._changed.notify_all()
                return
        self._ended(number, self._tasks[number].work.close)

    def _ended(self, number: int, tell: Callable[[], object]) -> None:
        try:
            tell()
        finally:
            with self._changed:
                self._inside.pop(number, None)
                self._outside.pop(number, None)
                del self._tasks[number]
                self._changed.notify_all()
