"""Many works side by side on a few threads. A work is a generator that yields when it wants to go on; a wait holds no
thread, so a thousand roll-outs are watched with sixteen.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rotator.engine.clock import Clock

T = TypeVar("T")
Work = Generator[float, None, T]  # yields the moment (Unix seconds) at which it wants to be continued


def drive(clock: Clock, work: Work[T]) -> T:
    """One work, to its end, in this thread."""
    while True:
        try:
            at = next(work)
        except StopIteration as ended:
            found: T = ended.value
            return found
        clock.wait(at - clock.now())


def drive_all(clock: Clock, works: Sequence[Work[T]], threads: int) -> list[T]:
    """All works, on at most `threads` threads; results in their order. The first exception is raised when all ended."""
    if len(works) == 1:
        return [drive(clock, works[0])]
    pool = _Pool[T](clock, works)
    crew = [threading.Thread(target=pool.help, name=f"rotation {n}") for n in range(min(threads, len(works)))]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    if pool.failures:
        raise pool.failures[0]
    return [pool.results[number] for number in range(len(works))]


@dataclass
class _Pool(Generic[T]):
    clock: Clock
    works: Sequence[Work[T]]
    results: dict[int, T] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = [(0.0, number) for number in range(len(self.works))]
        self._left = len(self.works)

    def help(self) -> None:
        """What each thread does: continue whatever is ripe, until everything has ended."""
        while (number := self._next()) is not None:
            try:
                self._later(number, next(self.works[number]))
            except StopIteration as ended:
                self.results[number] = ended.value
                self._ended()
            except BaseException as error:
                self.failures.append(error)
                self._ended()

    def _next(self) -> int | None:
        with self._changed:
            while self._left:
                pause = self._waiting[0][0] - self.clock.now() if self._waiting else None
                if pause is not None and pause <= 0:
                    return heapq.heappop(self._waiting)[1]
                self._changed.wait(pause)
            return None

    def _later(self, number: int, at: float) -> None:
        with self._changed:
            heapq.heappush(self._waiting, (at, number))
            self._changed.notify()

    def _ended(self) -> None:
        with self._changed:
            self._left -= 1
            self._changed.notify_all()
