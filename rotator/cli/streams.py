"""Standard output and error: the door through which every text goes, so that none of them shows a
key.

They cannot stop the work: full, closed, or of an encoding without our signs.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
from typing import IO, Any

from rotator.shown import fit, spelled

_INSTEAD = {
    "✓": "ok",
    "✗": "no",
    "…": "...",
    "·": "-",
    "→": "->",
    "×": "x",
    "²": "2",
    "–": "-",
    "“": '"',
    "”": '"',
}


class Guarded:
    """A text stream; once it cannot be written, what is said to it is lost, and `lost` says why.

    `beneath` is the stream itself, for what draws on a terminal.
    """

    def __init__(self, stream: IO[str]) -> None:
        self.beneath = self._stream = stream
        self.lost: OSError | None = None
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors=_spelled_out.__name__)  # type: ignore[attr-defined]

    def write(self, text: str) -> int:
        told = fit(text)
        self._try(lambda: self._stream.write(told))
        return len(text)

    def write_as_it_is(self, text: str) -> int:
        """What has passed the redactor before it was signed, or hashed: blanking out more would
        break it.
        """
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Any) -> None:
        if self.lost is not None:
            return
        try:
            act()
        except OSError as error:
            self.lost = error
            with contextlib.suppress(
                OSError, ValueError
            ):  # what is in the buffer is tried again at the end
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> tuple[Guarded, Guarded]:
    """Put in the place of standard output and error.

    A closed one is /dev/null: its number must be no other file's.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number, which is this one
    codecs.register_error(_spelled_out.__name__, _spelled_out)
    found = Guarded(sys.stdout or io.StringIO()), Guarded(sys.stderr or io.StringIO())
    sys.stdin = sys.stdin or io.StringIO()
    sys.stdout, sys.stderr = found
    return found


def print_record(line: str) -> None:
    """A line of JSON that is signed or hashed, as it is but for what a terminal would obey."""
    write = sys.stdout.write_as_it_is if isinstance(sys.stdout, Guarded) else sys.stdout.write
    write(f"{spelled(line)}\n")


def is_broken_pipe(error: OSError) -> bool:
    """Whoever read it has seen enough."""
    return error.errno == errno.EPIPE


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    """What an encoding does not have, in signs that all have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(
        _INSTEAD.get(sign, "?") for sign in error.object[error.start : error.end]
    ), error.end
