"""The use cases: rotate, due, resume, undo, supply, confirm, revoke, adopt.

The command line only words them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection

from rotator.audit import chain, checkpoint, outside
from rotator.audit.record import Actor, rfc3339, this_process
from rotator.audit.stream import Stream
from rotator.core import incident
from rotator.core.action import Action, Ask, Call, Finish, WaitUntil
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase
from rotator.core.turn import Unit, turn
from rotator.engine import today
from rotator.engine.agenda import Agenda
from rotator.engine.clock import Clock, SystemClock
from rotator.engine.keeper import Held, Keeper
from rotator.engine.listeners import AuditStream, Listeners
from rotator.engine.performed import Performed
from rotator.engine.pool import Work, drive, drive_all
from rotator.engine.runner import Books, Observer, Session
from rotator.engine.staying import SHORT, Stay
from rotator.errors import BusyError, ConfigError, RefusedError, RotatorError
from rotator.journal import cases, killed, pauses, standing, unfinished
from rotator.journal.journal import Journal, open_journal
from rotator.journal.pauses import Pause
from rotator.playbook.carry import playbook_of
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry, neighbour
from rotator.plugin import console_of
from rotator.settings import Settings
from rotator.usecases.leaked import leaked
from rotator.usecases.report import Report

THREADS = 16
_ASK_AGAIN = 10.0  # for a lease that is only held for a debt
_ORDERS_EVERY = 1.0  # seconds between two looks for orders that others wrote into the journal


def _neighbour(playbook: Playbook | None) -> str:
    return neighbour(playbook.provider_name, playbook.provider) if playbook is not None else ""


def _unseen(unit: Unit, call: Call, performed: Performed | None, took: float) -> None:
    """Nobody watches."""


def _not_told(unit: Unit | None, action: Action) -> None:
    """Nobody wants to know for what is waited."""


@dataclass(frozen=True)
class Request:
    """What a person (or the clock) asks of `rotate`."""

    compromised: bool = False
    revoke_first: bool = False
    key: str = ""  # with revoke_first: the id of the one key that leaked
    reason: str = ""
    today: bool = False  # resume with stores, restarters and probes as the playbook says today
    give_up: tuple[str, ...] = ()  # stores that were written and that nobody looks at any more
    wait: bool = False
    only_if_due: bool = False


@dataclass
class Service:
    """One process's way to the journal and the playbooks."""

    settings: Settings
    way: str = "cli"
    clock: Clock = field(default_factory=SystemClock)
    observe: Observer = _unseen
    waits: Callable[[Unit | None, Action], None] = _not_told
    renewing: bool = True

    def __post_init__(self) -> None:
        self.directory = self.settings.directory
        self.actor: Actor = this_process(self.way)
        targets = self.settings.audit_stream
        self.listeners = Listeners([AuditStream(Stream(targets))] if targets else [])
        self.not_exported = ""  # why
        self._exporting: threading.Thread | None = None
        self._journal: Journal | None = None
        self._keeper: Keeper | None = None
        self._agenda: Agenda | None = None
        self._orders: tuple[float, frozenset[str]] = (0.0, frozenset())

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = open_journal(self.settings.url, self.settings.key)
        return self._journal

    @property
    def keeper(self) -> Keeper:
        if self._keeper is None:
            self._keeper = Keeper(
                self.journal, self.settings.home / "locks", self.actor.who, self.renewing
            )
        return self._keeper

    @property
    def agenda(self) -> Agenda:
        if self._agenda is None:
            self._agenda = Agenda(self.journal)
        return self._agenda

    def close(self) -> None:
        if self._exporting is not None:
            self._exporting.join()
            if not self.not_exported:
                self._take_outside()  # what was signed while it was busy
        if self._keeper is not None:
            self._keeper.close()
        if self._journal is not None:
            self._journal.database.close()

    def playbooks(self) -> Loaded:
        return self.directory.load()

    # --- rotate ---
    def rotate(self, name: str, request: Request = Request()) -> Report:
        """Rotate one playbook, or carry its unfinished rotation on.

        Errors become part of the report.
        """
        return drive(self.clock, self._rotating(name, request, self.playbooks()))

    def rotate_all(self, names: Sequence[str], request: Request) -> list[Report]:
        """Side by side on a bounded pool of threads; reports in the order of names."""
        self.keeper  # noqa: B018  (opened once, before the threads)
        loaded = (
            self.playbooks()
        )  # once: looking at a thousand files for each of a thousand names takes a while
        groups = [_neighbour(loaded.playbooks.get(name)) for name in names]
        return drive_all(
            self.clock, [self._rotating(name, request, loaded) for name in names], THREADS, groups
        )

    def _rotating(self, name: str, request: Request, loaded: Loaded) -> Work[Report]:
        begun = self.clock.now()
        try:
            if request.compromised and not request.only_if_due:
                return replace(
                    (yield from leaked(self, name, request, loaded)),
                    seconds=self.clock.now() - begun,
                )
            playbook = self.known(name, loaded)
            pause = self.paused(name, playbook)
            if pause is not None and not request.only_if_due:
                raise RefusedError(
                    f"{name} is paused until {rfc3339(pause.until)[:16]}Z by {pause.who}:"
                    f" {pause.reason}",
                    f"`rotator resume {pause.typed}` ends the pause; "
                    f"a leaked key is not held up: `rotate {name} --compromised`",
                )
            with (yield from self._session(name, loaded)) as session:
                report = yield from self._rotate(session, playbook, request)
        except RotatorError as error:
            return Report(name, None, (), Finish(None), error, self.clock.now() - begun)
        return replace(report, seconds=self.clock.now() - begun)

    def known(self, name: str, loaded: Loaded | None = None) -> Playbook | None:
        """Today's playbook; None where it is broken or gone but something unfinished goes by its
        last version.
        """
        loaded = loaded or self.playbooks()
        if name in loaded.playbooks:
            return loaded.playbooks[name]
        with self.journal.database.read() as connection:
            known = cases.playbook_row(connection, name) is not None
            case = cases.load(connection, name) if known else None
        if case and (case.debts or (case.rotation and case.rotation.phase is not Phase.ENDED)):
            return None
        return loaded.get(name)

    def expect(self, names: Sequence[str], compromised: bool = False) -> None:
        """Raises ConfigError for a name that was mistyped, before anything is begun for the others.

        One whose playbook is broken is such, too, unless a key leaked: that holds up no other.
        """
        loaded = self.playbooks()
        for name in names:
            with self.journal.database.read() as connection:
                if compromised and (
                    loaded.mistakes_of(name) or cases.playbook_row(connection, name) is not None
                ):
                    continue
            try:
                self.known(name, loaded)
            except ConfigError as error:
                raise ConfigError(
                    f"{error.message}{': nothing was begun' if len(names) > 1 else ''}", error.hint
                ) from error

    def last_known(self, name: str) -> Playbook:
        """The last version of a playbook that the journal kept.

        Raises ConfigError where it loads no more.
        """
        return self._books(name, None).of("")

    def paused(self, name: str, playbook: Playbook | None) -> Pause | None:
        """The pause that covers this playbook, the one that lasts longest."""
        with self.journal.database.read() as connection:
            standing = pauses.standing(connection, self.clock.now())
        return pauses.covering(standing, name, playbook.shape.tags if playbook else ())

    def _rotate(
        self, session: Session, playbook: Playbook | None, request: Request
    ) -> Work[Report]:
        running = session.case.rotation
        if running is not None and running.phase is not Phase.ENDED:
            return (yield from self.carry_on(session, request))
        if playbook is None and not request.only_if_due:
            raise self.gone(session.playbook)
        without = self.without(session.playbook) is not None
        held = session.paused or (request.only_if_due and not self._due(session, playbook))
        if playbook is None or (held and not without):
            report = yield from self.carry_on(session, request)
            return replace(
                report, rotation=None, untouched=True
            )  # the last one is no work of this command
        now, timer = self.clock.now(), request.only_if_due
        belongs_to = (
            playbook.belongs_to(self._known(playbook.name)["counts_from"], now) if timer else None
        )
        session.begin(
            playbook, request.reason, leaked=without, first=without, counts_from=belongs_to
        )
        return (yield from self.carry_on(session, request))

    def without(self, name: str) -> Key | None:
        """The key in force, if it was ordered to die and consumers have no other one."""
        with self.journal.database.read() as connection:
            return killed.in_force(connection, name)

    def gone(self, name: str) -> ConfigError:
        """A rotation was ordered, and there is nothing to rotate by.

        Never told as the success of the last one.
        """
        try:
            self.playbooks().get(name)
        except ConfigError as error:
            return ConfigError(
                f"{error.message}: no new key was made, and no old one was hurried", error.hint
            )
        return ConfigError(f"the playbook {name} has just come back", f"`rotate {name}` once more")

    def _due(self, session: Session, playbook: Playbook | None) -> bool:
        if playbook is None:
            return False
        row = self._known(playbook.name)
        return playbook.is_due(row["counts_from"], self.clock.now(), row["renew"])

    def _known(self, name: str) -> Mapping[str, Any]:
        """Of its row in the journal, what its schedule counts from, and when its key is to be
        renewed.
        """
        with self.journal.database.read() as connection:
            row = cases.playbook_row(connection, name)
        return row or {"counts_from": None, "renew": None}

    def carry_on(self, session: Session, request: Request) -> Work[Report]:
        """Advance through short waits; with `wait`, until the debts are paid, or need a person."""
        stay = Stay(request.wait)
        while True:
            session.say_purpose()
            action = session.advance()
            now, case = self.clock.now(), session.case
            if not isinstance(action, WaitUntil) or stay.is_over(case.rotation, case.acting, now):
                break
            if _tried_in_vain(session.killing, case.debts) and not request.wait:
                break
            self.waits(*turn(case.rotation, case.acting))
            yield from self._wait(session.playbook, min(action.at, now + SHORT))
        rotation = session.case.rotation
        differs = (
            today.differs(session, rotation) if rotation and rotation.phase is Phase.STUCK else ()
        )
        asked = isinstance(action, Ask) and rotation is not None
        console = console_of(session.books.of(rotation.id).provider) if asked and rotation else ""
        return Report(
            session.playbook,
            rotation,
            session.case.debts,
            action,
            differs=differs,
            taken=session.taken,
            console=f"at {console}" if console else "",
            without=self.without(session.playbook),
        )

    def _wait(self, name: str, until: float) -> Work[None]:
        """Until then, or until an order for this playbook stands in the journal."""
        while (left := until - self.clock.now()) > 0:
            yield self.clock.now() + min(left, _ORDERS_EVERY)
            if left > _ORDERS_EVERY and name in self._ordered():
                return

    def _ordered(self) -> frozenset[str]:
        """Playbooks for which an order waits; looked up once a second for all that this process
        works on.
        """
        at, found = self._orders
        if abs(self.clock.now() - at) >= _ORDERS_EVERY / 2:
            with self.journal.database.read() as connection:
                found = standing.playbooks(connection)
            self._orders = (self.clock.now(), found)
        return found

    @contextlib.contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """Take the lease of a playbook and work on it."""
        with drive(self.clock, self._session(name, self.playbooks())) as session:
            yield session

    def _session(
        self, name: str, loaded: Loaded
    ) -> Work[contextlib.AbstractContextManager[Session]]:
        """A lease that is only held for a debt is asked for again for a while."""
        end = self.clock.now() + _ASK_AGAIN
        while True:
            try:
                held = self.keeper.take(name)
                break
            except BusyError as error:
                if not error.brief or self.clock.now() >= end:
                    raise
                yield self.clock.now() + 0.2
        return self.working(name, held, loaded)

    @contextlib.contextmanager
    def working(self, name: str, held: Held, loaded: Loaded) -> Iterator[Session]:
        try:
            books = self._books(name, loaded.playbooks.get(name))
            paused = self.paused(name, books.today) is not None
            session = Session(
                self.journal,
                self.clock,
                held,
                books,
                self.actor,
                self.listeners,
                self.observe,
                paused,
            )
            session.take_over()
            yield session
        finally:
            with contextlib.suppress(RotatorError):  # the lease ends by itself
                self.keeper.give_back(held)
            self.export()

    def _books(self, name: str, book: Playbook | None) -> Books:
        registry = Registry(self.directory.paths)
        opened: dict[str, Playbook] = {}

        def load(definition: str) -> Playbook:
            return playbook_of(name, definition, book, registry)

        def of(rotation: str) -> Playbook:
            if rotation not in opened:
                with self.journal.database.read() as connection:
                    by_name = partial(cases.playbook_row, connection, name)
                    row = cases.find_rotation(connection, rotation) if rotation else by_name()
                if row is None and book is None:
                    raise ConfigError(f"the playbook {name} is gone", "put it back")
                opened[rotation] = load(row["definition"]) if row else book  # type: ignore[assignment]
            return opened[rotation]

        return Books(book, of, load, opened)

    def due(self, request: Request) -> tuple[list[Report], Loaded]:
        """What a clock would do now, everything once: due playbooks, waits and debts
        that are over.
        """
        loaded = self.playbooks()
        now = self.clock.now()
        names = self.agenda.due(loaded, now)
        with self.journal.database.read() as connection:
            without = killed.names(connection)
            names |= without & set(loaded.playbooks)
            standing = pauses.standing(connection, now)
        for name in list(names):
            book = loaded.playbooks.get(name)
            paused = pauses.covering(standing, name, book.shape.tags if book else ())
            if paused and name not in without and not self._urgent(name):
                names.discard(name)
        reports = (
            self.rotate_all(sorted(names), replace(request, only_if_due=True)) if names else []
        )
        self._reconcile(loaded)
        return [*reports, *self._standing(names)], loaded

    def _standing(self, looked_at: set[str]) -> list[Report]:
        """Those that no clock moves on: who reads the exit code of `--due` alone must hear of them,
        too.
        """
        with self.journal.database.read() as connection:
            found = sorted(
                (unfinished.that_need_attention(connection) | killed.names(connection)) - looked_at
            )
            standing = [
                (name, cases.load(connection, name), killed.in_force(connection, name))
                for name in found
            ]
        return [
            Report(
                name,
                case.rotation if case.rotation and case.rotation.outcome is None else None,
                case.debts,
                Finish(None),
                untouched=True,
                without=without,
            )
            for name, case, without in standing
        ]

    def _urgent(self, name: str) -> bool:
        """Whether a pause does not hold this up: a leak, or a key that was made in vain."""
        with self.journal.database.read() as connection:
            case = cases.load(connection, name)
        running = case.rotation is not None and case.rotation.phase is not Phase.ENDED
        if running and case.rotation is not None:
            return case.rotation.compromised or case.rotation.phase is Phase.SETTLE
        return any(debt.open and debt.urgent for debt in case.debts)

    def _reconcile(self, loaded: Loaded) -> None:
        """Once a day, each playbook: find what a frozen process may have made long after it was
        given up.
        """
        now = self.clock.now()
        found = self.agenda.to_reconcile(loaded, now)
        names = [name for name in found if self.paused(name, loaded.playbooks[name]) is None]
        groups = [_neighbour(loaded.playbooks[name]) for name in names]
        drive_all(
            self.clock, [self._reconciling(name, loaded, now) for name in names], THREADS, groups
        )

    def _reconciling(self, name: str, loaded: Loaded, now: float) -> Work[None]:
        with contextlib.suppress(RotatorError), (yield from self._session(name, loaded)) as session:
            if session.reconcile():
                yield from self.carry_on(session, Request())
            self.agenda.reconciled(name, now)

    def note(self, connection: Connection, event: str, **fields: Any) -> None:
        """An audit record of what belongs to no rotation, within `journal.database.write()`.

        Listeners hear of it by `events.hand_out()` after that.
        """
        record = chain.append(
            connection, chain.INSTALLATION, self.clock.now(), event, self.actor, **fields
        )
        self.listeners.once_committed(self.journal.database, [record])

    def checkpoint(self) -> dict[str, Any] | None:
        """Sign what was written since the last checkpoint."""
        with self.journal.database.write() as connection:
            found = checkpoint.add(connection, self.journal, self.clock.now())
            self.listeners.once_committed(self.journal.database, [found] if found else [])
        self.listeners.hand_out()
        self.export()
        return found

    def export(self) -> None:
        """Hand what was signed to `audit_export`, beside all else; that it was not taken is told at
        the end.
        """
        if self.settings.audit_export and (
            self._exporting is None or not self._exporting.is_alive()
        ):
            self._exporting = threading.Thread(target=self._take_outside, daemon=True)
            self._exporting.start()

    def _take_outside(self) -> None:
        try:
            self.not_exported = outside.export(self.journal, self.settings.audit_export)
        except RotatorError as error:
            self.not_exported = error.message


def _tried_in_vain(killing: Sequence[Key], debts: Sequence[Debt]) -> bool:
    """A key that was ordered to die, and its provider does not destroy it: a person wants to know
    that now.
    """
    mine = [debt for debt in debts if debt.open and any(debt.key.same(key) for key in killing)]
    return any(incident.ending(debt) is incident.Ending.RETRIED for debt in mine)
