"""The journal in a file: SQLite.

WAL, synchronous=FULL (an intent must survive a power cut), secure_delete (erased seals leave no
trace), a short busy time-out with our own retry between processes (SQLite's own busy handler
starves; see docs/performance.md).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy.exc import OperationalError

from rotator.clients import procfs
from rotator.errors import JournalError
from rotator.journal import failures

_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "afs",
}


def identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def make_file(path: Path) -> None:
    """For its owner only, before SQLite would make it for everyone; on a disk of this machine."""
    kind = procfs.filesystem_of(path.parent)
    if kind in _NETWORK:
        raise JournalError(
            f"the journal {path} would lie on a network file system ({kind}), where SQLite's locks"
            " do not hold",
            "put ROTATOR_HOME on a local disk, or use PostgreSQL: ROTATOR_DATABASE_URL",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise JournalError(
            f"the journal {path} cannot be made: {error.strerror}",
            "ROTATOR_HOME (or ROTATOR_DATABASE_URL) says where it is; rotator must be able to write"
            " there",
        ) from error


def connected(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        "busy_timeout=10",
    ):
        patiently(partial(connection.execute, f"PRAGMA {pragma}"))


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, (OperationalError, sqlite3.OperationalError)) and "locked" in str(
        error
    )


def patiently(act: Callable[[], object]) -> None:
    """Again while somebody else has the lock."""
    try:
        act()
    except (OperationalError, sqlite3.OperationalError) as error:
        if not _is_busy(error):
            raise
        import tenacity  # late: most have the database to themselves

        wait, stop = tenacity.wait_random(0.001, 0.02), tenacity.stop_after_delay(failures.BUSY_FOR)
        tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_busy), wait=wait, stop=stop, reraise=True
        )(act)
