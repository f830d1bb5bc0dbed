"""A database's error as a sentence: what failed, where, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from rotator.clients import procfs
from rotator.errors import JournalError
from rotator.journal import address

BUSY_FOR = 15.0  # seconds until a database that others have locked is given up
# What PostgreSQL or a pooler before it says, and what to do about it.
_WAYS_OUT = {
    "password authentication failed": f"is that the user's password? {address.ENCODED}",
    "statement pooling mode": (
        "rotator's transactions have several statements: pool_mode = transaction, or session"
    ),
    "deadlock detected": "another process was in the way; nothing is lost: try again",
    "lock timeout": (
        "another process has a table and does not give it back: is one frozen? (pg_stat_activity"
        " tells which); nothing was changed"
    ),
    "unsupported startup parameter": (
        "the pooler does not pass `options` on: take them out of the address"
    ),
}


class JournalAway(JournalError):
    """The database is not reached just now; it may come back."""


@contextmanager
def in_words(where: str, file: Path | None) -> Iterator[None]:
    """A database's error as a sentence.

    A connection to PostgreSQL that is lost is reported as such, too, not as a traceback. `file` is
    SQLite's, None for PostgreSQL or memory.

    Raises JournalError.
    """
    try:
        yield
    except NoConnection as error:
        raise JournalError(
            f"all connections of this process to the journal are in use ({where})",
            "does the database answer? nothing is lost",
        ) from error
    except (DBAPIError, sqlite3.Error) as error:
        raise _translate(where, file, error) from error


def _translate(where: str, file: Path | None, error: DBAPIError | sqlite3.Error) -> JournalError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    words = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if "full" in words or "disk I/O" in words:
        return JournalError(
            f"the journal cannot be written: {words} ({where})", "free some space; nothing is lost"
        )
    if "malformed" in words or "not a database" in words:
        return JournalError(
            f"the journal is damaged: {words} ({where})",
            "restore it from a backup, or move it away and `rotator adopt` each playbook",
        )
    if "readonly" in words or "unable to open" in words:
        return JournalError(
            f"the journal cannot be opened: {words} ({where})",
            "check the directory's owner and mode",
        )
    if "locked" in words and file is not None:
        return _locked(file)
    known = next((hint for part, hint in _WAYS_OUT.items() if part in words), "")
    away = file is None and isinstance(error, OperationalError) and not known
    hint = known or "is it reachable? nothing is lost"
    kind = JournalAway if away else JournalError
    return kind(f"the journal's database failed: {words} ({where})", hint)


def _locked(path: Path) -> JournalError:
    """Transactions are short: who holds one for so long is frozen, or works on a disk that is."""
    message = f"another process has had the journal to itself for {BUSY_FOR:.0f} s ({path})"
    files = [path, *(path.with_name(path.name + end) for end in ("-shm", "-wal"))]
    holders = list(
        {one.pid: one for file in files for one in procfs.writers_with_a_lock(file)}.values()
    )
    if not holders:
        return JournalError(message, "which one is not seen; try again: nothing is lost")
    told = ", ".join(f"{one}, which is stopped" if one.stopped else str(one) for one in holders)
    pids = " ".join(str(one.pid) for one in holders)
    go_on = (
        f"`kill -CONT {pids}` lets it go on"
        if any(one.stopped for one in holders)
        else "wait for it"
    )
    return JournalError(
        f"{message}: {told}", f"{go_on}; `kill -9 {pids}` ends it: what it began is carried on"
    )
