"""A rotation and its old keys are carried on, as far as one command stays for them."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.core import incident
from rotator.core.action import Ask, WaitUntil
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase
from rotator.core.turn import turn
from rotator.engine import today
from rotator.engine.pool import Work
from rotator.engine.runner import Session
from rotator.engine.staying import SHORT, Stay
from rotator.plugin import console_of
from rotator.usecases.report import Report, steps_of
from rotator.usecases.request import Request
from rotator.usecases.runtime import ORDERS_EVERY, Runtime


def carry_on(runtime: Runtime, session: Session, request: Request) -> Work[Report]:
    """Advance through short waits; with `wait`, until the debts are paid, or need a person."""
    stay = Stay(request.wait)
    while True:
        session.say_purpose()
        action = session.advance()
        now, case = runtime.clock.now(), session.case
        if not isinstance(action, WaitUntil):
            break
        if stay.is_over(case.turning, case.acting, now):
            if session.follow_the_clock():  # it was set just now: the wait is as long as it was
                continue
            break
        if _tried_in_vain(session.killing, case.debts) and not request.wait:
            break
        runtime.waits(*turn(case.turning, case.acting))
        yield from _wait(runtime, session.playbook, min(action.at, now + SHORT))
    rotation = session.case.rotation
    stuck = rotation is not None and rotation.phase is Phase.STUCK
    console = ""
    steps: tuple[str, ...] = ()
    if rotation is not None and isinstance(action, Ask):
        provider = session.books.of(rotation.id).provider
        console = console_of(provider)
        if action.kind in ("supply", "confirm"):
            steps = steps_of(provider, destroy=action.kind == "confirm")
    return Report(
        session.playbook,
        rotation,
        session.case.debts,
        action,
        differs=today.differs(session, rotation) if rotation is not None and stuck else (),
        taken=session.taken,
        console=f"at {console}" if console else "",
        steps=steps,
        without=runtime.without(session.playbook),
    )


def _wait(runtime: Runtime, name: str, until: float) -> Work[None]:
    """Until then, or until an order for this playbook stands in the journal. A clock that is set
    back makes it no longer.
    """
    clock = runtime.clock
    steady = clock.boot()[1] + until - clock.now()
    while (left := min(until - clock.now(), steady - clock.boot()[1])) > 0:
        yield runtime.clock.now() + min(left, ORDERS_EVERY)
        if runtime.stopping.is_set() or (left > ORDERS_EVERY and runtime.is_ordered(name)):
            return


def _tried_in_vain(killing: Sequence[Key], debts: Sequence[Debt]) -> bool:
    """A key that was ordered to die, and its provider does not destroy it: a person wants to know
    that now.
    """
    mine = [debt for debt in debts if debt.open and any(debt.key.same(key) for key in killing)]
    return any(incident.ending(debt) is incident.Ending.RETRIED for debt in mine)
