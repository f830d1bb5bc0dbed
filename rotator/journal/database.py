"""The one door to the database: SQLite by default, PostgreSQL by URL, through the same code.

SQLite's transactions begin by BEGIN IMMEDIATE (a deferred one that upgrades its lock fails under
load), and a process has one writer.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text

from rotator import installed
from rotator.errors import JournalError
from rotator.journal import address, failures, sqlite, tables

_KNOWN = (tables.HEAD,)
_WRITING = "BEGIN IMMEDIATE"
SILENT = 30.0  # seconds without a word from PostgreSQL after which a connection is given up
# Seconds that a transaction of a process that is frozen holds others up: PostgreSQL ends it then
HOLDS = 30.0
# Seconds for which a migration waits for a table: whoever comes after it waits behind it
TABLE = 20.0
_WAITS_NOT_LONG = text("SELECT set_config('lock_timeout', :ms, true)")
_HOLDS_NOBODY_UP = text("SELECT set_config('idle_in_transaction_session_timeout', :ms, true)")
_VERSION = text("SELECT version_num FROM alembic_version")


@dataclass
class Silence:
    """Of all connections to one PostgreSQL: after how many seconds without a word one is given up;
    None: never.
    """

    seconds: float | None


class Database:
    """Transactions on the journal. Thread-safe; `write()` is serialised within the process."""

    def __init__(self, url: str) -> None:
        self._writer = threading.RLock()
        # SQLite's one writing connection: opening one costs as much as a commit
        self._kept: Connection | None = None
        self._file: tuple[int, int] | None = None  # SQLite's, once it was prepared
        # Of the transaction that is under way; `_writer` guards it
        self._after_commit: list[Callable[[], None]] = []
        self._silence = Silence(SILENT)
        try:
            self._address = address.parse(url)
            self._engine = _engine(self._address, self._silence)
        except ModuleNotFoundError as error:
            raise JournalError(
                f"a PostgreSQL journal needs {error.name}", installed.way_to("postgres")
            ) from error
        self.is_sqlite = self._engine.dialect.name == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file, None for PostgreSQL or memory."""
        name = self._address.url.database
        return Path(name) if self.is_sqlite and name and name != ":memory:" else None

    @property
    def where(self) -> str:
        """The same for people: the file, or server and database. Neither user nor password."""
        return str(self.path or self._address.where)

    @property
    def engine(self) -> Engine:
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed when the block ends without an exception."""
        with (
            self._alone(),
            failures.in_words(self.where, self.path),
            self._begin() as connection,
        ):
            yield connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The one writer of this process. Who had to wait behind others whose database is silent
        would wait for all of them, one after the other.

        Raises JournalAway.
        """
        if not self._writer.acquire(timeout=2 * SILENT):
            raise failures.JournalAway(
                f"this process waits for the journal ({self.where}) since {2 * SILENT:.0f} s",
                "does the database answer? nothing is lost",
            )
        try:
            yield
        finally:
            self._writer.release()

    @contextmanager
    def unhurried(self) -> Iterator[None]:
        """For what may take long without a word: a migration. It waits for no table without an end:
        a process that is frozen while it reads gives none back.
        """
        self._silence.seconds = None
        try:
            yield
        finally:
            self._silence.seconds = SILENT

    def after_commit(self, act: Callable[[], None]) -> None:
        """Within `write()`: call this right after the commit, before another thread can commit.

        So what these calls append somewhere is in the order of the commits. Nothing is called where
        the transaction is not committed. `act` must be quick, and must not raise.
        """
        self._after_commit.append(act)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A snapshot to read from."""
        self._must_be_there()
        with failures.in_words(self.where, self.path), self._engine.connect() as connection:
            self._start(connection, "BEGIN")
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        self._must_be_there()
        connection = self._kept if self._kept is not None else self._engine.connect()
        self._kept = None
        outer, self._after_commit = self._after_commit, []
        try:
            self._start(connection, _WRITING)
            yield connection
            connection.commit()
            acts = self._after_commit
        except BaseException:
            connection.close()
            raise
        finally:
            self._after_commit = outer
        for act in acts:
            act()
        if self.is_sqlite:
            self._kept = connection
        else:
            connection.close()

    def _must_be_there(self) -> None:
        """SQLite goes on in a file that was moved away or removed, and what it writes is lost.

        Raises JournalError.
        """
        if self._file is None:
            return
        try:
            there = sqlite.identity(Path(self.where))
        except OSError as error:
            raise JournalError(
                f"the journal {self.where} is gone: {error.strerror}",
                "put the same file back, or start rotator anew: nothing is written meanwhile",
            ) from error
        if there != self._file:
            raise JournalError(
                f"another file is in the place of the journal {self.where}",
                "start rotator anew where that is right, or put the former file back",
            )

    def _start(self, connection: Connection, how: str) -> None:
        """Not by an event of SQLAlchemy: an engine that has one asks for more at each statement."""
        connection.begin()
        if not self.is_sqlite and how == _WRITING:
            # Of this transaction alone, so that a pooler has nothing to remember
            unhurried = self._silence.seconds is None
            limit, seconds = (_WAITS_NOT_LONG, TABLE) if unhurried else (_HOLDS_NOBODY_UP, HOLDS)
            connection.execute(limit, {"ms": str(int(seconds * 1000))})
        if self.is_sqlite:
            raw: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
            sqlite.patiently(partial(raw.execute, how))

    def prepare(self) -> bool:
        """Make the tables in an empty database; refuse one of another version.

        True if it was empty.
        """
        if self.path is not None:
            sqlite.make_file(self.path)
            self._file = sqlite.identity(self.path)
        version = self.version()
        if version in _KNOWN:
            return False
        if version:
            raise self.of_another_version(version)
        with self.write() as connection:
            serialise(connection)
            tables.metadata.create_all(connection)
            connection.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL "
                    "CONSTRAINT alembic_version_pkc PRIMARY KEY)"
                )
            )
            if not connection.execute(text("SELECT count(*) FROM alembic_version")).scalar():
                connection.execute(
                    text("INSERT INTO alembic_version VALUES (:head)"), {"head": tables.HEAD}
                )
        return True

    def must_be_known(self) -> None:
        """Raises JournalError where somebody upgraded the journal since it was opened: a newer
        rotator may rest on what this one does not write.
        """
        with self.read() as connection:
            version = str(connection.execute(_VERSION).scalar() or "")
        if version not in _KNOWN:
            raise self.of_another_version(version)

    def of_another_version(self, version: str) -> JournalError:
        """What to raise where the tables are of `version`, which this rotator does not know."""
        hint = (
            "`rotator db upgrade` brings it up to date"
            if version < tables.HEAD
            else "use a newer rotator"
        )
        return JournalError(
            f"the journal {self.where} is of version {version}, this rotator knows {tables.HEAD}",
            hint,
        )

    def version(self) -> str:
        """The version of its tables; '' where there are none yet."""
        with self.read() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return ""
            return str(connection.execute(_VERSION).scalar() or "")

    def empty(self) -> bool:
        """Whether nothing was ever rotated or adopted here."""
        with self.read() as connection:
            return not any(
                connection.execute(select(table.c[0]).limit(1)).first() is not None
                for table in (tables.rotations, tables.credentials, tables.audit)
            )

    def close(self) -> None:
        with self._writer:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
        self._engine.dispose()


def serialise(connection: Connection) -> None:
    """Until this transaction ends, no other one passes here: for what must be in one order over all
    machines.

    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(7298241)"))


def _engine(place: address.Address, silence: Silence) -> Engine:
    if place.url.get_backend_name() != "sqlite":
        from rotator.journal import patient  # late: the driver of an extra

        return patient.engine(place, silence)
    engine = create_engine(place.url, connect_args={"timeout": 0.01, "check_same_thread": False})
    event.listen(engine, "connect", sqlite.connected)
    return engine
