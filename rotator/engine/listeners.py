"""Who hears of what happened: events are handed out after each commit, in the order of commits.

Where the process ends between the commit and the listener, or the listener fails, the listener
catches up from the journal: records have numbers (`seq` within their chain; checkpoints theirs).
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from rotator.audit.stream import Stream
from rotator.journal.database import Database
from rotator.shown import tidy

if TYPE_CHECKING:
    from rotator.engine.events import Event


class Listener(Protocol):
    """Who hears of events. `name` says in an error who failed.

    `hear` gets the events of one or more transactions, in the order of the commits, outside any
    transaction and under no lock of the journal; the playbook's next step waits for it. What it
    raises is reported once and stops nothing.
    """

    @property
    def name(self) -> str: ...

    def hear(self, events: Sequence[Event]) -> None: ...


@dataclass(frozen=True, slots=True)
class AuditStream:
    """The audit stream as a listener: each record a line of JSON."""

    stream: Stream
    name: str = "the audit stream"

    def hear(self, events: Sequence[Event]) -> None:
        self.stream.emit([event.record for event in events])


class Listeners:
    """All that listen in this process. Thread-safe; each hears of each event once."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._lock = threading.RLock()
        self._handing_out = False
        self._reported: set[str] = set()

    def add(self, listener: Listener) -> None:
        """Before anything is written: what was committed earlier it does not hear."""
        self._listeners += (listener,)

    def __contains__(self, listener: object) -> bool:
        return any(one is listener for one in self._listeners)

    def once_committed(self, database: Database, records: Sequence[Mapping[str, Any]]) -> None:
        """Within `database.write()`: with its commit, these records are events to be handed out."""
        if self._listeners:
            database.after_commit(partial(self._waiting.extend, records))

    def hand_out(self) -> None:
        """Once it returns, the listeners have heard of all that this thread has committed."""
        with self._lock:
            # A listener may write to the journal itself: the loop further up hands that out, too.
            if self._handing_out:
                return
            self._handing_out = True
            # Late: without a listener nobody needs the events.
            from rotator.engine.events import event_of

            try:
                while self._waiting:
                    count = len(self._waiting)
                    events = [event_of(self._waiting.popleft()) for _ in range(count)]
                    for listener in self._listeners:
                        self._call(listener, events)
            finally:
                self._handing_out = False

    def _call(self, listener: Listener, events: Sequence[Event]) -> None:
        try:
            listener.hear(events)
        except Exception as error:
            if listener.name not in self._reported:
                self._reported.add(listener.name)
                words = tidy(f"{type(error).__name__}: {error}")
                sys.stderr.write(
                    f"error: {listener.name} failed ({words}); rotations go on\n"
                    "hint: the journal has the records: `rotator audit export`\n"
                )
