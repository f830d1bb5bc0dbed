"""The runner: take the action, write the intent, act, write the outcome with the next intent: `advance`.

A crash between any two lines is the next run's `Unknown`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection
from ulid import ULID

from rotator.audit import chain, checkpoint
from rotator.audit.record import Actor
from rotator.audit.stream import Stream
from rotator.core import debt as debt_machine
from rotator.core import keep, machine, turn
from rotator.core.action import Action, Call, Done, Later, Op, Result, Swept, Unknown, WaitUntil
from rotator.core.order import Order, Refusal, order_debt, order_rotation
from rotator.core.state import Cause, Debt, DebtPhase, Key, Outcome, Phase, Rotation
from rotator.engine import telling
from rotator.engine.clock import Clock
from rotator.engine.keeper import Held
from rotator.engine.orphans import find_orphans
from rotator.engine.perform import EFFECTS, Performed, Performer
from rotator.errors import LeaseLost
from rotator.journal import cases, credentials, leases
from rotator.journal.journal import Journal
from rotator.playbook.playbook import Playbook

Unit = Rotation | Debt
Observer = Callable[[Unit, Call, Performed | None, float], None]


@dataclass
class Books:
    """The playbooks that units were begun with. `of(rotation_id)` gives one, connected as today."""

    today: Playbook | None
    of: Callable[[str], Playbook]


@dataclass
class Session:
    """One holder's work on one playbook, from taking the lease to giving it back."""

    journal: Journal
    clock: Clock
    held: Held
    books: Books
    actor: Actor
    stream: Stream
    observe: Observer

    def __post_init__(self) -> None:
        self._needed: object = None
        self._purpose = "rotation"
        with self.journal.database.read() as connection:
            self.case = cases.load(connection, self.playbook)
        self._settle_strays()

    @property
    def playbook(self) -> str:
        return self.held.lease.playbook

    def advance(self) -> Action:
        """Go on until there is nothing to do now: the wait, question or end that stopped it."""
        unit, action = self._begin()
        while isinstance(action, Call) and unit is not None:
            performed = self._perform(unit, action)
            unit, action = self._commit(unit, action, performed)
        return action

    def say_purpose(self) -> None:
        """Others who want the lease are told what it is held for: a debt lets go soon."""
        rotation = self.case.rotation
        purpose = "debt" if rotation is None or rotation.phase is Phase.ENDED else "rotation"
        if purpose != self._purpose:
            self._purpose = purpose
            with self.journal.database.write() as connection:
                leases.describe(connection, self.held.lease, rotation=rotation.id if rotation else "", purpose=purpose)

    def start(self, rotation: Rotation, beginning: cases.Beginning) -> None:
        """A new rotation. The unique index refuses a second active one of the playbook."""
        now = self.clock.now()
        with self.journal.database.write() as connection:
            leases.require(connection, self.held.lease)
            cases.remember_playbook(connection, self.playbook, beginning.definition)
            cases.begin(connection, rotation, beginning, now)
            leases.describe(connection, self.held.lease, rotation=rotation.id, purpose="rotation")
            self.case = replace(self.case, rotation=rotation)
            record = self._record(
                connection, rotation, "began", None, reason=beginning.reason, compromised=rotation.compromised or None
            )
        self.stream.emit([record])

    def order(self, given: Order, unit: Unit, reason: str = "") -> Refusal | None:
        """Carry a person's order out on one unit; a refusal is audited, too."""
        now = self.clock.now()
        changed = order_debt(unit, given, now) if isinstance(unit, Debt) else order_rotation(unit, given, now)
        with self.journal.database.write() as connection:
            leases.require(connection, self.held.lease)
            if isinstance(changed, Refusal):
                records = [self._record(connection, unit, "refused", None, order=str(given), reason=changed.reason)]
            else:
                records = [self._record(connection, unit, "order", None, order=str(given), reason=reason)]
                if isinstance(changed, Rotation) and isinstance(unit, Rotation):
                    records += self._save_rotation(
                        connection, unit, changed, Call(Op.LOOK, "order"), Performed(Done(now))
                    )
                elif isinstance(changed, Debt) and isinstance(unit, Debt):
                    records += self._save_debt(connection, unit, changed, Done(now))
        self.stream.emit(records)
        return changed if isinstance(changed, Refusal) else None

    def answer(self, unit: Unit, call: Call, performed: Performed) -> None:
        """What a person supplied in place of a call."""
        self._commit(unit, call, performed, intend=False)

    def reconcile(self) -> int:
        """Sweep orphans of all this playbook's rotations (a frozen process may have made one); how many."""
        rotation = self.case.rotation
        book = self.books.today
        if rotation is None or book is None or rotation.phase is not Phase.ENDED:
            return 0
        orphans = find_orphans(self.journal, book, self.case)
        if orphans:
            with self.journal.database.write() as connection:
                leases.require(connection, self.held.lease)
                records = [self._owe(connection, key, Cause.SWEPT, rotation) for key in orphans]
            self.stream.emit(records)
        return len(orphans)

    def _wake_what_is_due(self) -> None:
        now = self.clock.now()
        for unit in self._units():
            action = _action(unit)
            if isinstance(action, WaitUntil) and action.at <= now:
                self._wake(unit, now)

    # --- the loop's parts ---
    def _units(self) -> list[Unit]:
        rotation = self.case.rotation
        units: list[Unit] = [rotation] if rotation and rotation.phase not in (Phase.ENDED, Phase.SETTLE) else []
        return units + [debt for debt in self.case.debts if debt.open and turn.may_act(debt, rotation)]

    def _begin(self) -> tuple[Unit | None, Action]:
        """What an earlier process intended and never reported is unknown; then whose turn it is."""
        intent, owner = self.case.intent, self.case.intent_of
        if intent is not None:
            unit = self._unit(owner)
            if unit is not None:
                return self._commit(unit, intent, Performed(Unknown(self.clock.now())), recovered=True)
        self._wake_what_is_due()
        unit, action = turn.turn(self.case.rotation, self.case.debts)
        if isinstance(action, Call) and action.op in EFFECTS and unit is not None:
            with self.journal.database.write() as connection:
                leases.require(connection, self.held.lease)
                records = self._intend(connection, unit, action)
            self.stream.emit(records)
        return unit, action

    def _unit(self, owner: str) -> Unit | None:
        units: list[Unit] = [*self.case.debts]
        if self.case.rotation is not None:
            units.append(self.case.rotation)
        return next((unit for unit in units if unit.id == owner), None)

    def _perform(self, unit: Unit, call: Call) -> tuple[Performed, float]:
        begun = self.clock.now()
        self.observe(unit, call, None, 0.0)
        book = self.books.of(unit.id if isinstance(unit, Rotation) else unit.rotation)
        performer = Performer(self.journal, self.clock, book, self.books.today, self.case, unit, self.held.seconds_left)
        performed = performer.perform(call)
        took = self.clock.now() - begun
        self.observe(unit, call, performed, took)
        return performed, took

    def _commit(
        self,
        unit: Unit,
        call: Call,
        done: tuple[Performed, float] | Performed,
        recovered: bool = False,
        intend: bool = True,
    ) -> tuple[Unit | None, Action]:
        """One transaction: the outcome, what follows from it, and the next intent."""
        performed, took = done if isinstance(done, tuple) else (done, 0.0)
        try:
            with self.journal.database.write() as connection:
                leases.require(connection, self.held.lease)
                records = self._outcome(connection, unit, call, performed, took, recovered)
                following, action = turn.turn(self.case.rotation, self.case.debts)
                if intend and isinstance(action, Call) and action.op in EFFECTS and following is not None:
                    records += self._intend(connection, following, action)
                self._erase(connection)
        except LeaseLost:
            self._stray(unit, performed)
            raise
        self.stream.emit(records)
        return following, action

    def _outcome(
        self, connection: Connection, unit: Unit, call: Call, performed: Performed, took: float, recovered: bool
    ) -> list[dict[str, Any]]:
        now = self.clock.now()
        for key, credential in performed.keep:
            credentials.keep(connection, self.journal.sealer, self.playbook, _rotation_id(unit), key, credential, now)
        if performed.store_version is not None:
            store, version, fingerprint = performed.store_version
            cases.set_store_version(connection, self.playbook, store, version, fingerprint, now)
        records = []
        if not isinstance(performed.result, Later) and not (recovered and call.op not in EFFECTS):
            records.append(self._record(connection, unit, "outcome", call, **telling.outcome(performed, took)))
        if isinstance(unit, Rotation):
            records += self._save_rotation(connection, unit, machine.apply(unit, performed.result), call, performed)
        else:
            records += self._save_debt(connection, unit, debt_machine.apply(unit, performed.result), performed.result)
        return records

    def _intend(self, connection: Connection, unit: Unit, call: Call) -> list[dict[str, Any]]:
        if isinstance(unit, Rotation):
            cases.save_rotation(connection, unit, call, self.clock.now())
        else:
            cases.save_debt(connection, unit, call)
        return [self._record(connection, unit, "intent", call)]

    def _wake(self, unit: Unit, now: float) -> None:
        result = Done(now)
        with self.journal.database.write() as connection:
            leases.require(connection, self.held.lease)
            if isinstance(unit, Rotation):
                changed = machine.apply(unit, result)
                cases.save_rotation(connection, changed, None, now)
                self.case = replace(self.case, rotation=changed, intent=None)
            else:
                self._wake_debt(connection, replace(unit, now=now))

    def _wake_debt(self, connection: Connection, debt: Debt) -> None:
        patient = debt_machine.by_boot_clock(debt, *self.clock.boot())
        if patient is not debt:
            self._record(connection, patient, "decision", None, decision="the clock jumped: grace goes on")
        self._replace_debt(connection, patient if patient is not debt else debt_machine.apply(debt, Done(debt.now)))

    # --- rows ---
    def _save_rotation(
        self, connection: Connection, before: Rotation, changed: Rotation, call: Call, performed: Performed
    ) -> list[dict[str, Any]]:
        now = self.clock.now()
        owed, changed = changed.owed, replace(changed, owed=())
        cases.save_rotation(connection, changed, None, now)
        self.case = replace(self.case, rotation=changed, intent=None, intent_of="")
        decided = telling.decision(before, changed)
        records = [self._record(connection, changed, "decision", None, **decided)] if decided else []
        if call.op is Op.PREFLIGHT and changed.old is not None and changed.phase is not Phase.ENDED:
            cases.set_current(connection, self.playbook, changed.old)
            credentials.remember(connection, self.playbook, changed.id, changed.old, now)
        again = turn.current_again(changed, self.case.debts)
        if any(debt.cause is Cause.COMPROMISED for debt in again) and not changed.compromised:
            changed = replace(changed, compromised=True, forward_only=True)  # it leaked once: nothing goes back to it
            cases.save_rotation(connection, changed, None, now)
            self.case = replace(self.case, rotation=changed)
        for debt in again:
            self._replace_debt(connection, debt_machine.void(debt))
            records.append(self._record(connection, debt, "decision", None, decision="the key is current again"))
        records += [self._owe(connection, one.key, one.cause, changed, one.stored) for one in owed]
        if changed.phase is Phase.ENDED:
            records += self._ended(connection, changed)
        return records

    def _ended(self, connection: Connection, rotation: Rotation) -> list[dict[str, Any]]:
        now = self.clock.now()
        if rotation.outcome is Outcome.VERIFIED and rotation.new is not None:
            cases.set_current(connection, self.playbook, rotation.new, now)
        record = self._record(
            connection,
            rotation,
            "ended",
            None,
            outcome=str(rotation.outcome),
            reason=rotation.problem,
            possible_orphan=rotation.possible_orphan,
        )
        return [record, *self._checkpoint(connection)]

    def _checkpoint(self, connection: Connection) -> list[dict[str, Any]]:
        found = checkpoint.add(connection, self.journal, self.clock.now())
        return [found] if found else []

    def _owe(
        self, connection: Connection, key: Key, cause: Cause, rotation: Rotation, stored: bool = True
    ) -> dict[str, Any]:
        """A new debt; a key that is owed already is not owed twice."""
        boot, boot_at = self.clock.boot()
        versions = tuple(write.replaced for write in rotation.writes) if cause is not Cause.UNDONE else ()
        debt = debt_machine.begin(
            Debt(
                str(ULID()),
                self.playbook,
                rotation.id,
                key,
                cause,
                rotation.plan,
                now=self.clock.now(),
                versions=versions,
                stored=stored,
                boot=boot,
                boot_at=boot_at,
            )
        )
        credentials.remember(connection, self.playbook, rotation.id, key, debt.now)
        if not any(other.open and other.key.same(key) for other in self.case.debts):
            cases.add_debt(connection, debt)
            self.case = replace(self.case, debts=(*self.case.debts, debt))
        return self._record(connection, debt, "decision", None, decision=f"{key} is owed: {cause}")

    def _save_debt(self, connection: Connection, before: Debt, changed: Debt, result: Result) -> list[dict[str, Any]]:
        self._replace_debt(connection, changed)
        records = []
        if isinstance(result, Done) and isinstance(result.data, Swept) and self.case.rotation is not None:
            records += [self._owe(connection, key, Cause.SWEPT, self.case.rotation) for key in result.data.keys]
        if changed.phase is not before.phase and changed.phase in (DebtPhase.HELD, DebtPhase.PAID, DebtPhase.RETIRE):
            decision = {DebtPhase.RETIRE: "dead, proven"}.get(changed.phase, str(changed.phase))
            records.append(
                self._record(connection, changed, "decision", None, decision=decision, reason=changed.attention)
            )
            records += self._checkpoint(connection)
        rotation = self.case.rotation
        if rotation is not None:
            settled = turn.settle(rotation, self.case.debts)
            if settled is not rotation:
                cases.save_rotation(connection, settled, None, self.clock.now())
                self.case = replace(self.case, rotation=settled)
                records += self._ended(connection, settled)
        return records

    def _replace_debt(self, connection: Connection, changed: Debt) -> None:
        cases.save_debt(connection, changed, None)
        debts = tuple(changed if debt.id == changed.id else debt for debt in self.case.debts)
        self.case = replace(self.case, debts=debts, intent=None, intent_of="")

    def _erase(self, connection: Connection) -> None:
        needed = keep.still_needed(self.case.rotation, self.case.debts)
        if needed != self._needed:
            credentials.erase_all_but(connection, self.playbook, needed)
            self._needed = needed

    # --- strays: what a process made after it had lost its lease ---
    def _stray(self, unit: Unit, performed: Performed) -> None:
        if not (isinstance(performed.result, Done) and isinstance(performed.result.data, Key)):
            return
        with self.journal.database.write() as connection:
            cases.add_stray(connection, self.playbook, _rotation_id(unit), performed.result.data, self.clock.now())

    def _settle_strays(self) -> None:
        with self.journal.database.read() as connection:
            found = cases.strays(connection, self.playbook)
        rotation = self.case.rotation
        if not found or rotation is None:
            return
        with self.journal.database.write() as connection:
            leases.require(connection, self.held.lease)
            for stray in found:
                key = Key(stray["key_id"], stray["fingerprint"], stray["hint"])
                if not key.same(rotation.new) and not key.same(rotation.old):
                    self._owe(connection, key, Cause.SWEPT, rotation)
                cases.settle_stray(connection, stray["n"])

    # --- the audit ---
    def _record(
        self, connection: Connection, unit: Unit, event: str, call: Call | None, **fields: Any
    ) -> dict[str, Any]:
        if call is not None:
            fields = {
                "step": call.step,
                "op": str(call.op),
                "target": telling.target(unit, call),
                "attempt": call.attempt or None,
                "key": str(call.key) if call.key else None,
                "fingerprint": call.key.fingerprint if call.key else None,
                **fields,
            }
        elif isinstance(unit, Debt):
            fields = {"step": "revoke", "key": str(unit.key), "fingerprint": unit.key.fingerprint, **fields}
        return chain.append(
            connection, _rotation_id(unit), self.clock.now(), event, self.actor, playbook=self.playbook, **fields
        )


def _action(unit: Unit) -> Action:
    return debt_machine.next_action(unit) if isinstance(unit, Debt) else machine.next_action(unit)


def _rotation_id(unit: Unit) -> str:
    return unit.id if isinstance(unit, Rotation) else unit.rotation
