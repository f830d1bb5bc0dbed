"""Audit records as JSON lines to stdout, a file or both, after their transaction was committed."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rotator import trust
from rotator.errors import ConfigError
from rotator.shown import spelled


@dataclass
class _Target:
    """One place, without a buffer; `whole` is False after a line that may have been cut off.

    `before`: what was said to the same place goes first.
    """

    name: str
    file: io.FileIO | TextIO
    whole: bool = True
    before: Callable[[], object] = lambda: None

    def write(self, lines: list[str]) -> None:
        """Raises OSError."""
        text = ("" if self.whole else "\n") + "".join(f"{line}\n" for line in lines)
        self.whole = False
        if isinstance(self.file, io.FileIO):
            self.before()
            left = text.encode(errors="backslashreplace")
            while left:
                written = self.file.write(left)
                if written is None:
                    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
                left = left[written:]
        else:
            getattr(self.file, "write_as_it_is", self.file.write)(text)
            self.file.flush()
        self.whole = True


class Stream:
    """Where records go besides the journal. Targets: `stdout`, `stderr`, or paths.

    The journal has the records: a place that cannot take them (a full disk) stops no rotation. It
    is said once, and each later record is tried again.
    """

    def __init__(self, targets: Iterable[str] = ()) -> None:
        self._targets = [_open(target) for target in targets if target]
        self._told: set[str] = set()

    def emit(self, records: Iterable[Mapping[str, Any]]) -> None:
        if not self._targets:
            return
        import structlog

        render = structlog.processors.JSONRenderer(ensure_ascii=False)
        lines = [spelled(_text(render(None, "", dict(record)))) for record in records]
        for target in self._targets:
            try:
                target.write(lines)
            except OSError as error:
                self._tell(target, error)

    def _tell(self, target: _Target, error: OSError) -> None:
        if target.name not in self._told:
            self._told.add(target.name)
            print(
                f"error: the audit stream cannot be written to {target.name}: {error.strerror}",
                file=sys.stderr,
            )
            print("hint: the journal has the records: `rotator audit export`", file=sys.stderr)


def _text(line: str | bytes) -> str:
    return line if isinstance(line, str) else line.decode()


def _open(target: str) -> _Target:
    if target in ("stdout", "stderr"):
        stream = sys.stdout if target == "stdout" else sys.stderr
        try:  # by a number of its own: what is said there is lost for good once it was full
            file = io.FileIO(os.dup(stream.fileno()), "w")
        except (OSError, ValueError):  # no file: a test, or a program that took it
            return _Target(target, stream)
        return _Target(target, file, before=stream.flush)
    try:
        real, strangers = trust.followed(Path(target))
        if strangers:
            uid, link = next(iter(strangers.items()))
            raise ConfigError(
                f"the audit stream would go through {link}, a link of {trust.user(uid)}",
                "name the file itself in `audit_stream`, in a directory that only you may write",
            )
        return _Target(target, io.FileIO(str(real), "a"))
    except OSError as error:
        raise ConfigError(
            f"the audit stream cannot be written to {target}: {error.strerror}",
            "check `audit_stream` in rotator.toml",
        ) from error
