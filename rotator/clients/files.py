"""The one door to files that hold secrets: read with a version, replace atomically, never
half-written.

Sources: rename(2), fsync(2), open(2) (O_TMPFILE), sticky directories in rename(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path

from rotator import deadline, plain
from rotator.clients import attributes
from rotator.clients.seen import Seen, editors_files
from rotator.clients.spot import Spot, at, beside_name
from rotator.errors import (
    AccessDenied,
    Conflict,
    NotFound,
    PermanentError,
    RotatorError,
    TransientError,
)

_ALONE, _LOOK = 5.0, 0.01  # seconds that another writer is waited for; between two looks


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file's content and which version of it that is (inode, time and content: a rewrite is
    another version).
    """

    content: bytes
    version: str
    written_at: float


def read(path: Path) -> Snapshot | None:
    """The file behind `path`, None where there is none. Raises AccessDenied, PermanentError."""
    try:
        with at(path) as spot:
            return _read(spot, path)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise AccessDenied(f"{path} cannot be read", "check its owner and mode") from error
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}") from error


def _read(spot: Spot, path: Path) -> Snapshot:
    content, status = plain.read(path, within=(spot.directory, spot.name))
    digest = hashlib.sha256(content).hexdigest()[
        :12
    ]  # of secrets: short on purpose, only to see a change
    return Snapshot(content, f"{status.st_ino}.{status.st_mtime_ns}.{digest}", status.st_mtime)


def replace(path: Path, content: bytes, expect: str, tag: str, mode: int = 0o600) -> Snapshot:
    """Put `content` in place of version `expect` ('' = no file). Its attributes and a symlink to it
    are kept.

    Raises Conflict if somebody wrote in between, PermanentError (another name would keep what it
    had), AccessDenied, TransientError (disk full), LeaseLost.
    """
    try:
        with at(path) as spot, _alone(spot):
            beside = beside_name(spot.name, tag)
            try:
                _remove(spot, beside)
                _write_beside(spot, beside, content, mode)
                present = _read(spot, path) if spot.status() else None
                if (present.version if present else "") != expect:
                    raise Conflict(f"{path} was changed by somebody else", "it is read again")
                deadline.check()
                os.rename(beside, spot.name, src_dir_fd=spot.directory, dst_dir_fd=spot.directory)
                _sync_directory(spot)
            finally:
                _remove(spot, beside)
            if spot.status() is None:
                raise NotFound(f"{path} vanished after it was written")
            return _read(spot, path)
    except OSError as error:
        raise _translate(path, error) from error


@contextlib.contextmanager
def _alone(spot: Spot) -> Iterator[None]:
    """Of all that rotator writes in this directory: the keys of two playbooks may stand in one
    file, and what one of them puts there would be lost between the other's look and its rename.

    Raises TransientError where another one has it for long.
    """
    directory = spot.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        end = time.monotonic() + _ALONE
        while not _locked(directory):
            deadline.check()
            if time.monotonic() > end:
                raise TransientError(
                    f"another process has locked the directory of {spot.path}",
                    "`lslocks` says which one: rotator has it for a moment, a script by `flock`?",
                )
            time.sleep(_LOOK)
        yield
    finally:
        os.close(directory)


