"""The one door to files that hold secrets: read with a version, replace atomically, never half-written."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from rotator import deadline, plain
from rotator.errors import AccessDenied, Conflict, NotFound, PermanentError, TransientError


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file's content and which version of it that is (inode, time and content: a rewrite is another version)."""

    content: bytes
    version: str
    written_at: float


def read(path: Path) -> Snapshot | None:
    """The file behind `path` (symlinks followed), None where there is none. Raises AccessDenied, PermanentError."""
    try:
        content, status = plain.read(path)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise AccessDenied(f"{path} cannot be read", "check its owner and mode") from error
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()[:12]  # of secrets: short on purpose, only to see a change
    return Snapshot(content, f"{status.st_ino}.{status.st_mtime_ns}.{digest}", status.st_mtime)


def sibling(path: Path, tag: str) -> Path:
    """The 0600 file that is renamed over `path`."""
    target = path.resolve()
    return target.with_name(f".{target.name}.rotator-{tag}")


def replace(path: Path, content: bytes, expect: str, tag: str, mode: int = 0o600) -> Snapshot:
    """Put `content` in place of version `expect` ('' = no file). Owner, mode and a symlink to it are kept.

    Raises Conflict if somebody wrote in between, AccessDenied, TransientError (disk full), LeaseLost.
    """
    target, beside = path.resolve(), sibling(path, tag)
    try:
        beside.unlink(missing_ok=True)
        _write_beside(beside, target, content, mode)
        deadline.check()
        present = read(target)
        if (present.version if present else "") != expect:
            raise Conflict(f"{path} was changed by somebody else", "it is read again")
        beside.rename(target)
        _sync_directory(target.parent)
    except OSError as error:
        raise _translate(path, error) from error
    finally:
        _remove(beside)
    written = read(target)
    if written is None:
        raise NotFound(f"{path} vanished after it was written")
    return written


def _write_beside(beside: Path, target: Path, content: bytes, mode: int) -> None:
    handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as file:
        if target.exists():
            status = target.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            mode = stat.S_IMODE(status.st_mode)
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # a read-only directory: nothing was made there either


def _translate(path: Path, error: OSError) -> Exception:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TransientError(f"{path} cannot be written: {error.strerror}", "free some space; nothing was changed")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(
            f"{path} cannot be written: {error.strerror}",
            "rotator needs to write the file and its directory, with the file's owner",
        )
    if isinstance(error, FileNotFoundError):
        return NotFound(f"the directory of {path} does not exist", "create it first")
    return PermanentError(f"{path} cannot be written: {error.strerror}")


def mode(path: Path) -> tuple[int, bool]:
    """The mode of a file, 0 without one, and whether its directory may be written (or is not there yet)."""
    target = path.resolve()
    there = target.parent.is_dir()
    return (target.stat().st_mode if target.exists() else 0), not there or os.access(target.parent, os.W_OK)


def tidy(path: Path, tag: str = "*") -> None:
    """Remove siblings that interrupted writes left."""
    target = path.resolve()
    if target.parent.is_dir():
        for left in target.parent.glob(f".{target.name}.rotator-{tag}"):
            _remove(left)
