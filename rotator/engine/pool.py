"""Many works side by side on a few threads. A work is a generator that yields when it wants to go
on; a wait holds no thread, so a thousand roll-outs are watched with sixteen.

Who waits for somebody else, a provider that does not answer, counts as none of the sixteen: another
thread goes on with the others. Works are of groups, which depend on the same neighbour: they take
turns, and where some of a group hang already, the rest of it begins slowly, so that a hundred that
will hang do not take the processor from one that works.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rotator import deadline
from rotator.engine.clock import Clock

T = TypeVar("T")
Work = Generator[
    float, None, T
]  # yields the moment (Unix seconds) at which it wants to be continued
_HANGS = 1.0  # seconds after which who is still outside does not come back soon
_STALLS = 3.0  # and after which who never said that it is outside counts as if it were
_PACE = 0.1  # seconds between two of a group some of which hang
_LOOK = 0.05  # seconds between two looks whether something became ripe, or hangs


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
    pool = _Pool[T](clock, works, threads, groups or [""] * len(works))
    pool.run()
    if pool.failures:
        raise pool.failures[0]
    return [pool.results[number] for number in range(len(works))]


@dataclass
class _Pool(Generic[T]):
    clock: Clock
    works: Sequence[Work[T]]
    most: int
    groups: Sequence[str]
    results: dict[int, T] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = [(0.0, number) for number in range(len(self.works))]
        self._ripe: dict[str, deque[int]] = {group: deque() for group in self.groups}
        self._left = len(self.works)
        self._threads = self._idle = 0
        self._inside: dict[int, float] = {}  # works that are being continued, since when
        self._outside: dict[int, float] = {}  # and those of them that wait for somebody else
        self._begun: dict[str, float] = {}  # when the last one of each group was continued

    def run(self) -> None:
        """Until all have ended.

        Threads are begun as they are needed, and left to themselves at an interruption.
        """
        with self._changed:
            while self._left:
                while self._wants_thread():
                    self._threads += 1
                    threading.Thread(
                        target=self._help, name=f"rotation {self._threads}", daemon=True
                    ).start()
                    self._changed.wait(_LOOK)
                self._changed.wait(_LOOK)

    def _wants_thread(self) -> bool:
        return (
            not self._idle
            and self._threads - self._away() < self.most
            and self._next_group() is not None
        )

    def _help(self) -> None:
        """What each thread does: continue whatever is ripe, until everything has ended."""
        while (number := self._next()) is not None:
            deadline.told_when_outside(lambda outside, number=number: self._went(number, outside))  # type: ignore[misc]
            try:
                self._later(number, next(self.works[number]))
            except StopIteration as ended:
                self.results[number] = ended.value
                self._ended(number)
            except BaseException as error:
                self.failures.append(error)
                self._ended(number)

    def _next(self) -> int | None:
        with self._changed:
            self._idle += 1
            try:
                while self._left:
                    group = self._next_group() if self._busy() < self.most else None
                    if group is not None:
                        number = self._ripe[group].popleft()
                        self._inside[number] = self._begun[group] = time.monotonic()
                        return number
                    self._changed.wait(self._pause())
                return None
            finally:
                self._idle -= 1
                self._changed.notify_all()

    def _next_group(self) -> str | None:
        """Whose turn it is: of those that may, the group of which the fewest are under way."""
        now = self.clock.now()
        while self._waiting and self._waiting[0][0] <= now:
            number = heapq.heappop(self._waiting)[1]
            self._ripe[self.groups[number]].append(number)
        under_way = Counter(self.groups[number] for number in self._inside)
        hanging = Counter(self.groups[number] for number in self._hanging())
        may = [
            group
            for group, ripe in self._ripe.items()
            if ripe and self._may(group, under_way[group], hanging[group])
        ]
        return min(may, key=lambda group: under_way[group], default=None)

    def _may(self, group: str, under_way: int, hanging: int) -> bool:
        slow = hanging > 0 and time.monotonic() - self._begun.get(group, 0.0) < _PACE
        others = len(self._ripe) > 1  # for whom there is room, whatever this group does
        return under_way - hanging < self.most - (self.most // 4 if others else 0) and not slow

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
        return max(0.0, self._waiting[0][0] - self.clock.now()) if self._waiting else None

    def _went(self, number: int, outside: bool) -> None:
        with self._changed:
            if outside:
                self._outside[number] = time.monotonic()
                self._changed.notify_all()
            else:
                self._outside.pop(number, None)
                self._inside[number] = time.monotonic()

    def _later(self, number: int, at: float) -> None:
        with self._changed:
            self._inside.pop(number, None)
            heapq.heappush(self._waiting, (at, number))
            self._changed.notify_all()

    def _ended(self, number: int) -> None:
        with self._changed:
            self._inside.pop(number, None)
            self._left -= 1
            self._changed.notify_all()
