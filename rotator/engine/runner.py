"""The runner: take the action, write the intent, act, write the outcome with the next intent:
`advance`.

A crash between any two lines is the next run's `Unknown`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rotator.core import debt as debt_machine
from rotator.core import machine, patience, turn
from rotator.core.action import Action, Call, Done, Failed, Kind, Later, Op, WaitUntil
from rotator.core.plan import Key
from rotator.core.state import Cause, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine import asking, leaked
from rotator.engine.holder import Books, Holder, Observer
from rotator.engine.orphans import find_orphans
from rotator.engine.performed import EFFECTS, Performed
from rotator.engine.stopping import Stopping
from rotator.engine.writing import rotation_id
from rotator.errors import LeaseLost
from rotator.journal import standing, strays
from rotator.model import Credential

if TYPE_CHECKING:
    from rotator.engine.perform import Performer

__all__ = ["Books", "Observer", "Session"]


class Session(Holder):
    """A holder that carries its rotation and debts on."""

    def advance(self) -> Action:
        """Go on until there is nothing to do now: the wait, question or end that stopped it.

        Raises Stopping, between two calls, in a process that was told to stop.
        """
        self.must_have_taken_over()
        unit, action = self._begin()
        while isinstance(action, Call) and unit is not None:
            performed, took = self._perform(unit, action)
            unit, action = self._commit(unit, action, performed, took)
        return action

    def tried(self, rotation: Rotation, key: Key, supplied: Credential) -> Failed | None:
        """Why a key that nobody knows yet is no use: refused several times in a row, or failed for
        good.

        None where it works, and where nobody can tell now: that is waited for when it is checked.
        """
        call, book = Call(Op.PROBE, "generate", key=key), self.books.of(rotation_id(rotation))
        probes = tuple(asking.probes_with_key(book))
        performer = replace(
            self._performer(rotation, {key: supplied}), then=replace(book, probes=probes)
        )
        failed: Failed | None = None
        for _ in range(rotation.plan.policy.refusals):
            result = performer.perform(call).result
            if not isinstance(result, Failed) or not result.permanent:
                return None
            failed = result
            if result.kind is not Kind.REJECTED:
                break
        return failed

    def answer(self, unit: Unit, call: Call, performed: Performed) -> None:
        """What a person supplied in place of a call."""
        self._commit(unit, call, performed, intend=False)

    def reconcile(self) -> int:
        """Sweep orphans of all this playbook's rotations (a frozen process may have made one); how
        many.
        """
        rotation, book = self.case.rotation, self.books.today
        if rotation is None or book is None or rotation.phase is not Phase.ENDED:
            return 0
        orphans = find_orphans(self.journal, book, self.case)
        if orphans:
            with self.writing() as writing:
                writing.owe(orphans, Cause.SWEPT)
        return len(orphans)

    # --- the loop's parts ---
    def _begin(self) -> tuple[Unit | None, Action]:
        """Whose turn it is, once orders were taken up and waits that are over have ended."""
        if self.stops():
            raise Stopping()
        leaked.take_up_orders(self)
        self._mind_the_clock()
        self._wake()
        unit, action = turn.turn(self.case.turning, self.case.acting)
        if unit is None or not (isinstance(action, Call) and action.op in EFFECTS):
            return unit, action
        # A playbook that does not open is reported before anything is intended.
        self.books.of(rotation_id(unit))
        with self.writing() as writing:
            return writing.next()

    def _mind_the_clock(self) -> None:
        """A wall clock that jumped, in either direction, ends no wait and makes none longer."""
        self.follow_the_clock()
        now, boot, rotation = self.clock.now(), self.clock.boot(), self.case.rotation
        debts = [(debt, debt_machine.by_boot_clock(debt, now, *boot)) for debt in self.case.debts]
        jumped: list[Unit] = [moved for debt, moved in debts if moved is not debt]
        if rotation is not None and rotation.phase is not Phase.ENDED:
            moved = patience.set_back(rotation, now)
            jumped += [moved] if moved is not rotation else []
        if jumped:
            with self.writing() as writing:
                for unit in jumped:
                    writing.clock_jumped(unit)

    def _wake(self) -> None:
        """Units whose wait is over go on, in memory."""
        now = self.clock.now()
        for unit in self._due():
            over = Done(now)
            woken = (
                machine.apply(unit, over)
                if isinstance(unit, Rotation)
                else debt_machine.apply(unit, over)
            )
            self.case = self.case.having(woken)

    def _due(self) -> list[Unit]:
        """Units whose wait is over."""
        rotation, now = self.case.turning, self.clock.now()
        units: list[Unit] = (
            [rotation] if rotation and rotation.phase not in (Phase.ENDED, Phase.SETTLE) else []
        )
        units += [debt for debt in self.case.acting if debt.open and turn.may_act(debt, rotation)]
        waits = [(unit, turn.action_of(unit)) for unit in units]
        return [
            unit for unit, action in waits if isinstance(action, WaitUntil) and action.at <= now
        ]

    def _perform(self, unit: Unit, call: Call) -> tuple[Performed, float]:
        begun = self.clock.now()
        self.observe(unit, call, None, 0.0)
        performed = self._performer(unit, self._opened).perform(call)
        took = self.clock.now() - begun
        self.observe(unit, call, performed, took)
        return performed, took

    def _performer(self, unit: Unit, opened: dict[Key, Credential]) -> Performer:
        book = self.books.of(rotation_id(unit))
        # Late: who only looks at the journal needs none of the plugins.
        from rotator.engine.perform import Performer

        return Performer(
            self.journal,
            self.clock,
            book,
            self.books.today,
            self.case,
            unit,
            self.held.seconds_left,
            opened,
            self.held.lease,
        )

    def _commit(
        self,
        unit: Unit,
        call: Call,
        performed: Performed,
        took: float = 0.0,
        intend: bool = True,
    ) -> tuple[Unit | None, Action]:
        """One transaction: the outcome, what follows from it, and the next intent."""
        try:
            if self.follow_the_clock():  # it was set while the call was under way
                unit = self.unit(unit.id) or unit
            if (
                isinstance(performed.result, Later)
                and call.op is Op.PROGRESS
                and isinstance(unit, Rotation)
            ):
                changed = machine.apply(unit, performed.result)
                if changed.phase is unit.phase:  # asked again soon; a crash would ask at once
                    self.case = self.case.having(changed)
                    return self._begin()
            with self.writing() as writing:
                writing.outcome(unit, call, performed, took, recovered=False)
                # Then what comes next is asked anew, and nothing is intended here.
                anew = self.stops() or bool(standing.waiting(writing.connection, self.playbook))
                following = writing.next(intend and not anew)
        except LeaseLost:
            self._stray(unit, performed)
            raise
        for key, kept in performed.keep:  # as its seal would open
            self._opened[key] = Credential(
                kept.values, key.id or kept.id, key.hint, spelled=kept.spelled
            )
        return self._begin() if intend and anew else following

    def _stray(self, unit: Unit, performed: Performed) -> None:
        """What this process made after it had lost its lease is written down, to be found."""
        key = performed.result.data if isinstance(performed.result, Done) else None
        if isinstance(key, Key):
            with self.journal.database.write() as connection:
                strays.add(connection, self.playbook, rotation_id(unit), key, self.clock.now())
