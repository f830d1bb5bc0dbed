"""What every use case works with: the journal, the playbooks, leases, and the audit log."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection

from rotator.audit import chain, checkpoint, outside
from rotator.audit.record import Actor, this_process
from rotator.audit.stream import Stream
from rotator.core.action import Action, Call
from rotator.core.plan import Key
from rotator.core.turn import Unit
from rotator.engine.agenda import Agenda
from rotator.engine.clock import Clock, SystemClock
from rotator.engine.fleet import Elsewhere, Fleet, Present, Why, is_older
from rotator.engine.keeper import Held, Keeper
from rotator.engine.listeners import AuditStream, Listeners
from rotator.engine.performed import Performed
from rotator.engine.pool import Work, drive
from rotator.engine.runner import Books, Observer, Session
from rotator.engine.stopping import Stopping
from rotator.errors import BusyError, ConfigError, RotatorError
from rotator.journal import cases, killed, pauses, standing
from rotator.journal.journal import Journal, open_journal
from rotator.journal.pauses import Pause
from rotator.notices.outbox import Addressees, Outbox, Sent
from rotator.playbook.carry import playbook_of
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import ChannelEntry, Playbook
from rotator.playbook.registry import Registry
from rotator.settings import Settings
from rotator.usecases import placing, situation
from rotator.usecases.situation import Situation, expected

if TYPE_CHECKING:
    from rotator.engine.events import Event

ORDERS_EVERY = 1.0  # seconds between two looks for orders that others wrote into the journal
_BRIEFLY = 10.0  # seconds in which a lease is asked for again that is only held for a debt
DAEMON = "daemon"  # how a process was started that stays
_LEADING = ("due", DAEMON)  # a service's settings count, not those of who helps out by hand
TELLING = 5.0  # seconds in which a command still sends notices at its end
_AGAIN = 0.2  # seconds between two such tries


class Ends(Protocol):
    """What has an end."""

    def close(self) -> None: ...


def _unseen(unit: Unit, call: Call, performed: Performed | None, took: float) -> None:
    """Nobody watches."""


def _unreported(unit: Unit | None, action: Action) -> None:
    """Nobody wants to know for what is waited."""


@dataclass(frozen=True)
class Leased:
    """Work on one playbook under its lease, and how it stood when the lease was taken."""

    session: Session
    situation: Situation


@dataclass
class Heard:
    """Something was committed that people may be to be told of."""

    event: threading.Event = field(default_factory=threading.Event)
    name: str = "the notices"

    def hear(self, events: Sequence[Event]) -> None:
        self.event.set()


@dataclass
class Runtime:
    """One process's way to the journal and the playbooks.

    `way` is how it was started, for the audit log. `observe` sees each call, `waits` for what is
    waited. Without `renewing`, leases end after their first term.
    """

    settings: Settings
    way: str = "cli"
    clock: Clock = field(default_factory=SystemClock)
    observe: Observer = _unseen
    waits: Callable[[Unit | None, Action], None] = _unreported
    renewing: bool = True

    def __post_init__(self) -> None:
        self.directory = self.settings.directory
        self.actor: Actor = this_process(self.way, self.settings.node_name)
        targets = self.settings.audit_stream
        self.listeners = Listeners([AuditStream(Stream(targets))] if targets else [])
        self.traces: Ends | None = None  # what is closed after all else, as the last to hear
        self.not_exported = ""  # why
        self.heard = Heard()
        self.tells_at_end = True  # a daemon tells all the time
        self.told: Callable[[Sent], None] = lambda sent: None
        self.not_told = ""  # why nobody was told
        # Whose channels count: a daemon reads files not for each notice
        self.books: Callable[[], Loaded] = self.playbooks
        self.stopping = threading.Event()  # set: the calls in hand are the last ones
        self._exporting: threading.Thread | None = None
        self._opening = threading.Lock()
        self._journal: Journal | None = None
        self._keeper: Keeper | None = None
        self._agenda: Agenda | None = None
        self._outbox: Outbox | None = None
        self._channels: tuple[ChannelEntry, ...] | None = None
        self._seen: Loaded | None = None
        self._fleet: Fleet | None = None
        self._ordered: tuple[float, frozenset[str]] = (0.0, frozenset())

    @property
    def journal(self) -> Journal:
        """Opened when it is first used: one for all threads, of which none waits for another one
        that is opening it. Raises JournalError.
        """
        if self._journal is None:
            opened = open_journal(self.settings.url, self.settings.key, self.settings.ephemeral)
            with self._opening:
                kept = self._journal = self._journal or opened
            if kept is not opened:
                opened.database.close()
        return self._journal

    @property
    def keeper(self) -> Keeper:
        """The leases of this process."""
        if self._keeper is None:
            self._keeper = Keeper(
                self.journal, self.settings.home / "locks", self.actor.who, self.renewing
            )
        return self._keeper

    @property
    def agenda(self) -> Agenda:
        """What is due."""
        if self._agenda is None:
            self._agenda = Agenda(self.journal)
        return self._agenda

    @property
    def fleet(self) -> Fleet:
        """This node among those of the journal."""
        if self._fleet is None:
            self._fleet = Fleet(self.journal, self.settings.node_name)
        return self._fleet

    @property
    def outbox(self) -> Outbox:
        """What people are told, and whether it was sent."""
        if self._outbox is None:
            self._outbox = Outbox(
                self.journal,
                self.clock,
                self.addressees,
                lambda connection, event, fields: self.note(connection, event, **fields),
                self.way in _LEADING,
                self._tried,
                self.fleet.instance if self.way == DAEMON else "",
            )
        return self._outbox

    def _tried(self, sent: Sent) -> None:
        self.listeners.hand_out()  # what was given up is in the audit log
        self.told(sent)

    def addressees(self) -> Addressees:
        """Who is told. Raises ConfigError for settings that are wrong."""
        if self._channels is None:
            self._channels = self.settings.channels
        return Addressees(self._channels, self.books().playbooks, self._last_version)

    def _last_version(self, name: str) -> Playbook | None:
        with contextlib.suppress(ConfigError):
            return self.last_known(name)
        return None

    def tell(self, seconds: float, all_keys: bool = False) -> None:
        """Tell people what is to be told, for so long at most; the rest is for the next process.

        Why nobody was told is in `not_told`: no rotation fails for it.
        """
        try:
            self.outbox.look(all_keys)
            self.outbox.send(seconds)
        except RotatorError as error:
            self.not_told = error.message

    def close(self) -> None:
        if self.tells_at_end and self.heard.event.is_set():
            self.tell(TELLING)
        if self._exporting is not None:
            self._exporting.join()
            if not self.not_exported:
                self._take_outside()  # what was signed while it was busy
        if self._keeper is not None:
            self._keeper.close()
        if self._journal is not None:
            self._journal.database.close()

    def must_go_on(self) -> None:
        """Raises Stopping where this process was told to stop: nothing is begun any more."""
        if self.stopping.is_set():
            raise Stopping()

    def exported(self, seconds: float) -> bool:
        """Whether nothing of the audit log is being handed outside, waited for so long."""
        if self._exporting is not None:
            self._exporting.join(seconds)
        return self._exporting is None or not self._exporting.is_alive()

    # --- what is known ---
    def playbooks(self) -> Loaded:
        """Today's playbooks. Files are read again only where they changed."""
        loaded = self.directory.load()
        if loaded is not self._seen:
            self._seen = loaded
            told = self.settings.notify or any(one.channels for one in loaded.playbooks.values())
            if told and self.heard not in self.listeners:
                self.listeners.add(self.heard)
        return loaded

    def situation(self, name: str, loaded: Loaded | None = None) -> Situation:
        """How it stands with one playbook now."""
        loaded = loaded or self.playbooks()
        with self.journal.database.read() as connection:
            return situation.read(connection, name, loaded.playbooks.get(name), self.clock.now())

    def known(self, name: str, loaded: Loaded | None = None) -> Playbook | None:
        """Today's playbook; None where it is broken or gone but something unfinished goes by its
        last version.

        Raises ConfigError for a name that nobody knows.
        """
        loaded = loaded or self.playbooks()
        if name in loaded.playbooks:
            return loaded.playbooks[name]
        return expected(self.situation(name, loaded), loaded)

    def last_known(self, name: str) -> Playbook:
        """The last version of a playbook that the journal kept.

        Raises ConfigError where it loads no more.
        """
        return self._books(name, None).of("")

    def paused(self, name: str, playbook: Playbook | None) -> Pause | None:
        """The pause that covers this playbook, the one that lasts longest."""
        with self.journal.database.read() as connection:
            present = pauses.standing(connection, self.clock.now())
        return pauses.covering(present, name, playbook.shape.tags if playbook else ())

    def without(self, name: str) -> Key | None:
        """The key in force, if it was ordered to die and consumers have no other one."""
        with self.journal.database.read() as connection:
            return killed.in_force(connection, name)

    def is_ordered(self, name: str) -> bool:
        """Whether another process wrote an order for this playbook into the journal.

        Looked up once a second for all playbooks that this process works on.
        """
        at, names = self._ordered
        if abs(self.clock.now() - at) >= ORDERS_EVERY / 2:
            with self.journal.database.read() as connection:
                names = standing.playbooks(connection)
            self._ordered = (self.clock.now(), names)
        return name in names

    # --- where it is worked on ---
    def elsewhere(self, name: str, loaded: Loaded) -> Elsewhere | None:
        """Why this node leaves a playbook to others; None where it may work on it."""
        playbook = loaded.playbooks.get(name) or self._kept(name)
        if playbook is None or not (self.fleet.shared or playbook.shape.on):
            return None
        with self.journal.database.read() as connection:
            present = self.fleet.present(connection, self.clock.now())
            found = placing.elsewhere(connection, present, name, playbook)
            if found is not None or playbook.shape.on:
                return found
            begun = placing.begun_by_other_texts(connection, present, name, playbook)
        return self._begun_elsewhere(name, loaded.playbooks.get(name), begun)

    def begun_nowhere(
        self, name: str, playbook: Playbook | None, present: Present
    ) -> Elsewhere | None:
        """Why nothing of a playbook goes on, whatever its text says today: its stores and consumers
        of then are on a node that is not alive. Raises JournalError.
        """
        if playbook is None or playbook.shape.on or not present.shared:
            return None
        with self.journal.database.read() as connection:
            every = replace(present, node="")
            found = placing.begun_by_other_texts(connection, every, name, playbook)
        alive = present.living or {present.node}
        dead = [one for one in found if one[0] not in alive]
        return self._begun_elsewhere(name, playbook, dead)

    def _begun_elsewhere(
        self, name: str, today: Playbook | None, begun: Sequence[tuple[str, str]]
    ) -> Elsewhere | None:
        """What a playbook says today does not move what was begun by what it said before."""
        books = self._books(name, today)
        for node, rotation in begun:
            with contextlib.suppress(
                RotatorError
            ):  # whoever works by it tells why it does not open
                if places := books.of(rotation).local_places:
                    return Elsewhere(Why.BEGUN, (node,), places)
        return None

    def here_alone(self, names: set[str], loaded: Loaded) -> set[str]:
        """Those of what is due that a timer works on here. Raises JournalError."""
        self.fleet.note(loaded, self.clock.now())
        if not names or not (self.fleet.shared or any(_names_nodes(loaded, one) for one in names)):
            return names
        books = {name: loaded.playbooks.get(name) or self._kept(name) for name in names}
        with self.journal.database.read() as connection:
            present = self.fleet.present(connection, self.clock.now())
            one = next(iter(names)) if len(names) == 1 else ""
            newest = self.fleet.newest(connection, one)
            return {
                name
                for name, book in books.items()
                if placing.put_off(connection, present, name, book, newest) is None
            }

    def keeps_from_beginning(self, playbook: Playbook, by_timer: bool) -> Elsewhere | None:
        """Why this node does not begin a rotation, whatever else of it goes on here."""
        if not (self.fleet.shared or playbook.shape.on):
            return None
        with self.journal.database.read() as connection:
            found = self.fleet.present(connection, self.clock.now()).may_not_begin(playbook)
            newest = self.fleet.newest(connection, playbook.name) if by_timer else {}
        return found or (Elsewhere(Why.OLDER) if is_older(playbook, newest) else None)

    def must_be_here(self, name: str, loaded: Loaded) -> None:
        """Raises RefusedError where another node works on it."""
        if (away := self.elsewhere(name, loaded)) is not None:
            raise away.refusal(name, self.fleet.node)

    def _kept(self, name: str) -> Playbook | None:
        """The last version that the journal kept; None where nobody can read it any more, which is
        told by whoever works by it.
        """
        with contextlib.suppress(RotatorError):
            return self.last_known(name)
        return None

    def gone(self, name: str) -> ConfigError:
        """The error where a rotation was ordered and there is no playbook to rotate by.

        The success of the last rotation would be the wrong answer.
        """
        try:
            self.playbooks().get(name)
        except ConfigError as error:
            return ConfigError(
                f"{error.message}: no new key was made, and no old one was hurried", error.hint
            )
        return ConfigError(f"the playbook {name} has just come back", f"`rotate {name}` once more")

    # --- work under a lease ---
    @contextlib.contextmanager
    def session(self, name: str, anywhere: bool = False) -> Iterator[Session]:
        """Take the lease of a playbook and work on it. `anywhere`: by the journal alone, so that
        any node may.

        Raises BusyError saying who holds it, RefusedError where it is another node's.
        """
        with self.leased(name, anywhere) as leased:
            yield leased.session

    @contextlib.contextmanager
    def leased(self, name: str, anywhere: bool = False) -> Iterator[Leased]:
        """The same, with how it stands under the lease."""
        with drive(self.clock, self.leasing(name, self.playbooks(), anywhere)) as leased:
            yield leased

    def leasing(
        self, name: str, loaded: Loaded, anywhere: bool = False
    ) -> Work[contextlib.AbstractContextManager[Leased]]:
        """The same as a work among others.

        A lease that is only held for a debt is asked for again for a while.
        """
        if not anywhere:
            self.must_be_here(name, loaded)
        end = self.clock.now() + _BRIEFLY
        while True:
            try:
                held = self.keeper.take(name)
                break
            except BusyError as error:
                if not error.brief or self.clock.now() >= end:
                    raise
                yield self.clock.now() + _AGAIN
        return self.working(name, held, loaded)

    @contextlib.contextmanager
    def working(
        self, name: str, held: Held, loaded: Loaded, away: bool = False
    ) -> Iterator[Leased]:
        """Work under a lease that was taken; it is given back at the end. `away`: its stores and
        consumers are another node's.
        """
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
                self.stopping.is_set,
                away,
            )
            session.take_over()
            # Only now: where the wall clock was set, times in the journal have just moved along.
            yield Leased(session, self.situation(name, loaded))
        finally:
            with contextlib.suppress(RotatorError):  # the lease ends by itself
                self.keeper.give_back(held)
            self.export()

    def _books(self, name: str, today: Playbook | None) -> Books:
        registry = Registry(self.directory.paths)
        opened: dict[str, Playbook] = {}

        def load(definition: str) -> Playbook:
            return playbook_of(name, definition, today, registry)

        def of(rotation: str) -> Playbook:
            if rotation not in opened:
                with self.journal.database.read() as connection:
                    by_name = partial(cases.playbook_row, connection, name)
                    row = cases.find_rotation(connection, rotation) if rotation else by_name()
                if row is None and today is None:
                    raise ConfigError(f"the playbook {name} is gone", "put it back")
                opened[rotation] = load(row["definition"]) if row else today  # type: ignore[assignment]
            return opened[rotation]

        return Books(today, of, load, opened)

    # --- the audit log ---
    def note(self, connection: Connection, event: str, **fields: Any) -> None:
        """An audit record of what belongs to no rotation, within `journal.database.write()`.

        Listeners hear of it by `listeners.hand_out()` after that.
        """
        record = chain.append(
            connection, chain.INSTALLATION, self.clock.now(), event, self.actor, **fields
        )
        self.listeners.once_committed(self.journal.database, [record])

    def checkpoint(self) -> dict[str, Any] | None:
        """Sign what was written since the last checkpoint; None where nothing was."""
        with self.journal.database.write() as connection:
            signed = checkpoint.add(connection, self.journal, self.clock.now())
            self.listeners.once_committed(self.journal.database, [signed] if signed else [])
        self.listeners.hand_out()
        self.export()
        return signed

    def export(self) -> None:
        """Hand what was signed to `audit_export`, beside all else.

        Why it was not taken is in `not_exported` after `close`.
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


def _names_nodes(loaded: Loaded, name: str) -> bool:
    playbook = loaded.playbooks.get(name)
    return playbook is not None and bool(playbook.shape.on)
