"""An order is carried out by this process, or written down for whoever holds the playbook's lease,
and followed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from rotator.core.action import WaitUntil
from rotator.engine.keeper import who_works_on
from rotator.engine.pool import Work
from rotator.errors import BusyError, RefusedError
from rotator.journal import standing
from rotator.playbook.directory import Loaded
from rotator.usecases.runtime import Leased, Runtime
from rotator.usecases.situation import Situation

T = TypeVar("T")
_FOLLOW_EVERY = 0.3


def with_the_lease(
    runtime: Runtime,
    name: str,
    loaded: Loaded,
    hand_over: Callable[[], int],
    mine: Callable[[Leased, int], Work[T]],
    followed: Callable[[int, bool], T | None],
    anywhere: bool = False,
    besides: str = "",
) -> Work[T]:
    """`mine` is done by this process, as soon as it gets the lease; where the playbook is another
    node's, only if that may be done `anywhere`.

    Where another process holds it, `hand_over` writes the order down once and gives its number, 0
    before; `followed` looks what becomes of it, None while the holder is at it, and as well, where
    that one has ended, while nobody has taken it up. Raises RefusedError, with what else there is
    to do (`besides`), where another node would have to do it: then the order stands no more.
    """
    number = 0
    while True:
        try:
            held = runtime.keeper.take(name)
        except BusyError:
            number = number or hand_over()
            again = runtime.clock.now() + _FOLLOW_EVERY
            runtime.waits(
                None, WaitUntil(again, _what_the_holder_does(runtime.situation(name, loaded)))
            )
        else:
            away = runtime.elsewhere(name, loaded)
            if away is not None and not anywhere:
                refused = away.refusal(name, runtime.fleet.node, besides)
                try:
                    # Who held it may have done it, and have ended since the last look
                    if number and (found := followed(number, True)) is not None:
                        return found
                    if number:  # under the lease: nobody takes it up meanwhile
                        _take_back(runtime, number, refused)
                finally:
                    runtime.keeper.give_back(held)
                raise refused
            with runtime.working(name, held, loaded, away is not None) as leased:
                return (yield from mine(leased, number))
        if number and (found := followed(number, False)) is not None:
            return found
        yield runtime.clock.now() + _FOLLOW_EVERY


def _take_back(runtime: Runtime, number: int, refused: RefusedError) -> None:
    """Who is told that an order was refused gives it elsewhere: it must not be carried out, too."""
    with runtime.journal.database.write() as connection:
        standing.withdraw(connection, number, refused.message)


def _what_the_holder_does(present: Situation) -> str:
    """For what is waited, in words: who has the order, and what it is at."""
    holding = present.holding
    holder = f"{present.name} is worked on"
    if holding is not None and not holding.expired:
        holder = who_works_on(present.name, holding)
    at = present.unfinished.phase if present.unfinished is not None else "old keys"
    return f"{holder}: it has the order now, and is followed ({at})"


def answered(runtime: Runtime, number: int) -> standing.Answer | None:
    """What the holder made of the order; None while it waits.

    Raises RefusedError where the holder could not do it.
    """
    with runtime.journal.database.read() as connection:
        answer = standing.answered(connection, number)
    if answer is not None and answer.refused:
        raise RefusedError(answer.refused, answer.hint)
    return answer
