"""From every state a person's order leads to an end; and the order that a leaked key die first ends
in known ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rotator.core import incident, order, turn
from rotator.core.action import Call, Done, Failed, Op, Swept, WaitUntil
from rotator.core.debt_state import Debt
from rotator.core.incident import Ending
from rotator.core.state import Cause, Phase
from tests.model.world import DEAD, Broken, World, commit, ordered, perform, revoke_first

_STEPS = 400
_known: dict[object, tuple[tuple[str, bool], ...]] = {}


def out_of(world: World) -> tuple[tuple[str, bool], ...]:
    """What was judged of the ways out of this state. What they depend on is judged once."""
    if not world.config.kills or world.killed:
        return ()
    what = (
        world.config,
        world.rotation,
        world.debts,
        world.keys,
        world.stores,
        world.consumers,
        world.believed,
    )
    if what not in _known:
        _known[what] = tuple(_judged(replace(world, people=0)))
    return _known[what]


def _judged(world: World) -> Iterator[tuple[str, bool]]:
    killing = revoke_first(world)
    if killing is not None:
        yield from _four_ways(killing)
    yield from _an_end(world)


def _four_ways(world: World) -> Iterator[tuple[str, bool]]:
    """Dead and proven; asked of a person; tried again.

    Nobody knows which key: refused, nothing happened.
    """
    for silent in (False, True):
        after = _driven(world, silent, until_told=True)
        mine = [
            debt
            for debt in after.debts
            if debt.key.fingerprint in after.killed or debt.key.id in after.killed
        ]
        for debt in {debt.key.id: debt for debt in mine}.values():
            end = incident.ending(debt)
            key = after.key(debt.key.fingerprint or debt.key.id)
            gone = key is None or key.state == DEAD
            right = {
                Ending.DEAD: gone,
                Ending.ASKED: not after.config.revokes,
                Ending.RETRIED: silent,
            }
            yield (
                f"the order to kill ends in one of its ways: {debt.key} {debt.phase}",
                end is not None and right[end],
            )


def _an_end(world: World) -> Iterator[tuple[str, bool]]:
    """Abandoned, and what is left revoked or let go: nothing stands any more."""
    rotation = world.rotation
    if rotation.phase is not Phase.ENDED:
        over = order.order_rotation(rotation, order.Order.ABANDON, 0)
        yield (
            "every rotation can be abandoned",
            isinstance(over, type(rotation)) and over.phase is Phase.ENDED,
        )
        assert isinstance(over, type(rotation))
        world = ordered(world, over)
    let_go = (Cause.UNDECIDED, Cause.DISCARDED)
    debts = [
        _to(debt, order.Order.FORGET if debt.cause in let_go else order.Order.REVOKE_FIRST)
        for debt in world.debts
    ]
    ids = {debt.key.fingerprint or debt.key.id for debt in debts if debt.open}
    after = _driven(
        replace(world, debts=tuple(debts), killed=world.killed | ids),
        silent=False,
        until_told=False,
    )
    stands = [debt for debt in after.debts if debt.open and not debt.asks]
    yield f"an order of a person leads to an end: {[str(d.phase) for d in stands]}", not stands
    yield "and the rotation is over", after.rotation.phase is Phase.ENDED


def _to(debt: Debt, given: order.Order) -> Debt:
    changed = order.order_debt(debt, given, 0)
    return changed if isinstance(changed, Debt) else debt


def _driven(world: World, silent: bool, until_told: bool) -> World:
    """What happens by itself, nothing going wrong; `silent`: the provider does not answer when a
    key is to die.
    """
    for _ in range(_STEPS):
        unit, action = turn.turn(world.rotation, world.debts)
        if isinstance(action, Call) and unit is not None:
            if silent and action.op is Op.REVOKE:
                world = commit(world, unit, Failed(0, "no answer", permanent=False))
            else:
                world, result = perform(world, action)
                swept = isinstance(result, Done) and isinstance(result.data, Swept)
                world = commit(world, unit, Done(0, Swept()) if swept else result)
        elif isinstance(action, WaitUntil):
            world = _later(world)
        else:
            return world
        if until_told and all(
            incident.ending(debt)
            for debt in world.debts
            if (debt.key.fingerprint or debt.key.id) in world.killed
        ):
            return world
    raise Broken("it goes on for ever")


def _later(world: World) -> World:
    """All waits are over: each has its turn."""
    for waiting in turn._in_order(world.rotation, world.debts):
        unit = next((debt for debt in world.debts if debt.id == waiting.id), world.rotation)
        action = turn.action_of(unit)
        if isinstance(action, WaitUntil):
            world = commit(world, unit, Done(action.at))
    return world
