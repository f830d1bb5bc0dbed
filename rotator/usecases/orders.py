"""What people order about a rotation or its old keys: resume, undo, revoke, confirm, abandon.

Each is carried out, by this process or by the one that holds the lease; then the work goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rotator.core.action import Call, WaitUntil
from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.plan import Key
from rotator.core.state import Cause
from rotator.core.turn import turn
from rotator.engine import leaked, ordering, today
from rotator.engine.pool import Work, drive
from rotator.engine.runner import Session
from rotator.engine.staying import Stay
from rotator.errors import BusyError
from rotator.journal import cases, standing
from rotator.playbook.directory import Loaded
from rotator.usecases import following
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.runtime import Leased, Runtime

_WITHDRAWN = "it was withdrawn before anybody took it up"


def order(runtime: Runtime, name: str, given: Order, request: Request) -> Report:
    """resume, undo, revoke, confirm: on the rotation if one is unfinished, else on its debts; then
    carry on.

    Where another process holds the lease, the order is written down for it, and followed. Raises
    ConfigError for a name that nobody knows, RefusedError where there is nothing to do, BusyError
    for an order that only the holder of the lease can carry out itself.
    """
    begun = runtime.clock.now()
    runtime.known(name)
    if given is Order.RESUME and request.today:
        report = _as_today(runtime, name, request)
    else:
        _, report = _ordered(runtime, name, given, request)
    return replace(report, seconds=runtime.clock.now() - begun)


def abandon(runtime: Runtime, name: str, key_id: str, reason: str) -> tuple[Key | None, Report]:
    """The unfinished rotation is over; the key in force from now on, and how it stands."""
    runtime.known(name)
    request = Request(key=key_id, reason=reason)
    answer, report = _ordered(runtime, name, Order.ABANDON, request)
    return next(iter(answer.keys), None), report


def _ordered(
    runtime: Runtime, name: str, given: Order, request: Request
) -> tuple[standing.Answer, Report]:
    loaded = runtime.playbooks()
    handed = _Handed(runtime, name, given, request, loaded)
    with handed.taken_back():
        work = following.with_the_lease(
            runtime, name, loaded, handed.hand_over, handed.mine, handed.followed
        )
        return drive(runtime.clock, work)


@dataclass
class _Handed:
    """One order of a person, and whether it was written down for another process."""

    runtime: Runtime
    name: str
    given: Order
    request: Request
    loaded: Loaded
    number: int = 0
    stay: Stay = field(init=False)

    def __post_init__(self) -> None:
        self.stay = Stay(self.request.wait)

    def hand_over(self) -> int:
        runtime, request = self.runtime, self.request
        with runtime.journal.database.write() as connection:
            rotation = cases.load(connection, self.name).rotation
            self.number = standing.write(
                connection,
                self.name,
                request.key,
                runtime.actor.text,
                request.reason,
                runtime.clock.now(),
                self.given,
                rotation.id if rotation is not None else "",
            )
        return self.number

    @contextlib.contextmanager
    def taken_back(self) -> Iterator[None]:
        """Who was interrupted, or could not go on, did not want it to be done some day."""
        try:
            yield
        finally:
            if self.number:
                with self.runtime.journal.database.write() as connection:
                    standing.withdraw(connection, self.number, _WITHDRAWN)

    def mine(self, leased: Leased, number: int) -> Work[tuple[standing.Answer, Report]]:
        """By this process: it has the lease."""
        session, request = leased.session, self.request
        answer: standing.Answer | None = None
        if number:  # nobody took it up, or somebody who has ended since
            leaked.take_up_orders(session)
            answer = following.answered(self.runtime, number)
        if answer is None:
            answer = ordering.carry_out(session, self.given, request.key, request.reason)
        report = yield from carry_on(self.runtime, session, request)
        return answer, self._about(answer, report)

    def followed(self, number: int, ended: bool) -> tuple[standing.Answer, Report] | None:
        """How it stands once the holder has taken the order up and gone on as far as this command
        would have, or has `ended`; None while it is at it.
        """
        runtime, now = self.runtime, self.runtime.clock.now()
        answer = following.answered(runtime, number)
        if answer is None:
            return None
        present = runtime.situation(self.name, self.loaded)
        case = present.case
        unit, action = turn(case.rotation, case.acting)
        goes_on = isinstance(action, Call) or (
            isinstance(action, WaitUntil)
            and (action.at <= now or not self.stay.is_over(case.rotation, case.acting, now))
        )
        if goes_on and not ended:
            return None
        runtime.waits(unit, action)
        report = Report(self.name, case.rotation, case.debts, action, followed=True)
        return answer, self._about(answer, replace(report, without=present.without))

    def _about(self, answer: standing.Answer, report: Report) -> Report:
        """An order to old keys is not about the last rotation."""
        of_old_keys = not answer.rotation and self.given is not Order.ABANDON
        return replace(report, ordered=True, rotation=None if of_old_keys else report.rotation)


def _as_today(runtime: Runtime, name: str, request: Request) -> Report:
    """What is unfinished goes on with stores, restarters and probes as the playbook says today."""
    try:
        with runtime.leased(name) as leased:
            return replace(_taken(runtime, leased.session, request), ordered=True)
    except BusyError as error:
        raise BusyError(
            error.message,
            "who works on it goes by the playbook as it was when that began: stop it, then order"
            f" this once more; {error.hint}",
            brief=error.brief,
        ) from error


def _taken(runtime: Runtime, session: Session, request: Request) -> Report:
    unfinished = session.case.unfinished
    taken = today.take(session, request.give_up)
    for debt in session.case.debts:
        if debt.open and debt.phase is DebtPhase.HELD and debt.cause is not Cause.UNDECIDED:
            session.order(Order.RESUME, debt, request.reason)
    report = drive(runtime.clock, carry_on(runtime, session, request))
    return replace(report, taken=taken, rotation=report.rotation if unfinished else None)
