"""One holder's work on one playbook: its case, and the fenced transactions that change it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import cast

from ulid import ULID

from rotator.audit import chain
from rotator.audit.record import Actor
from rotator.core import machine
from rotator.core.action import Call, Unknown
from rotator.core.debt_state import Debt
from rotator.core.order import Order, Refusal, order_debt, order_rotation
from rotator.core.plan import Key
from rotator.core.state import Cause, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine.clock import Clock
from rotator.engine.keeper import Held
from rotator.engine.listeners import Listeners
from rotator.engine.performed import Performed
from rotator.engine.writing import Writing
from rotator.journal import cases, clocks, grouped, leases, strays
from rotator.journal.journal import Journal
from rotator.model import Credential
from rotator.playbook.carry import kept
from rotator.playbook.playbook import Playbook

_READINGS = 3  # of the clocks: a machine may do something else for long between two
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
class Holder:
    """From taking the lease to giving it back.

    Making one only looks: it reads the case and changes nothing. Whoever carries on, orders or
    begins says so first: `take_over`.
    """

    journal: Journal
    clock: Clock
    held: Held
    books: Books
    actor: Actor
    listeners: Listeners
    observe: Observer
    paused: bool = False
    # Whether this process was told to stop: the call in hand is the last one
    stops: Callable[[], bool] = lambda: False
    # Whether its stores and consumers are another node's
    away: bool = False

    def __post_init__(self) -> None:
        self._purpose = "rotation"
        self._took_over = False
        self.taken: tuple[str, ...] = ()  # what it goes on with, as today's playbook says
        self.killing: tuple[Key, ...] = ()  # ordered to die by this holder
        self._heads: dict[str, chain.Head] = {}
        self._opened: dict[Key, Credential] = {}
        with self.journal.database.read() as connection:
            self._times = clocks.load(connection, self.playbook)
            case = cases.load(connection, self.playbook)
        self.case = replace(case, paused=self.paused, away=self.away)
        # As it is in the journal: waits and looks alone are not worth a transaction.
        self._saved = self.case

    @property
    def playbook(self) -> str:
        return self.held.lease.playbook

    def take_over(self) -> None:
        """Settle what earlier holders left, before anything else, orders included: a call whose
        outcome nobody reported, and keys that were made after a lease was lost.

        Raises LeaseLost.
        """
        self._took_over = True
        self.follow_the_clock()
        self._answer_for_the_dead()
        if self.case.rotation is not None:
            self.case = self.case.having(machine.picked_up(self.case.rotation))
        with self.journal.database.read() as connection:
            unsettled = strays.unsettled(connection, self.playbook)
        self._settle(unsettled)

    def must_have_taken_over(self) -> None:
        """What an earlier holder left open must be known before anything is decided or written.

        Raises RuntimeError, a mistake in rotator, where this was opened to look.
        """
        if not self._took_over:
            raise RuntimeError(f"{self.playbook} was opened to look: `take_over` comes first")

    def _answer_for_the_dead(self) -> None:
        """What an earlier process intended and never reported is unknown."""
        intent, owner = self.case.intent, self.unit(self.case.intent_of)
        if intent is not None and owner is not None:
            unknown = Performed(Unknown(self.clock.now()))
            with self.writing() as writing:
                writing.outcome(owner, intent, unknown, took=0.0, recovered=True)

    def unit(self, unit_id: str) -> Unit | None:
        """The rotation or debt with this id, as it is now; None where the case has none."""
        rotation = self.case.rotation
        units: list[Unit] = [*self.case.debts, *([rotation] if rotation is not None else [])]
        return next((unit for unit in units if unit.id == unit_id), None)

    def follow_the_clock(self) -> bool:
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
        """Of two clocks, as nearly at once as this machine does it."""
        return min((self._read() for _ in range(_READINGS)), key=lambda found: found[0])[1]

    def _read(self) -> tuple[float, clocks.Reading]:
        """How many seconds it took, and what was read."""
        boot, before = self.clock.boot()
        now = self.clock.now()
        after = self.clock.boot()[1]
        return after - before, clocks.Reading(boot, now - (before + after) / 2)

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

    def say_purpose(self) -> None:
        """Others who want the lease see what it is held for: a debt lets go soon."""
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
        """A new rotation. The unique index refuses a second active one of the playbook.

        Raises GroupHeld.
        """
        with self.writing() as writing:
            if beginning.in_group is not None:
                grouped.must_be_free(writing.connection, beginning.in_group, self.playbook)
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
        actor, node = who or self.actor.text, "" if self.away else self.actor.where
        group = None if leaked else book.shape.group  # a leaked key waits for nobody
        beginning = cases.Beginning(kept(book), actor, reason, counts_from, node, group)
        self.start(begun, beginning)
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

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writing]:
        """One fenced transaction; once it is committed, the case is the new one, and what happened
        is handed out.

        Raises LeaseLost.
        """
        self.must_have_taken_over()
        database = self.journal.database
        with database.write() as connection:
            leases.require(connection, self.held.lease)
            writing = Writing(
                connection,
                self.journal,
                self.clock,
                self.actor,
                self.playbook,
                self._saved,
                self._heads,
                lambda rotation: self.books.of(rotation).provider,
            )
            writing.case = self.case
            yield writing
            if writing.save():
                self._opened.clear()
            if (reading := self._reading()).follows(self._times):
                clocks.save(connection, self.playbook, reading)
                self._times = reading
            self.listeners.once_committed(database, writing.records)
        self.case = self._saved = writing.case
        self._heads = writing.heads
        self.listeners.hand_out()
