"""Reading a file that is a file: never a pipe, a device or more than fits, which would hold up
everything else.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
from pathlib import Path

from rotator.errors import PermanentError

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_PIECE = 65_536  # bytes
LIMIT = 10_000_000  # bytes; no playbook, secret or list of variables is near that


def read(
    path: Path, limit: int = LIMIT, within: tuple[int, str] | None = None
) -> tuple[bytes, os.stat_result]:
    """What stands in a file (links followed), and what the file system says of it.

    `within`: an opened directory and the file's name there, which no link may be.

    Raises OSError; PermanentError for a pipe, a device, a socket, and for more than `limit` bytes.
    """
    directory, place = within or (None, str(path))
    follow = within is None
    # Before it is opened: that alone waits, or rewinds a tape.
    _refuse(path, os.stat(place, dir_fd=directory, follow_symlinks=follow))
    flags = (
        os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    )
    handle = os.open(place, flags, dir_fd=directory)
    try:
        found = os.fstat(handle)
        _refuse(path, found)
        content = _up_to(handle, limit + 1)
    finally:
        os.close(handle)
    if len(content) > limit:
        raise PermanentError(
            f"{path} is larger than {limit // 1_000_000 or 1} MB", "is it the right file?"
        )
    return content, found


def _up_to(handle: int, most: int) -> bytes:
    """In pieces: room for all that it may be would cost more than all else of a small file."""
    parts: list[bytes] = []
    while most and (part := os.read(handle, min(most, _PIECE))):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)


def real(path: Path) -> Path:
    """The path without links, as far as they lead: a loop of links stays as it is, for whoever
    reads it to tell.
    """
    return Path(os.path.realpath(path))


def text(path: Path, limit: int = LIMIT) -> str:
    """As `read`, in UTF-8. Raises UnicodeDecodeError besides."""
    return read(path, limit)[0].decode().replace("\r\n", "\n").replace("\r", "\n")


def decoded(content: bytes, what: str) -> str:
    """Text in UTF-8, its mark included where it has one. Raises PermanentError, which calls it
    `what`, for any other.

    Read as what it is not, a key would be seen as another one, or not at all, and its file be left
    half and half.
    """
    if found := _other_encoding(content):
        raise PermanentError(f"{what} is not UTF-8: {found}", "save it as UTF-8, and try again")
    return content.decode()


def _other_encoding(content: bytes) -> str:
    for mark, name in _MARKS:
        if content.startswith(mark):
            return f"it begins as {name} does"
    if b"\0" in content:
        many = content.count(0) * 3 > len(content)
        return "every other byte is a NUL, as in UTF-16" if many else "there are NUL bytes in it"
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return (
            f"byte 0x{content[error.start]:02x} in line {line} (is it Latin-1, or a code page of"
            " Windows?)"
        )
    return ""


def _refuse(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    kind = (
        "pipe"
        if stat.S_ISFIFO(found.st_mode)
        else "socket"
        if stat.S_ISSOCK(found.st_mode)
        else "device"
    )
    raise PermanentError(
        f"{path} is a {kind}, not a file", "put the content into a file; nothing was read of this"
    )
