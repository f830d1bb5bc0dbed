"""One transaction of a lease's holder: what changes in its case, and the audit records that say so,
or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection
from ulid import ULID

from rotator.audit import chain, checkpoint
from rotator.audit.record import Actor
from rotator.core import debt as debt_machine
from rotator.core import incident, keep, machine, patience, turn
from rotator.core.action import Action, Call, Done, Later, Op, Swept
from rotator.core.debt_state import Debt, DebtPhase, Proof
from rotator.core.plan import Key, Plan
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine import telling
from rotator.engine.clock import Clock
from rotator.engine.performed import EFFECTS, Performed
from rotator.errors import RotatorError
from rotator.journal import cases, credentials, roll_outs, versions
from rotator.journal.journal import Journal
from rotator.plugin import Destroying

_CLOCK = "the clock jumped: its times were moved along"
_TOLD = {DebtPhase.HELD: "held", DebtPhase.PAID: "paid"}
_DEATH = {
    Proof.REFUSED: "dead, proven",
    Proof.UNLISTED: "dead: the provider's list does not show it any more",
    Proof.NONE: "revoked, not proven: nothing can ask with the key",
}


@dataclass
class Writing:
    """`case` is the case as it will be; `save` writes what differs from how it was."""

    connection: Connection
    journal: Journal
    clock: Clock
    actor: Actor
    playbook: str
    before: cases.Case
    heads: dict[
        str, chain.Head
    ]  # of this case's chains: nobody else writes them while the lease is held
    # The provider that a rotation was begun with
    provider_of: Callable[[str], object]
    records: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.case = self.before
        self.heads = dict(self.heads)
        self._sealed = False
        self._written = 0  # how many of the records are in the journal

    def save(self) -> bool:
        """The rows, and the seals that no step needs any more; whether seals changed."""
        self._write_records()
        cases.save(self.connection, self.before, self.case, self.clock.now())
        needed = keep.still_needed(self.case.rotation, self.case.debts)
        changed = self._sealed or needed != keep.still_needed(
            self.before.rotation, self.before.debts
        )
        if changed:
            credentials.erase_all_but(self.connection, self.playbook, needed)
        return changed

    # --- what happens ---
    def begin(self, rotation: Rotation, beginning: cases.Beginning) -> None:
        for one in incident.left_open(self.case.rotation):
            self.owe((one.key,), one.cause)
        cases.remember_playbook(self.connection, self.playbook, beginning.definition)
        cases.begin(self.connection, rotation, beginning, self.clock.now())
        self.before, self.case = (
            replace(self.before, rotation=rotation),
            replace(self.case, rotation=rotation),
        )
        self.record(
            rotation, "began", reason=beginning.reason, compromised=rotation.compromised or None
        )

    def outcome(
        self, unit: Unit, call: Call, performed: Performed, took: float, recovered: bool
    ) -> None:
        """What a call brought, and everything that follows from it."""
        now, result = self.clock.now(), performed.result
        for key, credential in performed.keep:
            sealer = self.journal.sealer
            credentials.keep(
                self.connection, sealer, self.playbook, rotation_id(unit), key, credential, now
            )
            self._sealed = True
        if performed.store_version is not None:
            versions.set_last_write(self.connection, self.playbook, *performed.store_version, now)
        if not isinstance(result, Later) and not (recovered and call.op not in EFFECTS):
            self.record(unit, "outcome", call, **telling.outcome(performed, took))
        if isinstance(unit, Debt):
            self.put_debt(unit, debt_machine.apply(unit, result))
            if isinstance(result, Done) and isinstance(result.data, Swept):
                self.owe(result.data.keys, Cause.SWEPT)
        else:
            self.put_rotation(unit, machine.apply(unit, result))
            if call.op is Op.PREFLIGHT:
                self._found()

    def next(self, intend: bool = True) -> tuple[Unit | None, Action]:
        """Whose turn it is then, with the intent written down if it is an effect."""
        unit, action = turn.turn(self.case.turning, self.case.acting)
        if intend and isinstance(action, Call) and action.op in EFFECTS and unit is not None:
            self.case = replace(self.case, intent=action, intent_of=unit.id)
            self.record(unit, "intent", action)
        return unit, action

    def clock_was_set(self, by: float) -> None:
        """The wall clock jumped by so many seconds: the rotation's times and those of our last
        writes and restarts are moved along; each debt knows by itself.
        """
        versions.move(self.connection, self.playbook, by)
        roll_outs.move(self.connection, self.playbook, by)
        rotation = self.case.rotation
        if rotation is not None and rotation.phase is not Phase.ENDED:
            self.case = self.case.having(patience.moved(rotation, by))
            self.record(rotation, "decision", decision=_CLOCK)

    def clock_jumped(self, unit: Unit) -> None:
        """With its times as they are by the clock that did not; so are those of the stores."""
        before = next(
            one
            for one in (self.case.rotation, *self.case.debts)
            if one is not None and one.id == unit.id
        )
        if (by := before.now - unit.now) > 0:
            versions.set_back(self.connection, self.playbook, self.clock.now(), by)
            if isinstance(unit, Rotation):
                roll_outs.move(self.connection, self.playbook, -by)
        self.case = self.case.having(unit)
        self.record(unit, "decision", decision=_CLOCK)

    def kill(self, keys: tuple[Key, ...]) -> None:
        """They die at once, whoever holds them; what a rotation that is under way becomes is said
        elsewhere.
        """
        for key in keys:
            self.owe((key,), Cause.COMPROMISED)
            for debt in [one for one in self.case.debts if one.open and one.key.same(key)]:
                self._put(debt_machine.kill(debt))

    # --- units ---
    def put_rotation(self, before: Rotation, changed: Rotation) -> None:
        owed, changed = changed.owed, replace(changed, owed=())
        again = turn.current_again(changed, self.case.debts)
        if any(debt.cause is Cause.COMPROMISED for debt in again) and not changed.compromised:
            changed = replace(
                changed, compromised=True, forward_only=True
            )  # it leaked once: nothing goes back to it
        self._put(changed)
        decided = telling.decision(before, changed)
        if decided:
            self.record(changed, "decision", **decided)
        for debt in again:
            self._put(debt_machine.void(debt))
            self.record(debt, "decision", decision="the key is current again")
        for one in owed:
            self.owe((one.key,), one.cause, one.stored)
        if changed.phase is Phase.ENDED:
            self._ended(changed)

    def put_debt(self, before: Debt, changed: Debt) -> None:
        self._put(changed)
        told = [self._death(changed)] if changed.proven and not before.proven else []
        told += (
            [_TOLD[changed.phase]]
            if changed.phase is not before.phase and changed.phase in _TOLD
            else []
        )
        for decision in told:
            self.record(changed, "decision", decision=decision, reason=changed.attention)
        if told:
            self.checkpoint()
        rotation = self.case.rotation
        assert rotation is not None  # a debt is owed by one
        settled = turn.settle(rotation, self.case.debts)
        if settled is not rotation:
            self._put(settled)
            self._ended(settled)
        elif (freed := turn.unblocked(rotation, changed)) is not rotation:
            self._put(freed)

    def _death(self, debt: Debt) -> str:
        """Only a refusal that was seen is called proven."""
        by_a_person = (debt.plan.supplied or debt.by_hand) and debt.proof is Proof.NONE
        return (
            f"destroyed, as {self.actor.text} says; not proven"
            if by_a_person
            else _DEATH[debt.proof]
        )

    def owe(self, keys: tuple[Key, ...], cause: Cause, stored: bool = True) -> None:
        """New debts; a key that is owed already, or was revoked, is not owed twice."""
        rotation = self.case.rotation
        assert rotation is not None
        boot, boot_at = self.clock.boot()
        keys = tuple(key for key in keys if not cases.is_paid(self.connection, self.playbook, key))
        versions = (
            tuple(write.replaced for write in rotation.writes) if cause is not Cause.UNDONE else ()
        )
        plan = self._plan_of_a_debt(rotation, cause) if keys else rotation.plan
        for key in keys:
            debt = debt_machine.begin(
                Debt(
                    str(ULID()),
                    self.playbook,
                    rotation.id,
                    key,
                    cause,
                    plan,
                    now=self.clock.now(),
                    versions=versions,
                    stored=stored,
                    boot=boot,
                    boot_at=boot_at,
                )
            )
            credentials.remember(self.connection, self.playbook, rotation.id, key, debt.now)
            if not any(other.open and other.key.same(key) for other in self.case.debts):
                self.case = replace(self.case, debts=(*self.case.debts, debt))
            self.record(debt, "decision", decision=f"{key} is owed: {cause}")

    def _plan_of_a_debt(self, rotation: Rotation, cause: Cause) -> Plan:
        """`supplied` of a debt says who destroys the key.

        What a person made, and an undo leaves over, may be in use elsewhere: they decide.
        """
        by_a_person = rotation.plan.supplied
        if not by_a_person or cause is Cause.UNDONE:
            return rotation.plan
        try:
            provider = self.provider_of(rotation.id)
        except RotatorError:  # the playbook does not open: a person is asked
            return rotation.plan
        destroys = isinstance(provider, Destroying) and provider.destroys
        return replace(rotation.plan, supplied=not destroys)

    def _put(self, unit: Unit) -> None:
        """Its intent, if one was written down, is answered by this."""
        self.case = self.case.having(unit)
        if self.case.intent_of == unit.id:
            self.case = replace(self.case, intent=None, intent_of="")

    def _found(self) -> None:
        """Preflight found which key is current."""
        rotation = self.case.rotation
        if rotation is not None and rotation.old is not None and rotation.phase is not Phase.ENDED:
            cases.set_current(self.connection, self.playbook, rotation.old)
            credentials.remember(
                self.connection, self.playbook, rotation.id, rotation.old, self.clock.now()
            )

    def _ended(self, rotation: Rotation) -> None:
        if rotation.outcome is Outcome.VERIFIED and rotation.new is not None:
            if rotation.back:  # no key was made
                cases.set_current(self.connection, self.playbook, rotation.new)
            else:
                cases.succeeded(self.connection, rotation, rotation.new, self.clock.now())
        else:  # a try that was put off for ever may follow from this one
            cases.to_reckon(self.connection, self.playbook)
        how = str(rotation.outcome)
        self.record(
            rotation,
            "ended",
            outcome=how,
            reason=rotation.problem,
            possible_orphan=rotation.possible_orphan,
        )
        self.checkpoint()

    # --- the audit ---
    def _write_records(self) -> None:
        chain.write(self.connection, self.records[self._written :])
        self._written = len(self.records)

    def checkpoint(self) -> None:
        self._write_records()
        found = checkpoint.add(self.connection, self.journal, self.clock.now())
        self.records += [found] if found else []
        self._written = len(self.records)

    def record(self, unit: Unit, event: str, call: Call | None = None, **fields: Any) -> None:
        if call is not None:
            fields = {**telling.call(unit, call), **fields}
        elif isinstance(unit, Debt):
            fields = {
                "step": "revoke",
                "key": str(unit.key),
                "fingerprint": unit.key.fingerprint,
                **fields,
            }
        now, of = self.clock.now(), rotation_id(unit)
        fields = {"playbook": self.playbook, **fields}
        self.records.append(
            chain.record(self.connection, of, now, event, self.actor, self.heads, **fields)
        )


def rotation_id(unit: Unit) -> str:
    return unit.id if isinstance(unit, Rotation) else unit.rotation
