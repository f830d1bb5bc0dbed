"""Notices from the journal to people: found, written down, and sent from there, at least once.

Nothing here raises into a rotation, and none waits for it: what is sent has a thread and a limit of
time of its own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from ulid import ULID

from rotator import deadline
from rotator.engine.clock import Clock
from rotator.errors import LeaseLost, RotatorError
from rotator.journal import notices
from rotator.journal.database import serialise
from rotator.journal.journal import Journal
from rotator.journal.notices import New, Row, Standing, Untold, Wanted
from rotator.notices import found, words
from rotator.notices.found import Cause
from rotator.playbook.playbook import ChannelEntry, Playbook
from rotator.plugin.channel import Gone, Kind, Notice
from rotator.shown import tidy

TRY = 10.0  # seconds that one try may take
FIRST = 10.0  # seconds until the second try; each wait is twice the one before, LONGEST at most
GIVEN_UP_AFTER = 86_400.0  # seconds for which a channel has failed
FORGOTTEN_AFTER = 7 * 86_400.0  # seconds: older successes are told nobody; what was sent is erased
THREADS = 4
_MOST = 1000  # that are sent over one channel in one go
_KINDS = frozenset(map(str, Kind))
_TIMES_EVERY = 60.0  # seconds between two looks what is overdue: of all playbooks

Note = Callable[[Connection, str, Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one try. `wait`: seconds until the next; None where there is none."""

    channel: str
    playbook: str
    kind: str
    error: str = ""
    hint: str = ""
    wait: float | None = None
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Addressees:
    """Who is told, by this process's settings and the playbooks as they load now.

    `last_known` is the last version of a playbook whose file is gone or broken, None where there is
    none. `of_others` is what other daemons tell of all playbooks: it is written down for them, too.
    """

    of_all: tuple[ChannelEntry, ...]
    books: Mapping[str, Playbook]
    last_known: Callable[[str], Playbook | None]
    of_others: tuple[Wanted, ...] = ()

    def of(self, name: str) -> tuple[ChannelEntry, ...]:
        """Of one playbook, its own last."""
        book = self.books.get(name) or self.last_known(name)
        return (*self.of_all, *(book.channels if book is not None else ()))

    def wanting(self, name: str) -> Mapping[str, Sequence[ChannelEntry | Wanted]]:
        """By channel, who wants to know of a playbook what; also of channels that other daemons
        alone have.
        """
        found: dict[str, list[ChannelEntry | Wanted]] = defaultdict(list)
        every: tuple[ChannelEntry | Wanted, ...] = (*self.of(name), *self.of_others)
        for one in every:
            found[one.name].append(one)
        return found

    def named(self, channel: str, playbook: str) -> ChannelEntry | None:
        """A channel as it is today; None where this process has none of that name."""
        return next((one for one in self.of(playbook) if one.name == channel), None)

    def before(self, book: Playbook) -> float | None:
        """How long before its key is due anybody wants to know, in seconds."""
        every: tuple[ChannelEntry | Wanted, ...] = (
            *self.of_all,
            *self.of_others,
            *book.channels,
        )
        return max((one.before for one in every if one.before is not None), default=None)

    @property
    def names(self) -> frozenset[str]:
        """Those of the settings, of other daemons as well."""
        others = frozenset(one.name for one in self.of_others)
        return others.union(one.name for one in self.of_all)

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        """What the settings of this process say."""
        return tuple(Wanted(one.name, tuple(map(str, one.when)), one.before) for one in self.of_all)

    @property
    def anybody(self) -> bool:
        return bool(self.of_all) or any(book.channels for book in self.books.values())


