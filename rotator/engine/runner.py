"""The runner: take the action, write the intent, act, write the outcome with the next intent:
`advance`.

A crash between any two lines is the next run's `Unknown`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from ulid import ULID

from rotator.audit import chain
from rotator.audit.record import Actor
from rotator.audit.stream import Stream
from rotator.core import debt as debt_machine
from rotator.core import incident as core_incident
from rotator.core import machine, patience, turn
from rotator.core.action import Action, Call, Done, Failed, Kind, Later, Op, Unknown, WaitUntil
from rotator.core.debt_state import Debt
from rotator.core.order import Order, Refusal, order_debt, order_rotation
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine import incident, today
from rotator.engine.clock import Clock
from rotator.engine.keeper import Held
from rotator.engine.orphans import find_orphans
from rotator.engine.performed import EFFECTS, Performed
from rotator.engine.writing import Writing, rotation_id
from rotator.errors import ConfigError, LeaseLost, PluginError, RefusedError
from rotator.journal import cases, clocks, leases, standing, strays
from rotator.journal.journal import Journal
from rotator.model import Credential
from rotator.playbook.carry import kept
from rotator.playbook.playbook import Playbook

if TYPE_CHECKING:
    from rotator.engine.perform import Performer

Observer = Callable[[Unit, Call, Performed | None, float], None]


@dataclass
class Books:
    """The playbooks that units were begun with. `of(rotation_id)` gives one, connected as today; ''
    the last known.

    `load` opens a definition; `opened` are those that `of` gave.
    """

    today: Playbook | None
    of: Callable[[str], Playbook]
    load: Callable[[str], Playbook]
    opened: dict[str, Playbook]


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
    paused: bool = False

    def __post_init__(self) -> None:
        self._purpose = "rotation"
        self.taken: tuple[str, ...] = ()  # what it goes on with, as today's playbook says
        self.killing: tuple[Key, ...] = ()  # ordered to die in this session
        self._heads: dict[str, chain.Head] = {}
        self._opened: dict[Key, Credential] = {}
        with self.journal.database.read() as connection:
            self._times = clocks.load(connection, self.playbook)
            self.case = replace(cases.load(connection, self.playbook), paused=self.paused)
            unsettled = strays.unsettled(connection, self.playbook)
        self._saved = (
            self.case
        )  # as it is in the journal: waits and looks alone are not worth a transaction
        self._recover()
        self._settle(unsettled)

    @property
    def playbook(self) -> str:
        return self.held.lease.playbook

    def advance(self) -> Action:
        """Go on until there is nothing to do now: the wait, question or end that stopped it."""
        unit, action = self._begin()
        while isinstance(action, Call) and unit is not None:
            performed, took = self._perform(unit, action)
            unit, action = self._commit(unit, action, performed, took)
        return action

    def say_purpose(self) -> None:
        """Others who want the lease are told what it is held for: a debt lets go soon."""
        rotation = self.case.rotation
        purpose = "debt" if rotation is None or rotation.phase is Phase.ENDED else "rotation"
        if purpose != self._purpose:
            self._purpose = purpose
            with self.journal.database.write() as connection:
                leases.describe(
                    connection,
                    self.held.lease,
                    rotation=rotation.id if rotation else "",
                    purpose=purpose,
                )

    def start(self, rotation: Rotation, beginning: cases.Beginning) -> None:
        """A new rotation. The unique index refuses a second active one of the playbook."""
        with self.writing() as writing:
            writing.begin(rotation, beginning)
            leases.describe(
                writing.connection, self.held.lease, rotation=rotation.id, purpose="rotation"
            )

    def begin(
        self,
        book: Playbook,
        reason: str = "",
        who: str = "",
        leaked: bool = False,
        first: bool = False,
        counts_from: float | None = None,
    ) -> str:
        """A rotation by this playbook begins, and is to be carried on; its id. `first`: the leaked
        key dies before.

        `counts_from` is the due moment that it belongs to (Unix seconds), where a timer begins it.
        """
        now = self.clock.now()
        begun = Rotation(
            str(ULID()),
            self.playbook,
            book.plan,
            now=now,
            since=now,
            compromised=leaked,
            revoke_first=first,
        )
        self.start(begun, cases.Beginning(kept(book), who or self.actor.text, reason, counts_from))
        return begun.id

    def order(self, given: Order, unit: Unit, reason: str = "", who: str = "") -> Refusal | None:
        """Carry a person's order out on one unit; a refusal is audited, too."""
        now = self.clock.now()
        changed = (
            order_debt(unit, given, now)
            if isinstance(unit, Debt)
            else order_rotation(unit, given, now)
        )
        with self.writing() as writing:
            if isinstance(changed, Refusal):
                writing.record(unit, "refused", order=str(given), reason=changed.reason)
                return changed
            writing.record(unit, "order", order=str(given), reason=reason, by=who or None)
            if isinstance(changed, Debt) and isinstance(unit, Debt):
                writing.put_debt(unit, changed)
            else:
                writing.put_rotation(cast(Rotation, unit), cast(Rotation, changed))
        return None

    # --- a leaked key ---
    def leaked(self, reason: str = "", who: str = "") -> standing.Answer | None:
        """What is under way goes on without a way back, or a rotation begins; old keys have no
        grace any more.

        None while a rotation is being undone: that is finished first. Raises ConfigError without
        today's playbook.
        """
        rotation = self.case.rotation
        if rotation is not None and rotation.phase is not Phase.ENDED:
            if isinstance(order_rotation(rotation, Order.COMPROMISED, self.clock.now()), Refusal):
                return None
            if rotation.phase is Phase.STUCK or not rotation.compromised:
                self.order(Order.COMPROMISED, rotation, reason, who)
            if rotation.phase is Phase.STUCK:
                self.by_today()
            if self.case.rotation is not None and self.case.rotation.phase is not Phase.ENDED:
                return standing.Answer(rotation=rotation.id)
        book = self.books.today
        if book is None:
            message = (
                f"the playbook {self.playbook} is gone: no new key was made, and no old one was"
                " hurried"
            )
            hint = (
                f"put it back; or, whatever it costs: `rotate {self.playbook} --compromised"
                " --revoke-first`"
            )
            raise ConfigError(message, hint)
        for debt in self.case.debts:
            self.order(Order.COMPROMISED, debt, reason, who)
        return standing.Answer(rotation=self.begin(book, reason, who, leaked=True))

    def revoke_first(self, key_id: str = "", reason: str = "", who: str = "") -> standing.Answer:
        """Kill the key in force and all older ones, or the one that is named; another rotation
        makes the new key.

        Raises RefusedError where nobody knows which key it is, or where it makes the others.
        """
        with self.journal.database.read() as connection:
            current = cases.current_key(connection, self.playbook)
        rotation = self.case.rotation
        book = self.books.of(rotation.id if rotation is not None else "")
        keys = incident.targets(self.journal, book, self.case, key_id, self.clock.now())
        replaced = incident.replaces(self.journal, book, self.case, key_id, keys, self.clock.now())
        if rotation is None:  # a debt is owed by one
            self._follow(book, reason, who)
        with self.writing() as writing:
            before = writing.case.rotation
            assert before is not None
            names = [str(key) for key in keys]
            writing.record(
                before,
                "order",
                order=str(Order.REVOKE_FIRST),
                keys=names,
                reason=reason,
                by=who or None,
            )
            if rotation is None and (self.books.today is None or not replaced):
                alone = replace(
                    before, compromised=replaced, revoke_first=replaced
                )  # that key, and nothing else
                writing.put_rotation(before, alone.end(Outcome.ABANDONED))
            elif before.phase is not Phase.ENDED:
                writing.put_rotation(
                    before, core_incident.carried_on(before, keys, current, self.clock.now())
                )
            writing.kill(keys)
            if (
                current is None and not key_id
            ):  # what the stores hold: nobody had written down that it is in force
                cases.set_current(writing.connection, self.playbook, keys[0])
        self.killing = keys
        if rotation is not None and rotation.phase is Phase.STUCK:
            self.by_today()
        if (
            replaced
            and rotation is not None
            and self.case.rotation
            and self.case.rotation.phase is Phase.ENDED
        ):
            self._follow(self.books.today, reason, who)
        return standing.Answer(keys)

    def by_today(self) -> None:
        """What was stuck and goes on in an incident goes on by today's playbook, where that fits
        what it did so far.
        """
        rotation = self.case.rotation
        if (
            rotation is not None
            and rotation.phase is not Phase.ENDED
            and today.differs(self, rotation)
        ):
            with contextlib.suppress(ConfigError, RefusedError, PluginError):
                self.taken = today.take(self, ())

    def _follow(self, book: Playbook | None, reason: str, who: str) -> None:
        """The rotation to a key that lives. Without today's playbook there is none."""
        if book is not None:
            self.begin(book, reason, who, leaked=True, first=True)

    def _take_up(self) -> None:
        """Orders that others wrote down while this process held the lease, before anything else is
        done.
        """
        with self.journal.database.read() as connection:
            waiting = standing.waiting(connection, self.playbook)
        for order in waiting:
            try:
                if order.kind is Order.COMPROMISED:
                    given = self.leaked(order.reason, order.who)
                else:
                    given = self.revoke_first(order.key_id, order.reason, order.who)
            except (RefusedError, ConfigError, PluginError) as error:
                given = standing.Answer((), error.message, error.hint)
            if given is None:  # it stands until what is being undone is
                continue
            with self.journal.database.write() as connection:
                leases.require(connection, self.held.lease)
                standing.answer(connection, order.n, given)

    def tried(self, rotation: Rotation, key: Key, made: Credential) -> Failed | None:
        """Why a key that nobody knows yet is no use: refused several times in a row, or failed for
        good.

        None where it works, and where nobody can tell now: that is waited for when it is checked.
        """
        call, book = Call(Op.PROBE, "generate", key=key), self.books.of(rotation_id(rotation))
        asking = tuple(probe for probe in book.probes if getattr(probe, "asks_with_key", False))
        performer = replace(
            self._performer(rotation, {key: made}), then=replace(book, probes=asking)
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
    @contextlib.contextmanager
    def writing(self) -> Iterator[Writing]:
        """One fenced transaction; the case is the new one once it is committed.

        Raises LeaseLost.
        """
        with self.journal.database.write() as connection:
            leases.require(connection, self.held.lease)
            writing = Writing(
                connection,
                self.journal,
                self.clock,
                self.actor,
                self.playbook,
                self._saved,
                self._heads,
            )
            writing.case = self.case
            yield writing
            if writing.save():
                self._opened.clear()
            if (reading := self._reading()).follows(self._times):
                clocks.save(connection, self.playbook, reading)
                self._times = reading
        self.case = self._saved = writing.case
        self._heads = writing.heads
        self.stream.emit(writing.records)

    def _recover(self) -> None:
        """What an earlier process intended and never reported is unknown: before anything else,
        orders included.
        """
        intent, owner = self.case.intent, self._unit(self.case.intent_of)
        if intent is not None and owner is not None:
            self._commit(
                owner, intent, Performed(Unknown(self.clock.now())), recovered=True, intend=False
            )
        if self.case.rotation is not None:
            self.case = self.case.having(machine.picked_up(self.case.rotation))

    def _begin(self) -> tuple[Unit | None, Action]:
        """Whose turn it is, once orders were taken up and waits that are over have ended."""
        self._take_up()
        self._mind_the_clock()
        self._wake()
        unit, action = turn.turn(self.case.rotation, self.case.acting)
        if unit is None or not (isinstance(action, Call) and action.op in EFFECTS):
            return unit, action
        self.books.of(
            rotation_id(unit)
        )  # one that does not open is told before anything is intended
        with self.writing() as writing:
            return writing.next()

    def _mind_the_clock(self) -> None:
        """A wall clock that jumped, in either direction, ends no wait and makes none longer."""
        self._follow_the_clock()
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

    def _follow_the_clock(self) -> bool:
        """Times move along with a wall clock that was set within this boot; whether it was."""
        reading = self._reading()
        if not (by := reading.jumped_since(self._times)):
            return False
        with self.writing() as writing:
            writing.clock_was_set(by)
            clocks.save(writing.connection, self.playbook, reading)
        self._times = reading
        return True

    def _reading(self) -> clocks.Reading:
        boot, since_boot = self.clock.boot()
        return clocks.Reading(boot, self.clock.now() - since_boot)

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
        rotation, now = self.case.rotation, self.clock.now()
        units: list[Unit] = (
            [rotation] if rotation and rotation.phase not in (Phase.ENDED, Phase.SETTLE) else []
        )
        units += [debt for debt in self.case.acting if debt.open and turn.may_act(debt, rotation)]
        waits = [(unit, turn.action_of(unit)) for unit in units]
        return [
            unit for unit, action in waits if isinstance(action, WaitUntil) and action.at <= now
        ]

    def _unit(self, owner: str) -> Unit | None:
        units: list[Unit] = [*self.case.debts]
        if self.case.rotation is not None:
            units.append(self.case.rotation)
        return next((unit for unit in units if unit.id == owner), None)

    def _perform(self, unit: Unit, call: Call) -> tuple[Performed, float]:
        begun = self.clock.now()
        self.observe(unit, call, None, 0.0)
        performed = self._performer(unit, self._opened).perform(call)
        took = self.clock.now() - begun
        self.observe(unit, call, performed, took)
        return performed, took

    def _performer(self, unit: Unit, opened: dict[Key, Credential]) -> Performer:
        book = self.books.of(rotation_id(unit))
        from rotator.engine.perform import (
            Performer,
        )  # late: who only looks at the journal needs none of the plugins

        return Performer(
            self.journal,
            self.clock,
            book,
            self.books.today,
            self.case,
            unit,
            self.held.seconds_left,
            opened,
        )

    def _commit(
        self,
        unit: Unit,
        call: Call,
        performed: Performed,
        took: float = 0.0,
        recovered: bool = False,
        intend: bool = True,
    ) -> tuple[Unit | None, Action]:
        """One transaction: the outcome, what follows from it, and the next intent."""
        try:
            if self._follow_the_clock():  # it was set while the call was under way
                unit = self._unit(unit.id) or unit
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
                writing.outcome(unit, call, performed, took, recovered)
                ordered = intend and bool(standing.waiting(writing.connection, self.playbook))
                following = writing.next(intend and not ordered)
        except LeaseLost:
            self._stray(unit, performed)
            raise
        for key, made in performed.keep:  # as its seal would open
            self._opened[key] = Credential(
                made.values, key.id or made.id, key.hint, spelled=made.spelled
            )
        return self._begin() if ordered else following

    # --- strays: what a process made after it had lost its lease ---
    def _stray(self, unit: Unit, performed: Performed) -> None:
        made = performed.result.data if isinstance(performed.result, Done) else None
        if isinstance(made, Key):
            with self.journal.database.write() as connection:
                strays.add(connection, self.playbook, rotation_id(unit), made, self.clock.now())

    def _settle(self, unsettled: list[strays.Stray]) -> None:
        """Keys that an earlier holder made too late are owed, unless the rotation took one as its
        own.
        """
        rotation = self.case.rotation
        if not unsettled or rotation is None:
            return
        with self.writing() as writing:
            for stray in unsettled:
                if not stray.key.same(rotation.new) and not stray.key.same(rotation.old):
                    writing.owe((stray.key,), Cause.SWEPT)
                strays.settle(writing.connection, stray.n)
