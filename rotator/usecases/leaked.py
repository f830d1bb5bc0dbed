"""A leaked key: carried out by this process, or written down for whoever holds the playbook's
lease, and followed.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from rotator.core import incident
from rotator.core.action import Finish, WaitUntil
from rotator.core.order import Order
from rotator.core.state import Cause, Phase
from rotator.engine import incident as incidents
from rotator.engine import leaked as engine
from rotator.engine.keeper import who_works_on
from rotator.engine.pool import Work
from rotator.engine.runner import Session
from rotator.engine.staying import needs_attention
from rotator.errors import BusyError, RefusedError, RotatorError
from rotator.journal import cases, credentials, leases, standing
from rotator.journal.cases import Case
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import neighbour
from rotator.usecases.report import Report

if TYPE_CHECKING:
    from rotator.usecases.service import Request, Service

_FOLLOW_EVERY = 0.3
_SEARCH = 5.0  # seconds in which no further playbook is asked whose stores hold a key


def leaked(service: Service, name: str, request: Request, loaded: Loaded) -> Work[Report]:
    """The key dies first, or is replaced first, as the request says.

    Where another process holds the lease, the order is written down for it, and this one looks what
    becomes of it; it goes on by itself as soon as it gets the lease. Raises RefusedError,
    ConfigError where nobody knows the playbook.
    """
    with service.journal.database.read() as connection:
        if name not in loaded.playbooks and cases.playbook_row(connection, name) is None:
            loaded.get(name)  # nobody knows it
    if request.key and (other := owner(service, name, request.key, loaded)) != name:
        told = f"{request.key} is a key of {other}, not of {name}: {other} gets the order"
        service.waits(None, WaitUntil(service.clock.now(), told))
        name = other
    kind = Order.REVOKE_FIRST if request.revoke_first else Order.COMPROMISED
    number = 0
    while True:
        try:
            held = service.keeper.take(name)
        except BusyError:
            number = number or _hand_over(service, name, request, kind)
            service.waits(
                None, WaitUntil(service.clock.now() + _FOLLOW_EVERY, _follows(service, name))
            )
        else:
            with service.working(name, held, loaded) as session:
                work = _killing if request.revoke_first else _replacing
                return (yield from work(service, session, request, number))
        if number and (report := followed(service, name, number)) is not None:
            return report
        yield service.clock.now() + _FOLLOW_EVERY


def owner(service: Service, name: str, key_id: str, loaded: Loaded) -> str:
    """The playbook whose key this is: NAME, unless the journal or the stores say that it is another
    one's.

    Who is in a hurry takes the wrong name: the key would die, and nobody would bring out another
    one where it was used.
    """
    mine = loaded.playbooks.get(name)
    with service.journal.database.read() as connection:
        if mine is None or credentials.by_id(connection, name, key_id) is not None:
            return name
        others = [
            book
            for book in loaded.playbooks.values()
            if book.name != name and _same_ids(book, mine)
        ]
        current = {book.name: cases.current_key(connection, book.name) for book in others}
        debts = {book.name: cases.load(connection, book.name).debts for book in others}
    for book in others:
        keys = [current[book.name], *(debt.key for debt in debts[book.name] if debt.open)]
        if any(key is not None and key.id == key_id for key in keys):
            return book.name
    end = service.clock.now() + _SEARCH
    for book in others:
        if current[book.name] is None and service.clock.now() < end:
            with contextlib.suppress(RotatorError):
                if incidents.in_the_stores(service.journal, book, service.clock.now()).id == key_id:
                    return book.name
    return name


def _same_ids(one: Playbook, other: Playbook) -> bool:
    return neighbour(one.provider_name, one.provider) == neighbour(
        other.provider_name, other.provider
    )


def _hand_over(service: Service, name: str, request: Request, kind: Order) -> int:
    with service.journal.database.write() as connection:
        who, now = service.actor.text, service.clock.now()
        return standing.write(connection, name, request.key, who, request.reason, now, kind)


def _follows(service: Service, name: str) -> str:
    """Who has the order now, and how far the work is."""
    with service.journal.database.read() as connection:
        case = cases.load(connection, name)
        present = leases.holding(connection, name)
    rotation = case.rotation
    phase = str(rotation.phase) if rotation is not None and rotation.outcome is None else "old keys"
    holder = (
        who_works_on(name, present)
        if present is not None and not present.expired
        else f"{name} is worked on"
    )
    return f"{holder}: it has the order now, and is followed ({phase})"


def _killing(service: Service, session: Session, request: Request, number: int) -> Work[Report]:
    """By this process: it has the lease.

    What was written down for another one is taken up by the first step.
    """
    before = session.case.rotation
    if not number:
        engine.kill_first(session, request.key, request.reason)
    report = yield from service.carry_on(session, request)
    after = report.rotation
    no_other = before.phase is Phase.ENDED if before is not None else True
    same = after is not None and (
        not after.compromised if before is None else before.id == after.id
    )
    if no_other and same and after is not None and after.phase is Phase.ENDED:
        report = replace(
            report, rotation=None
        )  # none was begun for it, and the last one is no work of this command
    given = _answered(service, number) if number else standing.Answer(session.killing)
    with service.journal.database.read() as connection:
        kills = cases.ends_of(connection, session.playbook, given.keys if given else ())
    return replace(report, kills=kills)


def _replacing(service: Service, session: Session, request: Request, number: int) -> Work[Report]:
    """The new key first. What is being undone is finished before."""
    before = session.case.rotation
    if session.books.today is None and (before is None or before.phase is Phase.ENDED):
        raise service.gone(session.playbook)
    given = engine.replace_leaked(session, request.reason) if not number else None
    undone_first = given is None and not number
    if undone_first and before is not None:
        session.order(
            Order.COMPROMISED, before, request.reason
        )  # refused for now, which is written down
    report = yield from service.carry_on(session, request)
    if number:
        _answered(service, number)
    over = report.rotation is not None and report.rotation.phase is Phase.ENDED
    if undone_first and over and session.books.today is not None:
        engine.replace_leaked(session, request.reason)
        report = yield from service.carry_on(session, request)
    return report


def _answered(service: Service, number: int) -> standing.Answer | None:
    """Raises RefusedError where the holder could not do it."""
    with service.journal.database.read() as connection:
        given = standing.answered(connection, number)
    if given is not None and given.refused:
        raise RefusedError(given.refused, given.hint)
    return given


def followed(service: Service, name: str, number: int) -> Report | None:
    """How it stands once the holder has taken the order up and done what it can; None while it is
    at it.
    """
    given = _answered(service, number)
    if given is None:
        return None
    with service.journal.database.read() as connection:
        kills = cases.ends_of(connection, name, given.keys)
        case = cases.load(connection, name)
    done = (
        _replaced(case)
        if given.rotation
        else all(incident.ending(debt) is not None for debt in kills)
    )
    return (
        Report(name, case.rotation, case.debts, Finish(None), kills=kills, followed=True)
        if done
        else None
    )


def _replaced(case: Case) -> bool:
    """Whether the new key is out and the leaked one at its end, or neither goes on without a
    person.
    """
    rotation = case.rotation
    if rotation is None or rotation.phase is Phase.STUCK or needs_attention(rotation):
        return True
    dying = [debt for debt in case.debts if debt.open and debt.cause is Cause.COMPROMISED]
    return rotation.phase is Phase.ENDED and all(
        debt.attention or incident.ending(debt) for debt in dying
    )
