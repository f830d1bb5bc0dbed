"""What a holder does by a person's order about a rotation or its old keys: resume, undo, revoke,
confirm, abandon; by an order of this process, or of another that wrote it down.
"""

from __future__ import annotations

from ulid import ULID

from rotator.core import machine
from rotator.core.debt_state import Debt
from rotator.core.order import Order, Refusal, begin_back, go_back
from rotator.core.state import Cause, Outcome, Phase
from rotator.core.turn import Unit
from rotator.engine.abandon import abandon
from rotator.engine.holder import Holder
from rotator.errors import ConfigError, RefusedError
from rotator.journal import cases, killed, standing
from rotator.playbook.carry import kept

_EVER = float("inf")


def carry_out(
    holder: Holder,
    given: Order,
    key_id: str = "",
    reason: str = "",
    who: str = "",
    until: float = _EVER,
) -> standing.Answer:
    """On the rotation if one is unfinished, else on its old keys; the work goes on after that.

    `until`: old keys that came later are not meant (Unix seconds). Raises RefusedError where there
    is nothing to do, ConfigError where today's playbook is needed and is gone.
    """
    name, unfinished = holder.playbook, holder.case.unfinished
    if given is Order.ABANDON:
        current = abandon(holder, key_id, reason, who)
        return standing.Answer((current,) if current is not None else ())
    if given is Order.UNDO and unfinished is None:
        return standing.Answer(rotation=_go_back(holder, reason, who))
    units = _units(holder, given, key_id, until)
    again = holder.books.today if given is Order.RESUME and _is_without(holder) else None
    if not units and key_id:
        raise RefusedError(f"{name} has no old key {key_id}", f"`rotator keys {name}` lists them")
    if not units and again is None:
        raise RefusedError(f"{name} has nothing to {given}", "`rotator status` shows how it stands")
    refusals = [holder.order(given, unit, reason, who) for unit in units]
    if refusals and all(refusals) and refusals[0] is not None and again is None:
        raise _refused(name, refusals[0])
    if again is not None:  # the key in force was killed, and the new one could not be made then
        return standing.Answer(rotation=holder.begin(again, reason, who, leaked=True, first=True))
    # An order to old keys is not about the last rotation.
    about = unfinished.id if unfinished is not None and unfinished in units else ""
    return standing.Answer(rotation=about)


def take_up(holder: Holder, order: standing.Standing) -> standing.Answer:
    """What another process wrote down, done as that process would do it if it had the lease.

    A process may have died between that and its answer: what it did is not done again, nor called
    refused. Raises RefusedError, ConfigError.
    """
    rotation = holder.case.rotation
    if (done := _done_already(holder, order)) is not None:
        return done
    if order.rotation != (rotation.id if rotation is not None else ""):
        raise RefusedError(
            f"{holder.playbook}: another rotation has begun since {order.kind} was ordered",
            "`rotator status` shows how it stands; order it once more if it is still wanted",
        )
    if rotation is not None and rotation.phase is not Phase.ENDED:
        # People's orders are proven for what a process finds that takes over.
        holder.case = holder.case.having(machine.picked_up(rotation))
    return carry_out(holder, order.kind, order.key_id, order.reason, order.who, order.at)


def _done_already(holder: Holder, order: standing.Standing) -> standing.Answer | None:
    """An undo that began a rotation of its own, and an abandoned rotation, are known by these."""
    rotation = holder.case.rotation
    if rotation is None:
        return None
    if order.kind is Order.UNDO and rotation.back and order.rotation != rotation.id:
        return standing.Answer(rotation=rotation.id)
    abandoned = rotation.outcome is Outcome.ABANDONED and order.rotation == rotation.id
    if order.kind is not Order.ABANDON or not abandoned:
        return None
    with holder.journal.database.read() as connection:
        current = cases.current_key(connection, holder.playbook)
    return standing.Answer((current,) if current is not None else ())


def _units(holder: Holder, given: Order, key_id: str, until: float) -> list[Unit]:
    """What an order is about: the unfinished rotation, or old keys."""
    case = holder.case
    debts = [
        debt for debt in case.debts if debt.open and debt.born <= until and _is_meant(debt, key_id)
    ]
    if case.unfinished is None or given not in (Order.RESUME, Order.UNDO):
        return [*debts]
    # What is to die at once is tried now, too.
    at_once = [debt for debt in debts if debt.at_once] if given is Order.RESUME else []
    return [case.unfinished, *at_once]


def _is_meant(debt: Debt, key_id: str) -> bool:
    """An order to all old keys is none about those that nobody decided about: they are named."""
    return key_id in (debt.key.id, debt.key.hint) if key_id else debt.cause is not Cause.UNDECIDED


def _is_without(holder: Holder) -> bool:
    """Whether the key in force was ordered to die, and consumers have no other one."""
    with holder.journal.database.read() as connection:
        return killed.in_force(connection, holder.playbook) is not None


def _go_back(holder: Holder, reason: str, who: str) -> str:
    """Undo after the pivot: a rotation back to the previous key, whose debt is frozen by it; its
    id.
    """
    now, name, book = holder.clock.now(), holder.playbook, holder.books.today
    if book is None:
        raise ConfigError(
            f"the playbook {name} is gone, or does not load",
            "`rotator validate`; undo restarts consumers as it says",
        )
    debt = go_back(holder.case.rotation, holder.case.debts, now)
    if isinstance(debt, Refusal):
        raise _refused(name, debt)
    rotation = begin_back(str(ULID()), book.plan, debt, now)
    actor = holder.actor
    beginning = cases.Beginning(kept(book), who or actor.text, reason, node=actor.where)
    holder.start(rotation, beginning)
    return rotation.id


def _refused(name: str, refusal: Refusal) -> RefusedError:
    return RefusedError(f"{name}: {refusal.reason}", refusal.hint_for(name))
