"""What a file has besides its content, for the one that takes its place: owner, mode, ACL, extended
attributes.

Sources: acl(5), xattr(7), setxattr(2), ioctl_iflags(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator

from rotator.errors import AccessDenied

_ACL = "system.posix_acl_access"  # a directory's default ACL gives one to each new file in it
_OF_THE_CONTENT = ("security.ima", "security.evm")  # the kernel makes them anew
_FULL = (errno.ENOSPC, errno.EDQUOT)
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS
_FLAGS = {0x10: "immutable", 0x20: "append-only"}


def copy(source: int, target: int, place: str) -> None:
    """Give an opened new file all that an opened old one has.

    Raises AccessDenied for what it cannot have, OSError where the disk is full.
    """
    wanted = os.fstat(source)
    with _told(place, f"its owner (uid {wanted.st_uid}, gid {wanted.st_gid})"):
        made = os.fstat(target)
        if (made.st_uid, made.st_gid) != (wanted.st_uid, wanted.st_gid):
            os.fchown(target, wanted.st_uid, wanted.st_gid)
    before, after = _of(source), _of(target)
    if _ACL in after and _ACL not in before:
        with _told(place, "no ACL"):
            os.removexattr(target, _ACL)
    for name, value in before.items():
        if after.get(name) != value:
            with _told(place, _called(name)):
                os.setxattr(target, name, value)
    # Last, and only where it is not so by the ACL: before it, a mode would open the file to its
    # group; over NFS, one that is set changes the ACL.
    mode = stat.S_IMODE(wanted.st_mode)
    if stat.S_IMODE(os.fstat(target).st_mode) != mode:
        with _told(place, "its mode"):
            os.fchmod(target, mode)
    _compare(source, target, place)


def _compare(source: int, target: int, place: str) -> None:
    """Some file systems take an attribute and do not keep it."""
    before, after = os.fstat(source), os.fstat(target)
    if stat.S_IMODE(before.st_mode) != stat.S_IMODE(after.st_mode):
        raise _refused(place, "its mode", "it is changed by the file system")
    held = _of(target)
    for name, value in _of(source).items():
        if held.get(name) != value:
            raise _refused(place, _called(name), "it is not kept by the file system")


def _of(file: int) -> dict[str, bytes]:
    """Extended attributes; none where the file system has none."""
    found: dict[str, bytes] = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(file):
            if name not in _OF_THE_CONTENT:
                found[name] = os.getxattr(file, name)
    return found


def flags(file: int) -> str:
    """'immutable' or 'append-only' (chattr +i, +a) for a file or directory that is
    opened; else ''.
    """
    try:
        held = int.from_bytes(fcntl.ioctl(file, _GET_FLAGS, bytes(8))[:4], "little")
    except OSError:  # not every file system has flags
        return ""
    return next((name for bit, name in _FLAGS.items() if held & bit), "")


def _called(name: str) -> str:
    return "its ACL" if name == _ACL else f"its extended attribute {name}"


@contextlib.contextmanager
def _told(place: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise
        raise _refused(place, what, os.strerror(error.errno or 0)) from error


def _refused(place: str, what: str, why: str) -> AccessDenied:
    hint = (
        "rotator replaces the file by a new one: run it as root or as the file's owner, or take"
        " that off the file"
    )
    return AccessDenied(f"a new file in place of {place} cannot have {what}: {why}", hint)