def _locked(directory: int) -> bool:
    """True as well on a file system that knows no locks."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL):
            raise
    return True


def _write_beside(spot: Spot, beside: str, content: bytes, mode: int) -> None:
    status = spot.status()
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise Conflict(f"{spot.name} is no file any more", "it is read again")
    if status is not None and status.st_nlink > 1:
        text = (
            f"{spot.path} has {status.st_nlink} names (hard links): the other ones would keep the"
            " old key"
        )
        raise PermanentError(text, "make them symbolic links to this one")
    with os.fdopen(spot.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY), "wb") as file:
        file.write(content)
        file.flush()
        if status is None:
            os.fchmod(file.fileno(), mode)
        else:
            _dress(spot, file.fileno())
        os.fsync(file.fileno())


def _dress(spot: Spot, new: int) -> None:
    """Give a new file what the present one has besides its content."""
    old = spot.open(spot.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        attributes.copy(old, new, spot.path)
    finally:
        os.close(old)


def _sync_directory(spot: Spot) -> None:
    handle = spot.open(".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(spot: Spot, name: str) -> None:
    with contextlib.suppress(OSError):  # a read-only directory: nothing was made there either
        spot.remove(name)


def _translate(path: Path, error: OSError) -> RotatorError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError(
            f"{path} cannot be written: {error.strerror}", "free some space; nothing was changed"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(
            f"{path} cannot be written: {error.strerror}",
            "rotator needs to write the file and its directory, with the file's owner",
        )
    if isinstance(error, FileNotFoundError):
        return NotFound(f"the directory of {path} does not exist", "create it first")
    return PermanentError(f"{path} cannot be written: {error.strerror}")


def look(path: Path) -> Seen:
    """What speaks against replacing the file; nothing is changed.

    Raises AccessDenied for a link of another user's.
    """
    try:
        with at(path) as spot:
            status = spot.status()
            seen = Seen(
                spot.path,
                status.st_mode if status else 0,
                mounted=status is not None and _mounted(spot),
                unwritable=bool(os.fstatvfs(spot.directory).f_flag & os.ST_RDONLY),
                locked=not os.access(".", os.W_OK, dir_fd=spot.directory),
                beside=next((name for name in editors_files(spot.name) if spot.status(name)), ""),
            )
            if status is None or not stat.S_ISREG(status.st_mode):
                return seen
            sticky, flags = _others(spot, status), _flags(spot)
            seen = replaced(seen, names=status.st_nlink, sticky=sticky, flags=flags)
            return seen if seen.locked or seen.mounted else replaced(seen, refused=_rehearsed(spot))
    except OSError:
        return Seen()  # told when it is read


def _mounted(spot: Spot) -> bool:
    """Whether something is mounted at this very place, be it from the same file system."""
    file = spot.open(spot.name, os.O_PATH)
    try:
        return _mount_of(file) != _mount_of(spot.directory)
    finally:
        os.close(file)


def _mount_of(file: int) -> str:
    """The kernel's number of the mount that an opened file is in, '' where /proc does not tell
    (proc(5), fdinfo).
    """
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/self/fdinfo/{file}").read_text().splitlines():
            if line.startswith("mnt_id:"):
                return line.split()[1]
    return ""


def _others(spot: Spot, status: os.stat_result) -> bool:
    """Whether a sticky directory keeps us from replacing what is another user's (rename(2))."""
    directory, us = os.fstat(spot.directory), os.geteuid()
    return bool(directory.st_mode & stat.S_ISVTX) and us not in (0, status.st_uid, directory.st_uid)


def _flags(spot: Spot) -> str:
    """Flags under which a file is not replaced, of itself or of its directory."""
    reasons = []
    ways = (
        (spot.name, "the file", os.O_NONBLOCK | os.O_NOCTTY),
        (".", "its directory", os.O_DIRECTORY),
    )
    for name, what, how in ways:
        with contextlib.suppress(OSError):  # told when it is read
            file = spot.open(name, os.O_RDONLY | how)
            try:
                reasons += [f"{what} is {flags}"] if (flags := attributes.flags(file)) else []
            finally:
                os.close(file)
    return ", ".join(reasons)


def _rehearsed(spot: Spot) -> tuple[str, str]:
    """Why a new file could not have what the present one has, and a hint: tried on a file that has
    no name.

    Where the file system knows no such files, it has one for a moment.
    """
    name = ""
    try:
        try:
            trial = os.open(
                ".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=spot.directory
            )
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            name = beside_name(spot.name, f"look-{os.getpid()}-{threading.get_ident()}")
            trial = spot.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            _dress(spot, trial)
        finally:
            os.close(trial)
            if name:
                _remove(spot, name)
    except (AccessDenied, OSError) as error:
        refusal = error if isinstance(error, RotatorError) else _translate(Path(spot.path), error)
        return refusal.message, refusal.hint
    return "", ""


def tidy(path: Path) -> None:
    """Remove siblings that interrupted writes left."""
    with contextlib.suppress(OSError, TransientError), at(path) as spot, _alone(spot):
        listing = spot.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            names = os.listdir(listing)  # noqa: PTH208  (of an opened directory)
            left = [name for name in names if name.startswith(beside_name(spot.name, ""))]
        finally:
            os.close(listing)
        for name in left:
            _remove(spot, name)
