"""A small model world beside the pure machine: a provider, stores, consumers, strangers, zombies.

All immutable.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rotator.core import (
    baseline,
    fence,
    identity,
    incident,
    keep,
    lost,
    machine,
    order,
    recognise,
    sweep,
    turn,
)
from rotator.core import debt as debt_machine
from rotator.core.action import (
    Ask,
    Call,
    Done,
    Failed,
    Finish,
    Kind,
    Op,
    Read,
    Ready,
    Recognised,
    Recovered,
    Swept,
    Unknown,
    Written,
)
from rotator.core.baseline import StoreState
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.look import ConsumerFact, Facts, InstanceFact, StoreFact
from rotator.core.lost import Lost, Strange
from rotator.core.plan import ConsumerPlan, Key, Plan, Policy, StorePlan
from rotator.core.state import Cause, Phase, Rotation
from rotator.model import Evidence, KeyRecord, Label, Overlap, Recovery

LIVE, OFF, DEAD = "live", "off", "dead"
INSTALLATION = "i"


class Broken(AssertionError):
    """A promise was broken."""


@dataclass(frozen=True)
class Config:
    stores: int = 1
    consumers: int = 1
    overlap: Overlap = Overlap.MANY
    recovery: Recovery = Recovery.LABEL
    can_deactivate: bool = False
    compromised: bool = False
    prior_debt: bool = False
    faults: int = 1
    strangers: int = 1
    regret: bool = False  # a person may want the previous key back after the pivot
    # The id that a create answers: its own, unknown (to the list), or old (the old key's)
    answers: str = "its own"
    deaths: int = 0  # the old key may die at any moment: a leak scanner, a colleague, its expiry
    # The journal knows no key yet: what the stores hold must be found in the provider's list
    first: bool = False
    # What the list shows of a value: "good" is enough to know it, "thin" could be anybody's
    hints: str = "good"
    # What the stores hold at the start: the old key, nothing, or a key of another project
    start: str = "old"
    kills: bool = False  # a person may order in any state that the leaked key die first
    revokes: bool = True  # whether the provider can destroy a key at all
    # A new key is known everywhere, and an old one's end, only after a while: asked several times
    slowly: bool = False
    # A backup of the journal, taken at any moment, is restored at any later one
    older_journal: bool = False

    @property
    def plan(self) -> Plan:
        instant = Policy(
            deadline=1,
            grace=0,
            quiet=0,
            soak=1 if self.can_deactivate else 0,
            watch=0,
            list_lag=0,
            passes=2 if self.slowly else 1,
            revocation=1 if self.slowly else 0,
            pass_interval=0,
            first_retry=0,
            longest_retry=0,
            look_again=0,
            creates=2,
            rounds=2,
            refusals=1,
        )
        evidence = (Evidence.STARTED, Evidence.READ)
        return Plan(
            stores=tuple(StorePlan(f"s{i}") for i in range(self.stores)),
            consumers=tuple(ConsumerPlan(f"c{i}", evidence[i % 2]) for i in range(self.consumers)),
            overlap=self.overlap,
            recovery=self.recovery,
            can_deactivate=self.can_deactivate,
            can_list=self.recovery is not Recovery.NONE,
            policy=instant,
        )


class IssuedKey(NamedTuple):
    id: str
    label: str = ""  # "" : not made by us
    state: str = LIVE
    ours: bool = True
    used: bool = False


class Store(NamedTuple):
    value: str
    version: int = 0


class Consumer(NamedTuple):
    holds: str
    seen: tuple[int, ...]  # versions of all stores when it started


class Zombie(NamedTuple):
    """A frozen holder: its fence, the state it saw, and what it will report when it wakes."""

    fence: int
    unit: Rotation | Debt
    result: Done


class Backup(NamedTuple):
    """The journal as it was once, and whether what it was about to do was written down."""

    rotation: Rotation
    debts: tuple[Debt, ...]
    sealed: frozenset[str]
    known: frozenset[str]
    believed: Key


@dataclass(frozen=True)
class World:
    config: Config
    keys: tuple[IssuedKey, ...]
    stores: tuple[Store, ...]
    consumers: tuple[Consumer, ...]
    rotation: Rotation
    debts: tuple[Debt, ...] = ()
    sealed: frozenset[str] = frozenset()
    late: tuple[tuple[str, ...], ...] = ()
    zombie: Zombie | None = None
    fence: int = 1
    made: int = 0
    faults: int = 0
    strangers: int = 0
    people: int = 1
    looked: bool = False  # the last thing that happened was a look that passed
    strays: frozenset[str] = frozenset()
    believed: Key = Key("old", "old")  # the key that the journal takes for the current one
    deaths: int = 0
    known: frozenset[str] = frozenset()  # values that the journal ever saw
    backup: Backup | None = None
    restored: bool = False
    killed: frozenset[str] = frozenset()  # values that a person ordered to die, whoever holds them
    asked: bool = False  # whether the old key lives was asked right before

    # --- the world's own laws ---
    def key(self, key_id: str) -> IssuedKey | None:
        return next((key for key in self.keys if key.id == key_id), None)

    def with_key(self, changed: IssuedKey) -> World:
        kept = tuple(changed if key.id == changed.id else key for key in self.keys)
        return replace(
            self, keys=kept if any(k.id == changed.id for k in self.keys) else (*self.keys, changed)
        )

    def put(self, index: int, value: str) -> World:
        stores = list(self.stores)
        stores[index] = Store(value, stores[index].version + 1)
        return replace(self, stores=tuple(stores))

    def start(self, index: int) -> World:
        """Consumer `index` starts: it reads its store now."""
        value = self.stores[index % len(self.stores)].value
        consumers = list(self.consumers)
        consumers[index] = Consumer(value, tuple(store.version for store in self.stores))
        return replace(self, consumers=tuple(consumers))

    def users(self, key_id: str) -> list[str]:
        held = [
            f"consumer {i}" for i, consumer in enumerate(self.consumers) if consumer.holds == key_id
        ]
        return held + [f"store {i}" for i, store in enumerate(self.stores) if store.value == key_id]

    def issue(self, attempt: int, of: str) -> tuple[World, str]:
        """The provider makes a key for this attempt; two slots and no overlap kill another one by
        it.
        """
        key_id = f"n{self.made + 1}"
        world = replace(self, made=self.made + 1)
        if self.config.overlap is Overlap.TWO_SLOTS:
            idle = [
                k
                for k in world.keys
                if k.label in ("slot", "idle") and k.id != self.rotation.old.id and k.state != DEAD
            ]
            for key in idle:
                world.must_be_unused(key.id, "regenerating its slot")
                world = world.with_key(key._replace(state=DEAD))
            return world.with_key(IssuedKey(key_id, "slot")), key_id
        if self.config.overlap is Overlap.NONE:
            for key in world.keys:
                if key.state != DEAD and key.ours:
                    world = world.with_key(key._replace(state=DEAD))
        return world.with_key(IssuedKey(key_id, f"{of.removeprefix('r')}{attempt}")), key_id

    def must_be_unused(self, key_id: str, doing: str) -> None:
        users = self.users(key_id)
        if users and key_id not in self.killed:
            raise Broken(f"promise 1: {doing} {key_id} while {users} hold it")
        key = self.key(key_id)
        if key is not None and not key.ours:
            raise Broken(f"promise 2: {doing} {key_id}, which is a colleague's")


def initial(config: Config) -> World:
    keys = [IssuedKey("old", "slot" if config.overlap is Overlap.TWO_SLOTS else "")]
    debts: tuple[Debt, ...] = ()
    rotation = Rotation("r", "p", config.plan, compromised=config.compromised)
    sealed = frozenset({"old"})
    if config.prior_debt:
        keys.append(IssuedKey("older", "slot" if config.overlap is Overlap.TWO_SLOTS else ""))
        owed = Debt("d0", "p", "r0", Key("older", "older"), Cause.ROTATED, config.plan)
        debts, sealed = (debt_machine.begin(owed),), sealed | {"older"}
    if config.first:
        sealed = frozenset()
    versions, held = (
        (0,) * config.stores,
        {"old": "old", "nothing": "", "strange": "strange"}[config.start],
    )
    if (
        config.start == "strange"
    ):  # ours is of a project that this list does not show; a colleague's is in it
        keys = [IssuedKey("colleague", "", LIVE, ours=False)]
    return World(
        config,
        tuple(keys),
        (Store(held),) * config.stores,
        (Consumer("old" if config.start == "nothing" else held, versions),) * config.consumers,
        rotation,
        debts,
        sealed,
        faults=config.faults,
        strangers=config.strangers,
        deaths=config.deaths,
        known=frozenset() if config.first else sealed,
        believed=Key() if config.first else Key("old", "old"),
    )


# --- the runner, modelled: one function an operation, returning the world and the result ---
def perform(world: World, call: Call) -> tuple[World, Done | Failed]:
    """The effect and the honest answer of one call."""
    op = call.op
    if op in (Op.REVOKE, Op.DEACTIVATE, Op.REACTIVATE):
        return _change_key(world, call)
    if op is Op.GENERATE:
        world, key_id = world.issue(call.attempt, world.rotation.id)
        answered = {"its own": key_id, "unknown": f"x-{key_id}", "old": "old"}[world.config.answers]
        return world, Done(0, Key(answered, key_id))
    if op is Op.WRITE:
        return _write(world, call.target, call.key.fingerprint or call.key.id, call.expect)
    if op is Op.RESTART:
        return world.start(call.target), Done(0)
    return world, _observe(world, call)


def restore(world: World) -> World:
    """The backup of the journal in place of the one that knows what happened since."""
    then = world.backup
    assert then is not None
    fields = {name: getattr(then, name) for name in then._fields}
    return replace(
        world,
        **fields,
        fence=world.fence + 1,
        restored=True,
        zombie=None,
        looked=False,
        asked=False,
    )


def rotated_on(world: World, grace: bool) -> World:
    """Another rotation ran to its end meanwhile; its old key lives on in its grace, or
    is revoked.
    """
    before = world.stores[0].value
    for index in range(len(world.stores)):
        world = world.put(index, "later")
    world = world.with_key(IssuedKey("later", "z1"))
    for index in range(len(world.consumers)):
        world = world.start(index)
    for key in world.keys:
        if key.ours and key.id not in ("later", before if grace else "") and key.state != DEAD:
            world = world.with_key(key._replace(state=DEAD))
    return world


def _change_key(world: World, call: Call) -> tuple[World, Done]:
    if call.op is Op.REVOKE and not world.config.revokes:
        return world, Failed(0, "no key can be destroyed", kind=Kind.UNSUPPORTED)
    key = world.key(call.key.id)
    if key is None or key.state == DEAD:
        return world, Done(0)
    if call.op is Op.REACTIVATE:
        return world.with_key(key._replace(state=LIVE)), Done(0)
    discarding = world.rotation.phase is Phase.DISCARD
    reversible = discarding and call.op is Op.DEACTIVATE
    if not reversible:
        world.must_be_unused(key.id, call.op.value)
    return world.with_key(key._replace(state=DEAD if call.op is Op.REVOKE else OFF)), Done(0)


def _write(world: World, target: int, value: str, expect: str) -> tuple[World, Done | Failed]:
    if value not in world.sealed:
        raise Broken(f"promise 3: the value of {value} is needed and not sealed")
    if str(world.stores[target].version) != expect:
        return world, Failed(0, "changed meanwhile", kind=Kind.CONFLICT)
    key = world.key(value)
    if (
        key is None or key.state != LIVE
    ) and not world.asked:  # the instant after asking cannot be closed by anyone
        raise Broken(f"promise 1: writing {value}, which is {key and key.state}, to a store")
    world = world.put(target, value)
    return world, Done(0, Written(str(world.stores[target].version)))


def _observe(world: World, call: Call) -> Done | Failed:
    match call.op:
        case Op.PREFLIGHT:
            return _preflight(world)
        case Op.SNAPSHOT:
            return Done(0, tuple(k.id for k in world.keys if k.state != DEAD))
        case Op.RECOVER:
            return Done(0, _recover(world, call.attempt))
        case Op.READ:
            store = world.stores[call.target]
            return Done(0, Read(store.value, str(store.version)))
        case Op.RECOGNISE:
            return Done(0, _recognise(world, call))
        case Op.PROBE:
            key = world.key(call.key.fingerprint or call.key.id)
            kind = (
                Kind.REJECTED if call.step == "undo" else Kind.OTHER
            )  # a new key is refused for good at once
            return Done(0) if key and key.state == LIVE else Failed(0, "refused", kind=kind)
        case Op.ACCEPT:
            key = world.key(call.key.fingerprint or call.key.id)
            return (
                Done(0) if key and key.state == LIVE else Failed(0, "refused", kind=Kind.REJECTED)
            )
        case Op.LOOK:
            return Done(0, facts(world))
        case Op.SUSPECT:
            suspect = world.key(
                call.key.id
            )  # a colleague whose key stops working uses or reactivates it within soak
            return Done(0, suspect.state == OFF and suspect.ours)
        case Op.PROVE:
            proven = world.key(call.key.fingerprint or call.key.id)
            return Done(0, Proof.REFUSED if proven is None or proven.state != LIVE else Proof.NONE)
        case Op.SWEEP:
            return Done(0, Swept(sweep_orphans(world)))
        case _:
            return Done(0)


def _preflight(world: World) -> Done | Failed:
    states = [StoreState(f"s{i}", store.value) for i, store in enumerate(world.stores)]
    found = baseline.baseline(states, world.believed.fingerprint, world.known)
    if isinstance(found, baseline.Refusal):
        return Failed(0, str(found.why))
    value = found.fingerprint
    identified = _identified(world, value)
    if identified is None:
        return Failed(0, "it is not sure which key the stores hold")
    key = world.key(value)
    others_owed = any(d.open and d.key.fingerprint != value for d in world.debts)
    if world.config.overlap is Overlap.TWO_SLOTS and others_owed and not world.rotation.back:
        return Done(0, Ready(None, wait="the idle slot is still in its grace"))
    owed = {d.key.id for d in world.debts}
    others = tuple(
        Key(k.id, k.id)
        for k in world.keys
        if k.id == world.believed.id and k.state == LIVE and k.id != value and k.id not in owed
    )
    listed = tuple(k.id for k in world.keys if k.state != DEAD)
    versions = tuple(str(s.version) for s in world.stores)
    by_label = world.config.recovery is Recovery.LABEL
    dead = key is None or key.state != LIVE
    return Done(0, Ready(identified, dead, versions, others, "", listed if by_label else ()))


def _identified(world: World, value: str) -> Key | None:
    """The key that the stores hold, by its own id; known to the journal, or found by what the list
    shows of it.
    """
    if value in world.known:
        return _journaled(world, value)
    if world.config.recovery is Recovery.NONE:
        return Key(value, value)  # nothing is ever listed: the first key is taken as found
    accepted = (key := world.key(value)) is not None and key.state == LIVE
    found = identity.identify(inventory(world), _text(value), "sk-", 0, accepted)
    return Key(found.record.id, value) if isinstance(found, identity.Match) else None


def _text(value: str) -> str:
    """A value as it would look: enough random characters."""
    return f"sk-{value}{value[::-1]}{value}"


def _recover(world: World, attempt: int) -> Recovered:
    config, rotation = world.config, world.rotation
    if config.recovery is Recovery.REREAD:
        fresh = [k for k in world.keys if k.state == LIVE and k.id not in rotation.snapshot]
        return Recovered(reread=Key(fresh[-1].id, fresh[-1].id) if fresh else None)
    if config.recovery is Recovery.NONE:
        return Recovered(ambiguous="the provider cannot list keys")
    records = inventory(world)
    if config.recovery is Recovery.LABEL:
        label = Label(INSTALLATION, "p", rotation.id, attempt)
        seen = Lost(sweep.left_by(records, label), later=sweep.of_later_attempts(records, label))
        candidates = seen.left
    else:
        before = {*rotation.snapshot, *world.known}
        seen = Lost(*sweep.new_since(records, before, 0, 1))
        candidates = tuple(Key(record.id) for record in records if record.id not in before)
    return lost.what_it_left(_looked_at(world, seen, candidates))


def _looked_at(world: World, seen: Lost, candidates: tuple[Key, ...]) -> Lost:
    """Who holds what was found, as the engine finds it out."""
    unknown = [
        (i, store.value)
        for i, store in enumerate(world.stores)
        if store.value and store.value not in world.known
    ]
    named = world.config.hints == "good"
    strange = tuple(
        Strange(f"s{i}", value, tuple(key for key in candidates if key.id == value and named))
        for i, value in unknown
    )
    plans = zip(world.config.plan.consumers, world.consumers, strict=True)
    shown = {consumer.holds for plan, consumer in plans if plan.evidence is Evidence.READ}
    used = {consumer.holds for consumer in world.consumers}
    old = world.rotation.old
    hidden = sweep.not_shown([old] if old else [], inventory(world))
    return replace(
        seen,
        candidates=candidates,
        strange=strange,
        shown=frozenset(shown - world.known),
        used=tuple(key for key in seen.left if key.id in used),
        hidden=tuple(
            key for key in hidden if (k := world.key(key.fingerprint)) is None or k.state != DEAD
        ),
    )


def _recognise(world: World, call: Call) -> Recognised:
    before, config = world.rotation.snapshot, world.config
    if config.recovery is Recovery.REREAD:
        fresh = [k for k in world.keys if k.state == LIVE and k.id not in before]
        return recognise.in_slot(fresh[-1].id if fresh else None, call.key, before)
    if config.recovery is Recovery.DIFFERENCE:
        return recognise.by_difference(inventory(world), call.key, before)
    label = Label(INSTALLATION, "p", world.rotation.id, call.attempt)
    return recognise.by_label(inventory(world), call.key, label, before, lambda record: True)


def inventory(world: World) -> list[KeyRecord]:
    labelled = world.config.recovery is Recovery.LABEL

    def label(key: IssuedKey) -> str:
        of, attempt = key.label[:1], key.label.lstrip("kz")
        if not labelled or not attempt.isdigit():
            return key.label
        return Label(
            INSTALLATION, "p", of if of in "kz" else "r", int(attempt)
        ).text  # z: later than an older journal

    def hint(key: IssuedKey) -> str:
        return f"sk-…{_text(key.id)[-8:]}" if world.config.hints == "good" else "sk-…"

    return [
        KeyRecord(
            k.id,
            label(k),
            hint(k),
            created_at=0,
            last_used_at=1 if k.used else None,
            active=k.state == LIVE,
        )
        for k in world.keys
        if k.state != DEAD
    ]


def holds_unknown(world: World) -> bool:
    """A store holds a key that the journal never saw: nothing is swept until a person has said
    which it is.
    """
    return any(store.value and store.value not in world.known for store in world.stores)


def sweep_orphans(world: World) -> tuple[Key, ...]:
    if world.config.recovery is not Recovery.LABEL or holds_unknown(world):
        return ()
    rotation = world.rotation
    in_force = {_journaled(world, store.value) for store in world.stores} | {world.believed}
    in_force |= {k for k in (rotation.old, rotation.new) if k and rotation.phase is not Phase.ENDED}
    accounted = {k.id for k in in_force} | {d.key.id for d in world.debts if d.open}
    known = sweep.Known(INSTALLATION, "p", {"r", "k"}, accounted)
    refused = {k.id for k in world.keys if k.state == DEAD}
    hidden = [
        k for k in sweep.not_shown(in_force, inventory(world)) if k.fingerprint not in refused
    ]
    return () if hidden else tuple(Key(k.id, k.id) for k in sweep.orphans(inventory(world), known))


def _journaled(world: World, value: str) -> Key:
    """The key with this value, under the id by which the journal knows it."""
    known = (world.rotation.new, world.rotation.old, world.believed)
    return next(
        (key for key in known if key is not None and key.fingerprint == value), Key(value, value)
    )


def current(world: World) -> str:
    """The id of the key that the journal believes in."""
    return world.believed.fingerprint or world.believed.id


def facts(world: World) -> Facts:
    writes = world.rotation.writes
    stores = []
    for i, store in enumerate(world.stores):
        ours = bool(writes) and writes[i].version == str(store.version)
        stores.append(StoreFact(f"s{i}", store.value, ours, 1.0 if ours else None))
    present = tuple(store.version for store in world.stores)
    consumers = []
    for plan, consumer in zip(world.config.plan.consumers, world.consumers, strict=True):
        read = consumer.holds if plan.evidence is Evidence.READ else None
        instance = InstanceFact("1", 2.0 if consumer.seen == present else 0.0, read)
        consumers.append(ConsumerFact(plan.name, plan.evidence, True, (instance,)))
    return Facts(tuple(stores), tuple(consumers))


# --- commits: what the journal keeps ---
def commit(
    world: World, unit: Rotation | Debt, result: Done | Failed | Unknown, holder: int | None = None
) -> World:
    """Apply a result under a fence, as the journal does: rows, new debts, seals, in one
    transaction.
    """
    if holder is not None and not fence.admits(world.fence, holder):
        return world
    if holder is not None and holder != world.fence:
        raise Broken("promise 5: a process that lost its lease wrote to the journal")
    if isinstance(unit, Debt):
        changed = debt_machine.apply(unit, result)
        debts = tuple(changed if debt.id == changed.id else debt for debt in world.debts)
        if isinstance(result, Done) and isinstance(result.data, Swept):
            debts += tuple(
                _owe(world, key, Cause.SWEPT, len(debts) + i)
                for i, key in enumerate(result.data.keys)
            )
        world = replace(world, debts=debts, looked=_passed_look(unit, changed))
        world = replace(world, rotation=turn.unblocked(world.rotation, changed))
    else:
        world = _commit_rotation(world, machine.apply(unit, result), result, unit)
    world = replace(world, rotation=turn.settle(world.rotation, world.debts))
    return _erase_seals(world)


def _passed_look(before: Debt, after: Debt) -> bool:
    looked = before.phase in (DebtPhase.LOOK, DebtPhase.LAST_LOOK)
    return looked and after.phase in (DebtPhase.DEACTIVATE, DebtPhase.REVOKE)


def _commit_rotation(world: World, changed: Rotation, result: object, before: Rotation) -> World:
    sealed, believed = world.sealed, world.believed
    if changed.pivoted and changed.new is not None:
        believed = changed.new
    elif (
        before.phase is Phase.PREFLIGHT
        and changed.old is not None
        and changed.phase is not Phase.ENDED
    ):
        believed = changed.old
    if isinstance(result, Done) and changed.new is not None:
        sealed |= {changed.new.fingerprint or changed.new.id}
    if before.phase is Phase.PREFLIGHT and changed.old is not None:
        sealed |= {changed.old.fingerprint or changed.old.id}
    debts = world.debts
    void = {debt.id for debt in turn.current_again(changed, debts)}
    debts = tuple(debt_machine.void(debt) if debt.id in void else debt for debt in debts)
    world = replace(world, debts=debts)
    for owed in changed.owed:
        world = _with_debt(world, owed.key, owed.cause, owed.stored)
    return replace(
        world,
        rotation=replace(changed, owed=()),
        sealed=sealed,
        looked=False,
        believed=believed,
        asked=changed.phase in (Phase.RESTORE_READ, Phase.RESTORE),
        known=world.known | sealed,
    )


def ordered(world: World, changed: Rotation) -> World:
    """After a person's order to the rotation, with what it makes owed."""
    for owed in changed.owed:
        world = _with_debt(world, owed.key, owed.cause, owed.stored)
    return replace(world, rotation=replace(changed, owed=()), looked=False)


