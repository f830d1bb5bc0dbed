"""What the holder of a playbook does about a leaked key: by an order of this process, or of another
that wrote it down.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from rotator.core import incident as core_incident
from rotator.core.order import Order, Refusal, order_rotation
from rotator.core.state import Outcome, Phase
from rotator.engine import incident, ordering, today
from rotator.engine.holder import Holder
from rotator.errors import ConfigError, PluginError, RefusedError
from rotator.journal import cases, leases, standing
from rotator.playbook.playbook import Playbook


def replace_leaked(holder: Holder, reason: str = "", who: str = "") -> standing.Answer | None:
    """What is under way goes on without a way back, or a rotation begins; old keys have no
    grace any more.

    None while a rotation is being undone: that is finished first. Raises ConfigError without
    today's playbook.
    """
    rotation = holder.case.rotation
    if rotation is not None and rotation.phase is not Phase.ENDED:
        if isinstance(order_rotation(rotation, Order.COMPROMISED, holder.clock.now()), Refusal):
            return None
        if rotation.phase is Phase.STUCK or not rotation.compromised:
            holder.order(Order.COMPROMISED, rotation, reason, who)
        if rotation.phase is Phase.STUCK:
            go_on_by_today(holder)
        if holder.case.rotation is not None and holder.case.rotation.phase is not Phase.ENDED:
            return standing.Answer(rotation=rotation.id)
    book = holder.books.today
    if book is None:
        message = (
            f"the playbook {holder.playbook} is gone: no new key was made, and no old one was"
            " hurried"
        )
        hint = (
            f"put it back; or, whatever it costs: `rotate {holder.playbook} --compromised"
            " --revoke-first`"
        )
        raise ConfigError(message, hint)
    for debt in holder.case.debts:
        holder.order(Order.COMPROMISED, debt, reason, who)
    return standing.Answer(rotation=holder.begin(book, reason, who, leaked=True))


def kill_first(
    holder: Holder, key_id: str = "", reason: str = "", who: str = ""
) -> standing.Answer:
    """Kill the key in force and all older ones, or the one that is named; another rotation
    makes the new key. Away from its node that one is begun, and left to the node.

    Raises RefusedError where nobody knows which key it is, or where it makes the others.
    """
    journal, now = holder.journal, holder.clock.now()
    with journal.database.read() as connection:
        current = cases.current_key(connection, holder.playbook)
    rotation = holder.case.rotation
    book = holder.books.of(rotation.id if rotation is not None else "")
    keys = incident.targets(journal, book, holder.case, key_id, now)
    replaced = incident.replaces(journal, book, holder.case, key_id, keys, now)
    if rotation is None:  # a debt is owed by one
        _make_another(holder, book, reason, who)
    with holder.writing() as writing:
        before = writing.case.rotation
        assert before is not None
        order, names = str(Order.REVOKE_FIRST), [str(key) for key in keys]
        writing.record(before, "order", order=order, keys=names, reason=reason, by=who or None)
        if rotation is None and (holder.books.today is None or not replaced):
            # That key, and nothing else.
            alone = replace(before, compromised=replaced, revoke_first=replaced)
            writing.put_rotation(before, alone.end(Outcome.ABANDONED))
        elif before.phase is not Phase.ENDED:
            carried_on = core_incident.carried_on(before, keys, current, holder.clock.now())
            writing.put_rotation(before, carried_on)
        writing.kill(keys)
        # What the stores hold, where nobody had written down that it is in force.
        if current is None and not key_id:
            cases.set_current(writing.connection, holder.playbook, keys[0])
    holder.killing = keys
    if rotation is not None and rotation.phase is Phase.STUCK and not holder.away:
        go_on_by_today(holder)
    after = holder.case.rotation
    if replaced and rotation is not None and after is not None and after.phase is Phase.ENDED:
        _make_another(holder, holder.books.today, reason, who)
    return standing.Answer(keys)


def go_on_by_today(holder: Holder) -> None:
    """What was stuck and goes on in an incident goes on by today's playbook, where that fits
    what it did so far.
    """
    rotation = holder.case.rotation
    if (
        rotation is not None
        and rotation.phase is not Phase.ENDED
        and today.differs(holder, rotation)
    ):
        with contextlib.suppress(ConfigError, RefusedError, PluginError):
            holder.taken = today.take(holder, ())


def _make_another(holder: Holder, book: Playbook | None, reason: str, who: str) -> None:
    """The rotation to a key that lives. Without today's playbook there is none."""
    if book is not None:
        holder.begin(book, reason, who, leaked=True, first=True)


def take_up_orders(holder: Holder) -> None:
    """Orders that others wrote down while this process held the lease, before anything else is
    done.
    """
    with holder.journal.database.read() as connection:
        waiting = standing.waiting(connection, holder.playbook)
    for order in waiting:
        if holder.away and order.kind is not Order.REVOKE_FIRST:
            continue  # its node makes the new key
        try:
            answer = _carried_out(holder, order)
        except (RefusedError, ConfigError, PluginError) as error:
            answer = standing.Answer((), error.message, error.hint)
        if answer is None:  # the order stands until what is being undone is undone
            continue
        with holder.journal.database.write() as connection:
            leases.require(connection, holder.held.lease)
            standing.answer(connection, order.n, answer)


def _carried_out(holder: Holder, order: standing.Standing) -> standing.Answer | None:
    """None where it stands until something else is done."""
    match order.kind:
        case Order.COMPROMISED:
            return replace_leaked(holder, order.reason, order.who)
        case Order.REVOKE_FIRST:
            return kill_first(holder, order.key_id, order.reason, order.who)
        case _:
            return ordering.take_up(holder, order)
