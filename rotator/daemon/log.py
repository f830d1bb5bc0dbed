"""The daemon's log: one line an event, on standard error, redacted."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import structlog

from rotator.engine.events import CallEnded, CallIntended, Event, Noted, Signed
from rotator.engine.keeper import short
from rotator.shown import fit, tidy

LEVELS = ("debug", "info", "warning", "error")
_TOLD = ("playbook", "step", "op", "target", "attempt", "key", "result", "seconds", "decision")
_TOLD_TOO = ("order", "outcome", "reason", "error", "by", "possible_orphan", "detail", "warnings")


class _Lines:
    """Standard error. A line that cannot be written is lost, and the next one is tried again: a
    disk that was full for a moment silences no daemon for years.
    """

    def __init__(self) -> None:
        self._lock, self._fd, self._whole = threading.Lock(), -1, True
        with contextlib.suppress(OSError, ValueError, AttributeError):
            self._fd = os.dup(sys.stderr.fileno())

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._fd)

    def msg(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            begin = "" if self._whole else "\n"
            self._whole = False
            left = f"{begin}{fit(line)}\n".encode(
                sys.stderr.encoding or "utf-8", "backslashreplace"
            )
            while left:
                left = left[os.write(self._fd, left) :]
            self._whole = True

    debug = info = warning = error = msg


class Log:
    """Lines of a level and above. `form` is text or json."""

    def __init__(self, level: str, form: str) -> None:
        renderer: Any = (
            structlog.processors.JSONRenderer()
            if form == "json"
            else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
        )
        level = level.lower()
        self._least = LEVELS.index(level) if level in LEVELS else LEVELS.index("info")
        self._log = structlog.wrap_logger(
            _Lines(),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _redacted,
                renderer,
            ],
        )

    def say(self, level: str, event: str, **fields: Any) -> None:
        if LEVELS.index(level) >= self._least:
            getattr(self._log, level)(event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self.say("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.say("warning", event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self.say("error", event, **fields)


class EventLog:
    """Tells the log what happened, once it is committed."""

    name = "the log"

    def __init__(self, log: Log) -> None:
        self._log = log

    def hear(self, events: Sequence[Event]) -> None:
        for event in events:
            self._log.say(_level(event), _words(event), **_fields(event))


def _level(event: Event) -> str:
    record = event.record
    if isinstance(event, CallIntended) and not isinstance(event, CallEnded):
        return "debug"
    if record.get("decision") == "needs attention" or record.get("outcome") == "abandoned":
        return "error"
    failed = record.get("result") in ("failed", "unknown") or record.get("event") == "refused"
    return "warning" if failed or record.get("outcome") in ("rolled back", "refused") else "info"


def _words(event: Event) -> str:
    if isinstance(event, Signed):
        return "checkpoint"
    return event.event if isinstance(event, Noted) else str(event.record.get("event", ""))


def _fields(event: Event) -> Mapping[str, Any]:
    record = event.record
    if isinstance(event, Signed):
        return {"number": event.checkpoint}
    found = {name: record[name] for name in (*_TOLD, *_TOLD_TOO) if record.get(name) is not None}
    return {**found, "rotation": short(event.rotation)} if event.rotation else found


def _redacted(_: object, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Of an event that others word, too, one line."""
    return {name: tidy(value) if isinstance(value, str) else value for name, value in event.items()}