class Outbox:
    """Of one process. `note` writes an audit record of the installation in a transaction; `tell`
    hears of each try. Thread-safe.

    `leads`: its settings count where those of another process have other channels. `daemon`: its
    name among the daemons of the journal, '' for what is none; each of them counts.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        addressees: Callable[[], Addressees],
        note: Note,
        leads: bool,
        tell: Callable[[Sent], None] = lambda sent: None,
        daemon: str = "",
    ) -> None:
        self._journal, self._clock, self._addressees = journal, clock, addressees
        self._note, self._tell, self._leads, self._daemon = note, tell, leads, daemon
        self._looking = threading.Lock()
        self._times_at = 0.0  # monotonic: the next look at all keys
        self._of_times: tuple[Cause, ...] = ()

    # --- what is to be told ---
    def begin(self) -> None:
        """Before anything is done of which people are to be told: of what was before the first look
        of all nobody is. Raises JournalError.
        """
        with self._journal.database.read() as connection:
            known = notices.names(connection)
        if known is None:
            self.look()

    def look(self, all_keys: bool = False) -> None:
        """Write down what people are to be told since the last look, by whichever process.

        `all_keys`: now also whether any is overdue, not once a minute. Where this process has not
        the channels of those that lead, it leaves that to them. Raises JournalError.
        """
        with self._looking:
            now, who = self._clock.now(), self._addressees()
            with self._journal.database.read() as connection:
                known = notices.names(connection)
                if self._leads:
                    who = replace(who, of_others=self._others(connection, now))
                if not self._looks(known, who):
                    return
                said = not self._daemon or notices.is_said(connection, self._daemon, who.wanted)
                names = who.names if self._leads or known is None else known
                seen = self._seen(connection, who, now, all_keys)
                if said and known == names and not self._news(connection, who, seen, now):
                    return
            with self._journal.database.write() as connection:
                serialise(connection)  # two who look at once would tell one thing twice
                if not said:
                    notices.say(connection, self._daemon, who.wanted, now)
                seen = self._seen_last(connection, who, now)
                notices.begin(connection, names)
                for untold in self._write(connection, who, seen, now):
                    end = notices.BEGINNING if untold.active else notices.END
                    notices.told(connection, untold.rotation, end)
                notices.prune(connection, now - FORGOTTEN_AFTER)

    def _others(self, connection: Connection, now: float) -> tuple[Wanted, ...]:
        wanted = notices.wanted(connection, now)
        return tuple(
            one for daemon, found in wanted.items() if daemon != self._daemon for one in found
        )

    def _looks(self, known: frozenset[str] | None, who: Addressees) -> bool:
        """`known`: the channels of the settings that lead, None where nobody has looked yet."""
        if known is None:
            return who.anybody
        return self._leads or known <= who.names

    def _seen(
        self, connection: Connection, who: Addressees, now: float, all_keys: bool
    ) -> tuple[Cause, ...]:
        """What stands now."""
        if all_keys or time.monotonic() >= self._times_at:
            self._times_at = time.monotonic() + _TIMES_EVERY
            self._of_times = tuple(found.of_times(connection, who.books, who.before, now))
        return (*found.standing(connection, now), *self._of_times)

    def _seen_last(self, connection: Connection, who: Addressees, now: float) -> tuple[Cause, ...]:
        """The same before it is told: another process may have ended it meanwhile, and times were
        looked at a while ago.
        """
        new = self._new(who, self._of_times, notices.standing(connection), now)
        if names := {one.playbook for one in new}:
            books = {name: book for name, book in who.books.items() if name in names}
            fresh = found.of_times(connection, books, who.before, now)
            others = (one for one in self._of_times if one.playbook not in names)
            self._of_times = (*others, *fresh)
        return (*found.standing(connection, now), *self._of_times)

    def _news(
        self, connection: Connection, who: Addressees, seen: Sequence[Cause], now: float
    ) -> bool:
        """Whether anything would be written."""
        if notices.untold(connection):
            return True
        known = notices.standing(connection)
        return bool(self._new(who, seen, known, now) or _over(connection, seen, known))

    def _write(
        self, connection: Connection, who: Addressees, seen: Sequence[Cause], now: float
    ) -> list[Untold]:
        untold = notices.untold(connection)
        known = notices.standing(connection)
        notices.over(connection, _over(connection, seen, known))
        written = []
        for one in untold:
            try:
                causes = tuple(found.of_rotation(one))
            except ValueError:  # a newer rotator wrote it, and tells it
                continue
            written.append(one)
            if any(cause.kind is Kind.DONE for cause in causes):
                of_it = [row for row in known if row.playbook == one.playbook]
                notices.over(connection, [row for row in of_it if row.kind in found.FAILED])
                known = [row for row in known if row not in of_it or row.kind not in found.FAILED]
            new = self._new(who, causes, known, now)
            for row in new:
                notices.add(connection, row, now)
            known += [Standing(0, row.channel, row.playbook, row.kind, row.cause) for row in new]
        for row in self._new(who, seen, known, now):
            notices.add(connection, row, now)
        return written

    def _new(
        self, who: Addressees, causes: Sequence[Cause], known: Iterable[Standing], now: float
    ) -> list[New]:
        """What of these is told over which channel, and has not been."""
        told = {(one.channel, one.playbook, one.kind, one.cause) for one in known}
        rows = []
        for cause in causes:
            if cause.at < now - FORGOTTEN_AFTER and cause.kind in (Kind.STARTED, Kind.DONE):
                continue
            for channel, several in who.wanting(cause.playbook).items():
                is_new = (channel, cause.playbook, cause.kind, cause.digest) not in told
                if is_new and any(_wants(one, cause, now) for one in several):
                    rows.append(self._row(channel, cause))
        return rows

    def _row(self, channel: str, cause: Cause) -> New:
        kind, name = cause.kind, cause.playbook
        text = words.text(kind, name, cause.text, self._journal.installation, socket.gethostname())
        data = {"rotation": cause.rotation} if cause.rotation else {}
        once = kind in (Kind.STARTED, Kind.DONE)
        title = words.title(kind, name)
        return New(channel, name, kind, cause.digest, cause.at, title, text, data, not once)

    # --- sending ---
    def send(self, seconds: float) -> None:
        """What is to be sent now, for so long at most: the rest waits for the next call, here or in
        another process. Raises JournalError.
        """
        who = self._addressees()
        with self._journal.database.read() as connection:
            rows = notices.due(connection, self._clock.now(), _MOST)
        by_channel: dict[str, list[tuple[Row, ChannelEntry]]] = defaultdict(list)
        for row in rows:
            if row.kind not in _KINDS:  # of a newer rotator, which tells it
                continue
            entry = who.named(row.channel, row.playbook)
            if entry is not None:
                by_channel[row.channel].append((row, entry))
            elif row.next < self._clock.now() - FORGOTTEN_AFTER:  # nobody has tried it since
                self._give_up(row, "no process has a channel of that name any more", 0.0)
        _in_threads(self._send_all, list(by_channel.values()), seconds)

    def earliest(self) -> float | None:
        """When this process tries the next one (Unix seconds). Raises JournalError."""
        who = self._addressees()
        with self._journal.database.read() as connection:
            waiting = notices.earliest(connection)
        mine = (at for channel, book, at in waiting if who.named(channel, book) is not None)
        return min(mine, default=None)

    def _send_all(
        self, several: Sequence[tuple[Row, ChannelEntry]], until: Callable[[], float]
    ) -> None:
        """One after the other over one channel, until one fails: the others would, too."""
        for row, entry in several:
            if until() <= 0 or not self._sent(row, entry):
                return

    def _sent(self, row: Row, entry: ChannelEntry) -> bool:
        now, database = self._clock.now(), self._journal.database
        with database.write() as connection:
            if not notices.claim(connection, row, now):
                return True  # somebody else has it
        notice = Notice(
            row.id,
            Kind(row.kind),
            row.playbook,
            row.at,
            row.body["title"],
            row.body["text"],
            row.body["data"],
        )
        error = tried(entry, notice)
        if error is None:
            with database.write() as connection:
                serialise(connection)
                notices.sent(connection, row, self._clock.now())
            self._tell(Sent(row.channel, row.playbook, row.kind))
            return True
        if not isinstance(error, LeaseLost):  # this process ends, the next one tries it
            self._failed(row, error)
        return False

    def _failed(self, row: Row, error: RotatorError) -> None:
        now, said = self._clock.now(), tidy(error.message)
        if isinstance(error, Gone):
            self._give_up(row, said, 0.0)
        elif row.failing is not None and row.failing <= now - GIVEN_UP_AFTER:
            self._give_up(row, said, now - GIVEN_UP_AFTER)
        else:
            wait = min(FIRST * 2.0 ** min(row.tries, 20), notices.LONGEST)
            with self._journal.database.write() as connection:
                serialise(connection)
                notices.failed(connection, row, said, now, wait)
            self._tell(Sent(row.channel, row.playbook, row.kind, said, tidy(error.hint), wait))

    def _give_up(self, row: Row, error: str, failing_before: float) -> None:
        """With a line in the audit log: that nobody was told is no secret."""
        with self._journal.database.write() as connection:
            serialise(connection)
            now = self._clock.now()
            number = notices.give_up(connection, row, error, now, failing_before)
            if not number:
                return  # another process has
            fields = {"channel": row.channel, "notices": str(number), "reason": error}
            self._note(connection, "notices given up", {"playbook": row.playbook, **fields})
        self._tell(Sent(row.channel, row.playbook, row.kind, error, given_up=number))


def tried(entry: ChannelEntry, notice: Notice) -> RotatorError | None:
    """One try, in TRY seconds; why it failed. What a channel raises besides is its own mistake."""
    try:
        # Nobody's lease and no step bounds it, and nothing that is cut with one.
        deadline.bounded(TRY, lambda: _alone(entry, notice))
    except RotatorError as error:
        return error
    except TimeoutError:
        try:
            deadline.check()
        except LeaseLost as error:  # this process ends: that is no failure of the channel
            return error
        return RotatorError(f"no answer in {TRY:.0f} s", "is it up, and the address right?")
    except Exception as error:
        return RotatorError(f"{type(error).__name__}: {tidy(str(error))}", "please report it")
    return None


def _alone(entry: ChannelEntry, notice: Notice) -> None:
    with deadline.until(deadline.within(TRY)):
        entry.channel.send(notice)


def trial(host: str, now: float) -> Notice:
    """What `rotator notify --test` sends."""
    text = f"notices of rotator on {host} arrive here"
    return Notice(f"msg_{ULID()}", Kind.TEST, "", now, words.title(Kind.TEST, ""), text)


def _over(
    connection: Connection, seen: Sequence[Cause], known: Iterable[Standing]
) -> list[Standing]:
    """Causes that were told, and of whose unit none holds any more: one that fails now like this
    and now like that is told of each once. Failures, and what is late or due soon, end with a
    success alone. Of kinds that a newer rotator tells, it ends none.
    """
    holding = {(one.playbook, str(one.kind), found.unit_of(one.digest)) for one in seen}
    gone = [
        one
        for one in known
        if one.kind in _KINDS
        and one.kind not in found.FAILED
        and (one.playbook, one.kind, found.unit_of(one.cause)) not in holding
    ]
    of_times = [one for one in gone if one.kind in found.OF_TIMES]
    renewed = notices.renewed(connection) if of_times else frozenset()
    return [one for one in gone if one.kind not in found.OF_TIMES or one.n in renewed]


def _wants(entry: ChannelEntry | Wanted, cause: Cause, now: float) -> bool:
    if cause.kind is Kind.BEFORE:
        _, _, moment = cause.of.partition(" ")
        if entry.before is None:
            return False
        # What is shorter than that was told by the last rotation.
        return cause.since < float(moment) - entry.before <= now
    return cause.kind in entry.when


def _in_threads(
    work: Callable[[Sequence[tuple[Row, ChannelEntry]], Callable[[], float]], None],
    several: list[list[tuple[Row, ChannelEntry]]],
    seconds: float,
) -> None:
    """Channels side by side. Who is not done in time goes on by itself as long as the process
    lives; what it holds is free for others a minute later.
    """
    until, waiting = deadline.within(seconds), iter(several)
    taking = threading.Lock()
    failures: list[BaseException] = []

    def run() -> None:
        while True:
            with taking:
                one = next(waiting, None)
            if one is None:
                return
            try:
                work(one, until)
            except BaseException as error:
                failures.append(error)
                return

    threads = [
        threading.Thread(target=run, name="notices", daemon=True)
        for _ in range(min(THREADS, len(several)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until()))
    if failures:
        raise failures[0]
