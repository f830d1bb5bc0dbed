"""A leaked key: carried out by this process, or written down for whoever holds the playbook's
lease, and followed.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial

from rotator.core import incident
from rotator.core.action import Finish, WaitUntil
from rotator.core.order import Order
from rotator.core.state import Cause, Phase
from rotator.engine import incident as incidents
from rotator.engine import leaked as engine
from rotator.engine.pool import Work
from rotator.engine.runner import Session
from rotator.engine.staying import needs_attention
from rotator.errors import RotatorError
from rotator.journal import cases, credentials, standing
from rotator.journal.cases import Case
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import neighbour
from rotator.usecases import following
from rotator.usecases.carry_on import carry_on
from rotator.usecases.report import Report
from rotator.usecases.request import Request
from rotator.usecases.runtime import Leased, Runtime

# A key dies from everywhere; where its consumers are, the new one is brought out
_FROM_HERE = "whatever it costs, from here: `rotate {name} --compromised --revoke-first`"
_SEARCH = 5.0  # seconds in which no further playbook is asked whose stores hold a key


def leaked(runtime: Runtime, name: str, request: Request, loaded: Loaded) -> Work[Report]:
    """The key dies first, or is replaced first, as the request says.

    Where the playbook is another node's, its key dies all the same if it is to die first: the
    provider alone is asked for that, and the other node makes the new one.

    Where another process holds the lease, the order is written down for it, and this one looks what
    becomes of it; it goes on by itself as soon as it gets the lease. Raises RefusedError,
    ConfigError where nobody knows the playbook.
    """
    if name not in loaded.playbooks and runtime.situation(name, loaded).row is None:
        loaded.get(name)  # nobody knows it
    if request.key and (other := owner(runtime, name, request.key, loaded)) != name:
        why = f"{request.key} is a key of {other}, not of {name}: {other} gets the order"
        runtime.waits(None, WaitUntil(runtime.clock.now(), why))
        name = other
    kind = Order.REVOKE_FIRST if request.revoke_first else Order.COMPROMISED
    work = _killing if request.revoke_first else _replacing

    def mine(leased: Leased, number: int) -> Work[Report]:
        return work(runtime, leased.session, request, number)

    return (
        yield from following.with_the_lease(
            runtime,
            name,
            loaded,
            partial(_hand_over, runtime, name, request, kind),
            mine,
            partial(followed, runtime, name),
            anywhere=request.revoke_first,
            besides=_FROM_HERE.format(name=name),
        )
    )


def owner(runtime: Runtime, name: str, key_id: str, loaded: Loaded) -> str:
    """The playbook whose key this is: NAME, unless the journal or the stores say that it is another
    one's.

    Who is in a hurry takes the wrong name: the key would die, and nobody would bring out another
    one where it was used.
    """
    mine = loaded.playbooks.get(name)
    with runtime.journal.database.read() as connection:
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
    end = runtime.clock.now() + _SEARCH
    for book in others:
        if current[book.name] is None and runtime.clock.now() < end:
            with contextlib.suppress(RotatorError):
                if incidents.in_the_stores(runtime.journal, book, runtime.clock.now()).id == key_id:
                    return book.name
    return name


def _same_ids(one: Playbook, other: Playbook) -> bool:
    return neighbour(one.provider_name, one.provider) == neighbour(
        other.provider_name, other.provider
    )


def _hand_over(runtime: Runtime, name: str, request: Request, kind: Order) -> int:
    with runtime.journal.database.write() as connection:
        who, now = runtime.actor.text, runtime.clock.now()
        return standing.write(connection, name, request.key, who, request.reason, now, kind)


def _killing(runtime: Runtime, session: Session, request: Request, number: int) -> Work[Report]:
    """By this process: it has the lease.

    What was written down for another one is taken up by the first step.
    """
    before, was_over = session.case.rotation, session.case.unfinished is None
    if not number:
        engine.kill_first(session, request.key, request.reason)
    report = yield from carry_on(runtime, session, request)
    after = report.rotation
    if after is not None and after.phase is Phase.ENDED and was_over:
        began = after.compromised if before is None else after.id != before.id
        if not began:  # the last rotation is no work of this command
            report = replace(report, rotation=None)
    answer = following.answered(runtime, number) if number else standing.Answer(session.killing)
    with runtime.journal.database.read() as connection:
        kills = cases.ends_of(connection, session.playbook, answer.keys if answer else ())
    return replace(report, kills=kills)


def _replacing(runtime: Runtime, session: Session, request: Request, number: int) -> Work[Report]:
    """The new key first. What is being undone is finished before."""
    before = session.case.rotation
    if session.books.today is None and session.case.unfinished is None:
        raise runtime.gone(session.playbook)
    answer = engine.replace_leaked(session, request.reason) if not number else None
    undone_first = answer is None and not number
    if undone_first and before is not None:  # refused for now, which is written down
        session.order(Order.COMPROMISED, before, request.reason)
    report = yield from carry_on(runtime, session, request)
    if number:
        following.answered(runtime, number)
    over = report.rotation is not None and report.rotation.phase is Phase.ENDED
    if undone_first and over and session.books.today is not None:
        engine.replace_leaked(session, request.reason)
        report = yield from carry_on(runtime, session, request)
    return report


def followed(runtime: Runtime, name: str, number: int, ended: bool = False) -> Report | None:
    """How it stands once the holder has taken the order up and done what it can, or has `ended`;
    None while it is at it.
    """
    answer = following.answered(runtime, number)
    if answer is None:
        return None
    with runtime.journal.database.read() as connection:
        kills = cases.ends_of(connection, name, answer.keys)
        case = cases.load(connection, name)
    killed = all(incident.ending(debt) is not None for debt in kills)
    if not ended and not (_replaced(case) if answer.rotation else killed):
        return None
    return Report(name, case.rotation, case.debts, Finish(None), kills=kills, followed=True)


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
