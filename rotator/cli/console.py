"""Text on a terminal or in a pipe: lines are broken between words where they would not fit, and
nowhere else.

In a pipe or a file a sentence is one line, so that it can be searched for and cut.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import textwrap
import threading
from collections.abc import Sequence
from typing import Any

from rotator.shown import fit, tidy

_GLUE = "\u2007"  # a blank at which no line is broken
_COMMAND = re.compile(r"`[^`\n]+`")
_NARROWEST = 20
_PAUSE = 0.1  # seconds between two pictures of the live line
_SIGNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def columns(stream: Any = None) -> int | None:
    """How many columns a line may have; None where it is written to no terminal."""
    stream = stream or sys.stdout
    try:
        if not stream.isatty():
            return None
    except (AttributeError, ValueError):
        return None
    if not (known := os.environ.get("COLUMNS", "")).isdecimal() or not int(known):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return max(_NARROWEST, os.get_terminal_size(stream.fileno()).columns)
    return max(_NARROWEST, shutil.get_terminal_size().columns)


def folded(text: str, width: int | None, hang: int = 0) -> list[str]:
    """The lines of a text, all but the first with `hang` blanks before.

    A command in `…` stays whole if it can.
    """
    if "\n" in text:
        return [line for part in text.split("\n") for line in folded(part, width, hang)]
    if width is None or len(text) <= width:
        return [text]
    glued = _COMMAND.sub(lambda found: _glued(found[0], width - hang), text)
    begun = len(glued) - len(glued.lstrip(" "))
    lines = textwrap.wrap(
        glued.lstrip(" "),
        width,
        initial_indent=" " * begun,
        subsequent_indent=" " * hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines] or [text]


def _glued(command: str, room: int) -> str:
    return command.replace(" ", _GLUE) if len(command) <= room else command


def put(text: str, hang: int = 0) -> None:
    """A line on standard output, whatever words are in it."""
    begun = len(text) - len(text.lstrip(" "))
    for line in folded(" " * begun + tidy(text), columns(), hang):
        print(line, flush=True)


def complain(message: str, *hints: str) -> None:
    """`error:` and `hint:` on standard error, redacted, a line each: no word in them begins another
    one, and no two hints are joined, as each may be a question or a sentence. Empty ones are left
    out.
    """
    for kind, words in (("error", message), *(("hint", hint) for hint in hints)):
        if words:
            for line in folded(f"{kind}: {tidy(words)}", columns(sys.stderr), len(kind) + 2):
                print(line, file=sys.stderr)


def table(
    rows: Sequence[Sequence[str]], indent: int = 0, below: Sequence[Sequence[str]] = ()
) -> None:
    """Columns as wide as they must be; what does not fit goes on below.

    `below`: more lines under each row.
    """
    widths = [max(map(len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        head = " " * indent + "".join(f"{cell}  " for cell in cells)
        room = columns()
        put(
            (head + row[-1]).rstrip(),
            len(head) if room is None or len(head) <= room * 2 // 3 else indent + 4,
        )
        for line in below[number] if below else ():
            put(f"{' ' * (indent + 2)}{line}", indent + 4)


def _draw(text: str) -> None:
    """With commands to the terminal, which the door would write out."""
    getattr(sys.stdout, "write_as_it_is", sys.stdout.write)(text)


class LiveLine:
    """One line at the bottom of a terminal that says what goes on, and is gone before anything else
    is printed.
    """

    def __init__(self) -> None:
        self._text, self._at = "", 0
        self._lock = threading.RLock()
        self._ended = threading.Event()
        threading.Thread(target=self._turn, name="live line", daemon=True).start()

    @staticmethod
    def fits() -> bool:
        """Whether standard output is a terminal that can take a line back."""
        return columns() is not None and os.environ.get("TERM", "dumb") != "dumb"

    def update(self, text: str) -> None:
        with self._lock:
            self._text = fit(tidy(text))
            self._draw()

    def put(self, *lines: str) -> None:
        """Lines that stay, above it."""
        with self._lock:
            self._erase()
            for line in lines:
                print(line)
            self._draw()

    def stop(self) -> None:
        with self._lock:
            self._ended.set()
            self._erase()
            sys.stdout.flush()

    def _turn(self) -> None:
        while not self._ended.wait(_PAUSE):
            with self._lock:
                self._at += 1
                if not self._ended.is_set():
                    self._draw()

    def _draw(self) -> None:
        if not self._text or self._ended.is_set():
            return
        room = (columns() or 80) - 3
        text = self._text if len(self._text) <= room else self._text[: room - 1] + "…"
        _draw(f"\r\x1b[K{_SIGNS[self._at % len(_SIGNS)]} {text}")
        sys.stdout.flush()

    def _erase(self) -> None:
        _draw("\r\x1b[K")
