"""Walk every reachable state of the machine and its world, breadth first, and judge each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from rotator.core import machine, order, turn
from rotator.core.action import Ask, Call, Done, Failed, Finish, Op, Swept, Unknown, WaitUntil
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.state import Outcome, Phase, Rotation
from rotator.engine.performed import EFFECTS
from rotator.model import Overlap, Recovery
from tests.model import ways
from tests.model.world import (
    DEAD,
    LIVE,
    OFF,
    Backup,
    Broken,
    Config,
    IssuedKey,
    World,
    Zombie,
    begun,
    commit,
    current,
    holds_unknown,
    initial,
    ordered,
    perform,
    restore,
    revoke_first,
    rotated_on,
    sweep_orphans,
)

Note = Callable[[World, list[str]], None]  # a state, and what was judged of it
DESTRUCTIVE = (Op.REVOKE, Op.DEACTIVATE)
FAILING = (
    Op.GENERATE,
    Op.RECOGNISE,
    Op.PROBE,
    Op.WRITE,
    Op.RESTART,
    Op.ACCEPT,
    Op.PROGRESS,
    Op.VERIFY,
    Op.REVOKE,
    Op.DEACTIVATE,
    Op.SNAPSHOT,
    Op.RECOVER,
    Op.WATCH,
    Op.READ,
)


def by_itself(world: World) -> Iterator[tuple[str, World]]:
    """What the program does next, time, and what is on its way already."""
    unit, action = turn.turn(world.rotation, world.debts)
    if isinstance(action, Call) and unit is not None:
        yield from _engine(world, unit, action)
    elif isinstance(action, Finish):
        yield from _reconcile(world)
    elif not isinstance(action, Ask):
        yield from _time_passes(world)
    yield from _late(world)


def by_others(world: World) -> Iterator[tuple[str, World]]:
    """What people and strangers may do in this state, and need not."""
    unit, action = turn.turn(world.rotation, world.debts)
    if isinstance(action, Ask):
        yield from _person(world, unit)
    yield from _restores(world, unit, action)
    yield from _regrets(world)
    yield from _kills(world)
    yield from _strangers(world, action)


def _time_passes(world: World) -> Iterator[tuple[str, World]]:
    """Any of the waits may be over first."""
    for waiting in turn._in_order(world.rotation, world.debts):
        action = turn.action_of(waiting)
        if isinstance(action, WaitUntil):
            step = commit(world, waiting, Done(action.at))
            if step != world:
                yield "time passes", step


def _engine(world: World, unit: Rotation | Debt, call: Call) -> Iterator[tuple[str, World]]:
    name = f"{call.op} {call.target} {call.key or ''}".strip()
    after, result = perform(world, call)
    yield name, commit(after, unit, result, world.fence)
    if world.faults <= 0:
        return
    poorer = replace(world, faults=world.faults - 1, fence=world.fence + 1, looked=False)
    crashed = (
        poorer if call.op is Op.SNAPSHOT else commit(poorer, unit, Unknown(0))
    )  # a read has no intent
    yield f"{name}: crash before", _picked_up(crashed)
    poorer_after, result = perform(poorer, call)
    yield f"{name}: crash after", _picked_up(commit(poorer_after, unit, Unknown(0)))
    same_fence = replace(poorer, fence=world.fence)
    yield f"{name}: passing failure", commit(same_fence, unit, Failed(0, "later", permanent=False))
    if call.op in FAILING:
        yield f"{name}: lasting failure", commit(same_fence, unit, Failed(0, "never"))
    if isinstance(result, Done) and world.zombie is None:
        yield from _freeze(poorer, unit, call, name, result)


def _freeze(
    poorer: World, unit: Rotation | Debt, call: Call, name: str, result: Done
) -> Iterator[tuple[str, World]]:
    """The holder freezes in the middle: its effect, and its report, may come any time later."""
    zombie = Zombie(poorer.fence - 1, unit, result)
    if (
        call.op is Op.GENERATE
        and poorer.config.recovery is Recovery.LABEL
        and poorer.config.overlap is Overlap.MANY
    ):
        late = (*poorer.late, ("create", str(call.attempt), poorer.rotation.id))
        yield f"{name}: frozen", commit(replace(poorer, late=late), unit, Unknown(0))
    if call.op is Op.WRITE and call.key is not None:
        late = (
            *poorer.late,
            ("write", str(call.target), call.key.fingerprint or call.key.id, call.expect),
        )
        yield f"{name}: frozen", commit(replace(poorer, late=late, zombie=zombie), unit, Unknown(0))


def _late(world: World) -> Iterator[tuple[str, World]]:
    for i, what in enumerate(world.late):
        rest = replace(world, late=world.late[:i] + world.late[i + 1 :])
        if what[0] == "create":
            made, key_id = rest.issue(int(what[1]), what[2])
            yield f"late create of {key_id}", made
        elif str(world.stores[int(what[1])].version) == what[3]:
            yield f"late write of {what[2]}", rest.put(int(what[1]), what[2])
        else:
            yield "late write refused", rest
    if world.zombie is not None:
        woken = replace(world, zombie=None)
        yield (
            "the zombie reports",
            commit(woken, world.zombie.unit, world.zombie.result, world.zombie.fence),
        )


def _person(world: World, unit: Rotation | Debt | None) -> Iterator[tuple[str, World]]:
    if world.people <= 0 or unit is None:
        return
    for given in (order.Order.RESUME, order.Order.UNDO):
        if isinstance(unit, Rotation):
            changed = order.order_rotation(unit, given, 0)
            if isinstance(changed, Rotation):
                yield (
                    f"a person says {given}",
                    ordered(replace(world, people=world.people - 1), changed),
                )
        elif given is order.Order.RESUME:
            changed = order.order_debt(unit, given, 0)
            if isinstance(changed, Debt):
                debts = tuple(changed if d.id == unit.id else d for d in world.debts)
                yield (
                    "a person says resume",
                    replace(world, debts=debts, people=world.people - 1, looked=False),
                )


def _restores(
    world: World, unit: Rotation | Debt | None, action: object
) -> Iterator[tuple[str, World]]:
    """A backup is taken at any moment before the end; once all has ended it is put in the journal's
    place.
    """
    if not world.config.older_journal or world.restored:
        return
    if world.backup is None and world.rotation.phase is not Phase.ENDED:
        then = Backup(world.rotation, world.debts, world.sealed, world.known, world.believed)
        yield "a backup is taken", replace(world, backup=then)
    over = world.rotation.phase is Phase.ENDED and not any(debt.open for debt in world.debts)
    if world.backup is None or not over:
        return
    later = [("", world)]
    if world.rotation.outcome is Outcome.VERIFIED and world.config.overlap is Overlap.MANY:
        later += [
            (", a rotation later", rotated_on(world, grace=False)),
            (", in its grace", rotated_on(world, grace=True)),
        ]
    for when, now in later:
        old = restore(now)
        yield f"the backup is restored{when}", _picked_up(old)
        owner, intended = turn.turn(old.rotation, old.debts)
        if isinstance(intended, Call) and intended.op in EFFECTS and owner is not None:
            yield (
                f"the backup is restored{when}, with its intent",
                _picked_up(commit(old, owner, Unknown(0))),
            )


def _picked_up(world: World) -> World:
    """By another process."""
    return replace(world, rotation=machine.picked_up(world.rotation))


def _regrets(world: World) -> Iterator[tuple[str, World]]:
    """After the pivot a person wants the previous key back."""
    if (
        not world.config.regret
        or world.people <= 0
        or world.rotation.phase is not Phase.ENDED
        or world.rotation.back
    ):
        return
    for unit in (
        world.debts
    ):  # what was intended and not told is unknown to the process that takes the order
        if unit.phase in (DebtPhase.DEACTIVATE, DebtPhase.REVOKE, DebtPhase.REACTIVATE):
            world = commit(world, unit, Unknown(0))
    debt = order.go_back(world.rotation, world.debts, 0)
    if isinstance(debt, Debt):
        back = order.begin_back("b", world.config.plan, debt, 0)
        yield (
            "a person goes back",
            replace(begun(world, back), people=world.people - 1, looked=False),
        )


def _kills(world: World) -> Iterator[tuple[str, World]]:
    """In any state a person may say that the leaked key dies first."""
    if world.config.kills and not world.killed:
        found = revoke_first(world)
        if found is not None:
            yield "a person says that the leaked key dies first", found


def _strangers(world: World, action: object) -> Iterator[tuple[str, World]]:
    old = world.key("old")
    if world.deaths > 0 and old is not None and old.state == LIVE:
        yield (
            "the old key dies",
            replace(world.with_key(old._replace(state=DEAD)), deaths=world.deaths - 1),
        )
    for i, consumer in enumerate(world.consumers):
        started = world.start(i)
        if started.consumers[i] != consumer:
            yield f"consumer {i} restarts on its own", started
    between = world.looked and isinstance(action, Call) and action.op in DESTRUCTIVE
    if (
        world.strangers <= 0 or between
    ):  # the instant between a look and its act cannot be closed by anyone
        return
    poorer = replace(world, strangers=world.strangers - 1)
    for i, store in enumerate(world.stores):
        for value in ("old", "older", "strange"):
            if store.value != value and (value == "strange" or world.key(value) is not None):
                yield f"somebody puts {value} into store {i}", poorer.put(i, value)
    if world.config.recovery is Recovery.DIFFERENCE and world.rotation.phase in (
        Phase.GENERATE,
        Phase.RECOVER,
    ):
        made, key_id = f"colleague{world.made}", f"colleague{world.made}"
        yield "a colleague makes a key", poorer.with_key(IssuedKey(key_id, "", LIVE, ours=False))
        del made


def _reconcile(world: World) -> Iterator[tuple[str, World]]:
    orphans = sweep_orphans(world)
    if orphans and world.debts:
        carrier = replace(world.debts[-1], phase=DebtPhase.SWEEP, wake=None)
        held = replace(world, debts=(*world.debts[:-1], carrier))
        yield "reconcile", commit(held, carrier, Done(0, Swept(orphans)))
    elif orphans:
        raise_if = replace(world, debts=(_carrier(world),))
        yield "reconcile", commit(raise_if, raise_if.debts[-1], Done(0, Swept(orphans)))


def _carrier(world: World) -> Debt:
    from rotator.core.plan import Key
    from rotator.core.state import Cause

    return Debt(
        "reconcile",
        "p",
        "r",
        Key("none", "none"),
        Cause.SWEPT,
        world.config.plan,
        phase=DebtPhase.SWEEP,
    )


def judgements(world: World, last: bool) -> Iterator[tuple[str, bool]]:
    """What must hold in every state, and (`last`) in a state from which nothing goes on by itself;
    and whether it does.

    All of them are told, those that hold, too: what was judged is part of the proof.
    """
    rotation = world.rotation
    if rotation.outcome is Outcome.VERIFIED and rotation.new is not None:
        yield "verified without a pivot", rotation.pivoted
    if not last:
        return
    quiet = (
        rotation.phase is Phase.STUCK
        or any(d.open for d in world.debts)
        or rotation.possible_orphan
    )
    strange = holds_unknown(world)  # nothing is swept then, and it is said
    if quiet:
        return
    yield from _of_each_key(world, strange)
    # It died first, or a person gave both keys up: that is told as what it is, not as a rotation
    # that went back.
    ordered_so = bool(world.killed) and rotation.outcome is not Outcome.VERIFIED
    ordered_so = ordered_so or rotation.outcome is Outcome.ABANDONED
    if (
        rotation.phase is Phase.ENDED
        and not strange
        and not ordered_so
        and world.config.strangers == world.strangers
    ):
        key = world.key(world.stores[0].value)
        died = world.deaths < world.config.deaths and key is not None and key.id == "old"
        if not _refused(world):
            yield (
                "promise 1: the stores hold a dead key",
                key is not None and (key.state != DEAD or died),
            )
        if rotation.outcome is Outcome.ROLLED_BACK and rotation.old:
            holders = [
                c
                for c in world.consumers
                if (k := world.key(c.holds)) is not None and k.state == DEAD
            ]
            holders = [
                c for c in holders if not (c.holds == "old" and world.deaths < world.config.deaths)
            ]
            yield f"promise 1: after undo a consumer runs with a dead key: {holders}", not holders


def _of_each_key(world: World, strange: bool) -> Iterator[tuple[str, bool]]:
    in_use = {store.value for store in world.stores} | {current(world)}
    for key in world.keys:
        # A journal from before any of it, and a list without labels: nothing tells that this one is
        # ours.
        untold = (
            world.restored
            and world.config.recovery is not Recovery.LABEL
            and key.id not in world.known
        )
        # Preflight says so: of an unknown rotation, or with the label of another key.
        others = any(one.label == key.label for one in world.keys if one.id != key.id)
        untold = untold or (world.restored and (key.label.startswith("z") or others))
        if (
            key.ours
            and key.label
            and key.id not in in_use
            and not (strange or _refused(world) or untold)
        ):
            yield f"promise 2: {key.id} lives on, nobody knows why", key.state != LIVE
        yield f"{key.id} stays deactivated without a debt", key.state != OFF


def _refused(world: World) -> bool:
    """Before anything was changed."""
    return world.rotation.outcome is Outcome.REFUSED and world.config.start != "old"


def explore(config: Config, limit: int = 2_000_000, note: Note | None = None) -> int:
    """Number of distinct states walked; `note` hears of each one.

    Raises Broken with the path that led there.
    """
    start = initial(config)
    seen: dict[World, tuple[World | None, str]] = {start: (None, "start")}
    frontier = [start]
    while frontier:
        world = frontier.pop()
        try:
            own = [found for found in by_itself(world) if found[1] != world]
            judged = (*judgements(world, last=not own), *ways.out_of(world))
            for promise, kept in judged:
                if not kept:
                    raise Broken(promise)
        except Broken as broken:
            raise Broken(f"{broken}\n{config}\n  " + "\n  ".join(path_to(world, seen))) from None
        if note:
            note(world, [promise for promise, _ in judged])
        for name, step in (*own, *by_others(world)):
            if step not in seen:
                seen[step] = (world, name)
                frontier.append(step)
                if len(seen) > limit:
                    raise RuntimeError(f"more than {limit} states for {config}")
    return len(seen)


def path_to(world: World, seen: dict[World, tuple[World | None, str]]) -> list[str]:
    steps: list[str] = []
    at: World | None = world
    while at is not None:
        before, name = seen[at]
        steps.append(
            f"{name:55} -> {at.rotation.phase} | {[(d.key.id, str(d.phase)) for d in at.debts]}"
        )
        at = before
    return steps[::-1]
