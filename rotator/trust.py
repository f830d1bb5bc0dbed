"""Whom a file obeys: whose word it is when it names a program that would run as us.

By owner and mode, as ssh and git do it: ours or root's, and written by nobody else; so is each link
on the way, and each directory in which somebody could put another file or link in its place.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

_LINKS = 40  # as the kernel

OURS_OR_ROOTS = "rotator obeys what belongs to its own user or to root, and nobody else may write"


def foreign(path: Path, *, unnamed_groups: bool = True) -> str:
    """Why this file or directory may be somebody else's word, or ''.

    Where there is none, what leads there counts. `unnamed_groups`: whether a group without a name
    may have members; a pod's volume has one, of its own.
    """
    try:
        way = list(_way(path))
    except OSError as error:
        return f"cannot be looked at: {error.strerror}"
    for place, status in way:
        here = "" if place == way[-1][0] else f"is reached by {place}, which "
        if status is None:
            return ""
        if not _ours(status.st_uid):
            return f"{here}belongs to {user(status.st_uid)}, not to {_who()}"
        if not stat.S_ISLNK(status.st_mode) and (others := _writers(place, status, unnamed_groups)):
            return f"{here}may be written by {others}"
    return ""


def followed(path: Path) -> tuple[Path, dict[int, Path]]:
    """The file behind a path, without links on the way; and of each other user who made such a
    link, the first.

    Raises OSError.
    """
    strangers: dict[int, Path] = {}
    real = path
    for place, status in _way(path):
        real = Path(place)
        if status is not None and stat.S_ISLNK(status.st_mode) and not _ours(status.st_uid):
            strangers.setdefault(status.st_uid, real)
    return real, strangers


def user(uid: int) -> str:
    """A name for people."""
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _who() -> str:
    return "root" if os.geteuid() == 0 else f"{user(os.geteuid())} or root"


def _ours(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _way(path: Path) -> Iterator[tuple[str, os.stat_result | None]]:
    """Each link on the way with the directory that holds it, at last the file and its directory;
    None: it is not there.

    Directories above are not looked at: who turns one of them round puts in place what must be ours
    again. Raises OSError. Paths are texts here, as all playbooks pass.
    """
    rest, here, left = _names(str(path.absolute())), "/", _LINKS
    while rest:
        name = rest.pop(0)
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120
            continue
        place = f"{here.rstrip('/')}/{name}"
        try:
            status = os.lstat(place)
        except FileNotFoundError:
            yield "/".join([place, *rest]), None
            return
        if stat.S_ISLNK(status.st_mode):
            yield here, os.stat(here)  # noqa: PTH116
            yield place, status
            if not (left := left - 1):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            target = os.readlink(place)  # noqa: PTH115  (as it is, not made a path of ours)
            rest = [*_names(target), *rest]
            here = "/" if target.startswith("/") else here
        elif rest:
            here = place
        else:
            if not stat.S_ISDIR(status.st_mode):
                yield here, os.stat(here)  # noqa: PTH116
            yield place, status


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _writers(place: str, status: os.stat_result, unnamed_groups: bool) -> str:
    """Who besides us may write a file, or put another one in its place in a directory; '' for
    nobody.
    """
    mode = status.st_mode
    groups = mode & stat.S_IWGRP and not _own_group(status)
    if groups and not unnamed_groups:
        groups = _group_name(status.st_gid) is not None
    shared = mode & stat.S_IWOTH or groups
    if not shared or (
        stat.S_ISDIR(mode) and mode & stat.S_ISVTX
    ):  # sticky: each may replace what is its own
        return ""
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return ""
    return "everyone" if mode & stat.S_IWOTH else f"its group, {_group(status.st_gid)}"


def _own_group(status: os.stat_result) -> bool:
    """Whether the group is the owner's alone: so it is where each user has one, and umask 002 is
    usual.
    """
    uid, gid = status.st_uid, status.st_gid
    try:
        name = pwd.getpwuid(uid).pw_name
        found = grp.getgrgid(gid)
    except KeyError:  # of a container: users without names
        return gid == uid
    return found.gr_name == name and set(found.gr_mem) <= {name}


def _group(gid: int) -> str:
    return _group_name(gid) or f"gid {gid}"


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
