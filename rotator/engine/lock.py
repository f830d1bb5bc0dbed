"""A kernel lock beside the journal: shows on one host whether a holder lives.

The lease is what counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass
class HostLock:
    """One file per playbook, locked while its holder lives; never inherited by children."""

    path: Path
    _handle: int | None = None

    def take(self) -> bool:
        """True if no living process of this host holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        if not self._is_present(handle):
            os.close(handle)
            return self.take()
        self._handle = handle
        return True

    def replace(self) -> None:
        """A frozen process holds the file: leave it that one and lock a new one in its place."""
        self.path.unlink(missing_ok=True)
        self.take()

    def _is_present(self, handle: int) -> bool:
        """Whether the locked file is still the one at the path (it may have been replaced
        meanwhile).
        """
        try:
            here = self.path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(handle)
        return (here.st_dev, here.st_ino) == (mine.st_dev, mine.st_ino)

    @property
    def identity(self) -> str:
        """Device and inode of the locked file; '' where none is held."""
        if self._handle is None:
            return ""
        status = os.fstat(self._handle)
        return f"{status.st_dev}:{status.st_ino}"

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def lock_for(folder: Path, playbook: str) -> HostLock:
    safe = (
        playbook
        if playbook.replace("-", "").replace("_", "").isalnum()
        else hashlib.sha256(playbook.encode()).hexdigest()[:16]
    )
    return HostLock(folder / f"{safe}.lock")
