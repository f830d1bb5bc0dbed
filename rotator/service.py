"""The use cases: rotate, due, resume, undo, supply, confirm, revoke, adopt. The command line only words them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ulid import ULID

from rotator.audit import chain, checkpoint
from rotator.audit.record import Actor, this_process
from rotator.audit.stream import Stream
from rotator.core.action import Ask, Call, Done, Finish, Op, WaitUntil
from rotator.core.order import Order, Refusal, begin_back, go_back
from rotator.core.state import Debt, DebtPhase, Key, Phase, Rotation
from rotator.core.turn import Unit
from rotator.engine.clock import Clock, SystemClock
from rotator.engine.keeper import Held, Keeper
from rotator.engine.perform import Performed
from rotator.engine.pool import Work, drive, drive_all
from rotator.engine.preflight import hint_matches
from rotator.engine.runner import Books, Observer, Session
from rotator.errors import BusyError, ConfigError, RefusedError, RotatorError
from rotator.journal import cases, credentials
from rotator.journal.journal import Journal, open_journal, put_setting, setting
from rotator.model import Credential
from rotator.playbook.carry import kept, playbook_of
from rotator.playbook.directory import Directory, Loaded
from rotator.playbook.playbook import Playbook
from rotator.playbook.registry import Registry
from rotator.plugin import Supplied
from rotator.report import Report
from rotator.secret import Secret
from rotator.settings import Settings

PATIENCE = 60.0  # waits up to this long are sat out
THREADS = 16
_ASK_AGAIN = 10.0  # for a lease that is only held for a debt
_RECONCILE_EVERY = 86_400.0


def _unseen(unit: Unit, call: Call, performed: Performed | None, took: float) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Request:
    """What a person (or the clock) asks of `rotate`."""

    compromised: bool = False
    revoke_first: bool = False
    reason: str = ""
    wait: bool = False
    only_if_due: bool = False


@dataclass
class Service:
    """One process's way to the journal and the playbooks."""

    settings: Settings
    way: str = "cli"
    clock: Clock = field(default_factory=SystemClock)
    observe: Observer = _unseen
    renewing: bool = True

    def __post_init__(self) -> None:
        self.directory = Directory(self.settings.folders)
        self.actor: Actor = this_process(self.way)
        self.stream = Stream(self.settings.audit_stream)
        self._journal: Journal | None = None
        self._keeper: Keeper | None = None

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = open_journal(self.settings.url, self.settings.key)
        return self._journal

    @property
    def keeper(self) -> Keeper:
        if self._keeper is None:
            self._keeper = Keeper(self.journal, self.settings.home / "locks", self.actor.who, self.renewing)
        return self._keeper

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()
        if self._journal is not None:
            self._journal.database.close()

    def playbooks(self) -> Loaded:
        return self.directory.load()

    # --- rotate ---
    def rotate(self, name: str, request: Request = Request()) -> Report:
        """Rotate one playbook, or carry its unfinished rotation on. Errors become part of the report."""
        return drive(self.clock, self._rotating(name, request))

    def rotate_all(self, names: Sequence[str], request: Request) -> list[Report]:
        """Side by side on a bounded pool of threads; reports in the order of names."""
        self.keeper  # noqa: B018  (opened once, before the threads)
        return drive_all(self.clock, [self._rotating(name, request) for name in names], THREADS)

    def _rotating(self, name: str, request: Request) -> Work[Report]:
        begun = self.clock.now()
        try:
            playbook = self._known(name)
            with (yield from self._session(name)) as session:
                report = yield from self._rotate(session, playbook, request)
        except RotatorError as error:
            return Report(name, None, (), Finish(None), error, self.clock.now() - begun)
        return replace(report, seconds=self.clock.now() - begun)

    def _known(self, name: str) -> Playbook | None:
        """Today's playbook; None where it is broken or gone but something unfinished goes by its last version."""
        loaded = self.playbooks()
        if name in loaded.playbooks:
            return loaded.playbooks[name]
        with self.journal.database.read() as connection:
            unfinished = cases.playbook_row(connection, name) is not None
            case = cases.load(connection, name) if unfinished else None
        if case and (case.debts or (case.rotation and case.rotation.phase is not Phase.ENDED)):
            return None
        return loaded.get(name)

    def _rotate(self, session: Session, playbook: Playbook | None, request: Request) -> Work[Report]:
        running = session.case.rotation
        if running is None or running.phase is Phase.ENDED:
            if playbook is None or (request.only_if_due and not self._due(session, playbook)):
                return replace((yield from self._carry_on(session, request)), untouched=True)
            return (yield from self._begin(session, playbook, request))
        follows = False
        if request.compromised and not running.compromised:  # in place; one that is undoing is finished first
            follows = session.order(Order.COMPROMISED, running, request.reason) is not None
        report = yield from self._carry_on(session, request)
        if not follows or playbook is None or report.rotation is None or report.rotation.phase is not Phase.ENDED:
            return report
        return (yield from self._begin(session, playbook, request))

    def _begin(self, session: Session, playbook: Playbook, request: Request) -> Work[Report]:
        now = self.clock.now()
        rotation = Rotation(
            str(ULID()),
            playbook.name,
            playbook.plan,
            now=now,
            since=now,
            compromised=request.compromised,
            revoke_first=request.revoke_first,
        )
        if request.compromised:
            for debt in session.case.debts:
                session.order(Order.COMPROMISED, debt, request.reason)
        session.start(rotation, cases.Beginning(kept(playbook), self.actor.text, request.reason))
        return (yield from self._carry_on(session, request))

    def _due(self, session: Session, playbook: Playbook) -> bool:
        with self.journal.database.read() as connection:
            row = cases.playbook_row(connection, playbook.name)
        due = playbook.due_at(row["last_success"] if row else None)
        return due is not None and due <= self.clock.now()

    def _carry_on(self, session: Session, request: Request) -> Work[Report]:
        """Advance through waits of up to a minute; with `wait`, until the debts are paid."""
        while True:
            session.say_purpose()
            action = session.advance()
            if not isinstance(action, WaitUntil):
                break
            now, case = self.clock.now(), session.case
            far = action.at - now > PATIENCE or _only_soaking(case.rotation, case.debts, now)
            if _only_watching(case.rotation, case.debts) or (far and not request.wait):
                break
            yield min(action.at, self.clock.now() + PATIENCE)
        return Report(session.playbook, session.case.rotation, session.case.debts, action)

    @contextlib.contextmanager
    def session(self, name: str) -> Iterator[Session]:
        """Take the lease of a playbook and work on it."""
        with drive(self.clock, self._session(name)) as session:
            yield session

    def _session(self, name: str) -> Work[contextlib.AbstractContextManager[Session]]:
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
        return self._working(name, held)

    @contextlib.contextmanager
    def _working(self, name: str, held: Held) -> Iterator[Session]:
        try:
            yield Session(self.journal, self.clock, held, self._books(name), self.actor, self.stream, self.observe)
        finally:
            with contextlib.suppress(RotatorError):  # the lease ends by itself
                self.keeper.give_back(held)

    def _books(self, name: str) -> Books:
        today = self.playbooks().playbooks.get(name)
        registry = Registry(self.directory.paths)
        loaded: dict[str, Playbook] = {}

        def of(rotation: str) -> Playbook:
            if rotation not in loaded:
                with self.journal.database.read() as connection:
                    row = cases.find_rotation(connection, rotation)
                if row is None and today is None:
                    raise ConfigError(f"the playbook {name} is gone", "put it back")
                loaded[rotation] = playbook_of(name, row["definition"], today, registry) if row else today  # type: ignore[assignment]
            return loaded[rotation]

        return Books(today, of)

    def due(self, request: Request) -> tuple[list[Report], Loaded]:
        """What a clock would do now, everything once: due playbooks, waits and debts that are over."""
        loaded = self.playbooks()
        now = self.clock.now()
        with self.journal.database.read() as connection:
            names = set(cases.due_playbooks(connection, now)) | cases.playbooks_with_strays(connection)
            for playbook in loaded.playbooks.values():
                row = cases.playbook_row(connection, playbook.name)
                due = playbook.due_at(row["last_success"] if row else None)
                if due is not None and due <= now:
                    names.add(playbook.name)
        reports = self.rotate_all(sorted(names), replace(request, only_if_due=True)) if names else []
        self._reconcile(loaded)
        return reports, loaded

    def _reconcile(self, loaded: Loaded) -> None:
        """Once a day, each playbook: find what a frozen process may have made long after it was given up."""
        now = self.clock.now()
        for name in loaded.playbooks:
            with self.journal.database.read() as connection:
                last = float(setting(connection, f"reconciled {name}") or 0)
                known = cases.playbook_row(connection, name) is not None
            if not known or now - last < _RECONCILE_EVERY:
                continue
            with contextlib.suppress(RotatorError), self.session(name) as session:
                if session.reconcile():
                    drive(self.clock, self._carry_on(session, Request()))
                with self.journal.database.write() as connection:
                    put_setting(connection, f"reconciled {name}", str(now))

    # --- people's orders ---
    def order(self, name: str, given: Order, request: Request) -> Report:
        """resume, undo, revoke, confirm: on the rotation if one is unfinished, else on its debts; then carry on."""
        begun = self.clock.now()
        self._known(name)
        with self.session(name) as session:
            rotation = session.case.rotation
            unfinished = rotation if rotation is not None and rotation.phase is not Phase.ENDED else None
            debts = [debt for debt in session.case.debts if debt.open]
            if given is Order.UNDO and unfinished is None:
                return replace(self._go_back(session, request), seconds=self.clock.now() - begun)
            units: list[Unit] = [unfinished] if unfinished and given in (Order.RESUME, Order.UNDO) else [*debts]
            if not units:
                raise RefusedError(f"{name} has nothing to {given}", "`rotator status` shows how it stands")
            refusals = [session.order(given, unit, request.reason) for unit in units]
            if all(refusals) and refusals[0] is not None:
                raise RefusedError(f"{name}: {refusals[0].reason}", refusals[0].hint)
            report = drive(self.clock, self._carry_on(session, request))
        shown = report.rotation if unfinished in units else None  # an order to old keys is not about the last rotation
        return replace(report, rotation=shown, ordered=True, seconds=self.clock.now() - begun)

    def _go_back(self, session: Session, request: Request) -> Report:
        """Undo after the pivot: a rotation back to the previous key, whose debt is frozen by it."""
        now, name = self.clock.now(), session.playbook
        playbook = self.playbooks().get(name)
        debt = go_back(session.case.rotation, session.case.debts, now)
        if isinstance(debt, Refusal):
            raise RefusedError(f"{name}: {debt.reason}", debt.hint)
        rotation = begin_back(str(ULID()), playbook.plan, debt, now)
        session.start(rotation, cases.Beginning(kept(playbook), self.actor.text, request.reason))
        return replace(drive(self.clock, self._carry_on(session, request)), ordered=True)

    def supply(self, name: str, value: Secret, key_id: str, request: Request) -> Report:
        """The new key, made by a person. Raises PermanentError where it cannot be one."""
        begun = self.clock.now()
        self._known(name)
        with self.session(name) as session:
            rotation = session.case.rotation
            action = session.advance() if rotation is not None and rotation.phase is not Phase.ENDED else None
            rotation = session.case.rotation
            if rotation is None or not (isinstance(action, Ask) and action.kind == "supply"):
                raise RefusedError(f"{name} does not wait for a key", f"`rotate {name}` begins a rotation")
            provider = session.books.of(rotation.id).provider
            assert isinstance(provider, Supplied)
            made = provider.accept(value, self._sealed(name, rotation.old))
            made = Credential(made.values, key_id, made.hint)
            key = self.journal.key_of(made)
            performed = Performed(Done(self.clock.now(), key), ((key, made),))
            session.answer(rotation, Call(Op.GENERATE, "generate", attempt=rotation.attempt), performed)
            report = drive(self.clock, self._carry_on(session, request))
            return replace(report, seconds=self.clock.now() - begun)

    def _sealed(self, name: str, key: Key | None) -> Credential | None:
        if key is None:
            return None
        with self.journal.database.read() as connection:
            return credentials.value_of(connection, self.journal.sealer, name, key)

    def adopt(self, name: str, key_id: str = "") -> Key:
        """Take the key that the stores hold as the current one. Raises RefusedError where that is not one key."""
        playbook = self.playbooks().get(name)
        with self.session(name) as session:
            rotation = session.case.rotation
            if rotation is not None and rotation.phase is not Phase.ENDED:
                raise RefusedError(f"{name} has an unfinished rotation", f"`rotate {name}` carries it on")
            held = [found for entry in playbook.stores if (found := entry.store.read()) is not None and found.values]
            prints = {self.journal.fingerprint(found.values) for found in held if found.values}
            if len(prints) != 1 or held[0].values is None:
                raise RefusedError(
                    "the stores do not hold one key" if held else "no store holds a key",
                    "put the same key into each store first",
                )
            credential = Credential(held[0].values)
            key = replace(self.journal.key_of(credential), id=key_id or self._match(playbook, credential))
            now = self.clock.now()
            with self.journal.database.write() as connection:
                cases.remember_playbook(connection, name, kept(playbook))
                credentials.remember(connection, name, "adopted", key, now)
                cases.set_current(connection, name, key)
                record = chain.append(
                    connection,
                    chain.INSTALLATION,
                    now,
                    "adopted",
                    self.actor,
                    playbook=name,
                    key=str(key),
                    fingerprint=key.fingerprint,
                )
            self.stream.emit([record])
            return key

    def _match(self, playbook: Playbook, credential: Credential) -> str:
        if not playbook.provider.can_list:
            return ""
        value = credential.primary.reveal()
        matching = [record for record in playbook.provider.inventory() if hint_matches(record.hint, value)]
        if len(matching) != 1:
            raise RefusedError(
                f"{len(matching)} of the provider's keys could be this one",
                f"say which: `rotator adopt {playbook.name} --id ID`",
            )
        return matching[0].id

    def checkpoint(self) -> dict[str, Any] | None:
        """Sign what was written since the last checkpoint."""
        with self.journal.database.write() as connection:
            found = checkpoint.add(connection, self.journal, self.clock.now())
        self.stream.emit([found] if found else [])
        return found


def _only_watching(rotation: Rotation | None, debts: Sequence[Debt]) -> bool:
    settled = rotation is None or rotation.phase in (Phase.ENDED, Phase.SETTLE)
    return settled and all(debt.phase in (DebtPhase.WATCH, DebtPhase.HELD) for debt in debts if debt.open)


def _only_soaking(rotation: Rotation | None, debts: Sequence[Debt], now: float) -> bool:
    """A soak asks the probes every half minute, but is over only much later."""
    if rotation is not None and rotation.phase is not Phase.ENDED:
        return False
    waiting = [debt for debt in debts if debt.open and debt.phase not in (DebtPhase.WATCH, DebtPhase.HELD)]
    soaking = {DebtPhase.SOAK, DebtPhase.SUSPECT}
    return all(d.phase in soaking and d.since + d.plan.policy.soak - now > PATIENCE for d in waiting)
