"""What people order about a rotation or its old keys: resume, undo, revoke, confirm, abandon.

Each is carried out, then the work goes on.
"""

from __future__ import annotations

from dataclasses import replace

from ulid import ULID

from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.order import Order, Refusal, begin_back, go_back
from rotator.core.plan import Key
from rotator.core.state import Cause
from rotator.core.turn import Unit
from rotator.engine import abandon as engine
from rotator.engine import today
from rotator.engine.pool import drive
from rotator.engine.runner import Session
from rotator.errors import RefusedError
from rotator.journal import cases
from rotator.journal.cases import Case
from rotator.playbook.carry import kept
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.runtime import Leased, Runtime


def order(runtime: Runtime, name: str, given: Order, request: Request) -> Report:
    """resume, undo, revoke, confirm: on the rotation if one is unfinished, else on its debts; then
    carry on.

    Raises ConfigError for a name that nobody knows, RefusedError where there is nothing to do.
    """
    begun = runtime.clock.now()
    runtime.known(name)
    with runtime.leased(name) as leased:
        if given is Order.RESUME and request.today:
            report = _as_today(runtime, leased.session, request)
        elif given is Order.UNDO and leased.session.case.unfinished is None:
            report = _go_back(runtime, leased.session, request)
        else:
            report = _carry_out(runtime, leased, given, request)
    return replace(report, ordered=True, seconds=runtime.clock.now() - begun)


def _carry_out(runtime: Runtime, leased: Leased, given: Order, request: Request) -> Report:
    session, name = leased.session, leased.situation.name
    unfinished = session.case.unfinished
    units = _units(session.case, given, request.key)
    killed = given is Order.RESUME and leased.situation.without is not None
    again = leased.situation.playbook if killed else None
    if not units and request.key:
        raise RefusedError(
            f"{name} has no old key {request.key}", f"`rotator keys {name}` lists them"
        )
    if not units and again is None:
        raise RefusedError(f"{name} has nothing to {given}", "`rotator status` shows how it stands")
    refusals = [session.order(given, unit, request.reason) for unit in units]
    if refusals and all(refusals) and refusals[0] is not None and again is None:
        raise _refused(name, refusals[0])
    if again is not None:  # the key in force was killed, and the new one could not be made then
        session.begin(again, request.reason, leaked=True, first=True)
    about_rotation = again is not None or unfinished in units
    report = drive(runtime.clock, carry_on(runtime, session, request))
    # An order to old keys is not about the last rotation.
    return report if about_rotation else replace(report, rotation=None)


def _units(case: Case, given: Order, key: str) -> list[Unit]:
    """What an order is about: the unfinished rotation, or old keys."""
    debts = [debt for debt in case.debts if debt.open and _meant(debt, key)]
    if case.unfinished is None or given not in (Order.RESUME, Order.UNDO):
        return [*debts]
    # What is to die at once is tried now, too.
    at_once = [debt for debt in debts if debt.at_once] if given is Order.RESUME else []
    return [case.unfinished, *at_once]


def _refused(name: str, refusal: Refusal) -> RefusedError:
    return RefusedError(f"{name}: {refusal.reason}", refusal.hint_for(name))


def _meant(debt: Debt, key: str) -> bool:
    """An order to all old keys is none about those that nobody decided about: they are named."""
    return key in (debt.key.id, debt.key.hint) if key else debt.cause is not Cause.UNDECIDED


def _as_today(runtime: Runtime, session: Session, request: Request) -> Report:
    """What is unfinished goes on with stores, restarters and probes as the playbook says today."""
    unfinished = session.case.unfinished
    taken = today.take(session, request.give_up)
    for debt in session.case.debts:
        if debt.open and debt.phase is DebtPhase.HELD and debt.cause is not Cause.UNDECIDED:
            session.order(Order.RESUME, debt, request.reason)
    report = drive(runtime.clock, carry_on(runtime, session, request))
    return replace(report, taken=taken, rotation=report.rotation if unfinished else None)


def _go_back(runtime: Runtime, session: Session, request: Request) -> Report:
    """Undo after the pivot: a rotation back to the previous key, whose debt is frozen by it."""
    now, name = runtime.clock.now(), session.playbook
    playbook = runtime.playbooks().get(name)
    debt = go_back(session.case.rotation, session.case.debts, now)
    if isinstance(debt, Refusal):
        raise _refused(name, debt)
    rotation = begin_back(str(ULID()), playbook.plan, debt, now)
    session.start(rotation, cases.Beginning(kept(playbook), runtime.actor.text, request.reason))
    return drive(runtime.clock, carry_on(runtime, session, request))


def abandon(runtime: Runtime, name: str, key_id: str, reason: str) -> tuple[Key | None, Report]:
    """The unfinished rotation is over; the key in force from now on, and how it stands."""
    runtime.known(name)
    with runtime.session(name) as session:
        current = engine.abandon(session, key_id, reason)
        report = drive(runtime.clock, carry_on(runtime, session, Request(reason=reason)))
    return current, replace(report, ordered=True)