def _owe(world: World, key: Key, cause: Cause, number: int, stored: bool = True) -> Debt:
    owed = Debt(
        f"d{number + 1}", "p", world.rotation.id, key, cause, world.config.plan, stored=stored
    )
    return debt_machine.begin(owed)


def revoke_first(world: World) -> World | None:
    """A person orders that the leaked key die first; None where the journal knows of none: then
    nothing happens.
    """
    for unit in (
        world.debts
    ):  # what was intended and not told is unknown to the process that takes the order
        if unit.open and unit.phase in (
            DebtPhase.DEACTIVATE,
            DebtPhase.REVOKE,
            DebtPhase.REACTIVATE,
        ):
            world = commit(world, unit, Unknown(0))
    believed = world.believed if world.believed.id else None
    keys = incident.to_kill(world.rotation, world.debts, believed)
    if not keys:
        return None
    world = replace(
        world, killed=world.killed | {key.fingerprint or key.id for key in keys}, looked=False
    )
    if world.rotation.phase is not Phase.ENDED:
        changed = incident.carried_on(world.rotation, keys, believed, 0)
        world = _commit_rotation(world, changed, None, world.rotation)
    for key in keys:
        if not any(debt.open and debt.key.same(key) for debt in world.debts):
            world = _with_debt(world, key, Cause.COMPROMISED)
    mine = [debt for debt in world.debts if debt.open and any(debt.key.same(key) for key in keys)]
    debts = tuple(debt_machine.kill(debt) if debt in mine else debt for debt in world.debts)
    world = replace(world, debts=debts)
    if world.rotation.phase is Phase.ENDED:
        follows = Rotation("k", "p", world.config.plan, compromised=True, revoke_first=True)
        world = begun(world, follows)
    return _erase_seals(world)


def begun(world: World, rotation: Rotation) -> World:
    """Another rotation, with what the last one left for a person to decide."""
    for owed in incident.left_open(world.rotation):
        world = _with_debt(world, owed.key, owed.cause)
    return replace(world, rotation=rotation)


def _with_debt(world: World, key: Key, cause: Cause, stored: bool = True) -> World:
    """Owed once, and not at all where it was revoked."""
    same = [debt for debt in world.debts if debt.key.same(key)]
    if any(debt.open or debt.phase is DebtPhase.PAID for debt in same):
        return world
    return replace(world, debts=(*world.debts, _owe(world, key, cause, len(world.debts), stored)))


def _erase_seals(world: World) -> World:
    needed = {key.fingerprint or key.id for key in keep.still_needed(world.rotation, world.debts)}
    return replace(world, sealed=world.sealed & needed)


__all__ = [
    "DEAD",
    "LIVE",
    "Ask",
    "Broken",
    "Call",
    "Config",
    "Finish",
    "World",
    "Backup",
    "commit",
    "facts",
    "field",
    "begun",
    "holds_unknown",
    "revoke_first",
    "initial",
    "order",
    "ordered",
    "perform",
    "restore",
    "rotated_on",
    "sweep_orphans",
]
