"""Traces of rotations, for who asks for them by the variables OTEL_…: a trace is a rotation, a span
in it one attempt of a step.

Ids follow from the rotation and the number of the record, so that all processes that work on one
rotation write one trace, and what is told twice is the same span.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ulid import ULID

from rotator.cli import console
from rotator.engine.events import CallEnded, Ended, Event
from rotator.errors import ConfigError
from rotator.integrations.otel import exporter

if TYPE_CHECKING:
    from rotator.engine.listeners import Listeners

_LONGEST = 500  # letters of what is told of an error
_WELL = ("verified",)


class Traces:
    """A listener: it hears of what is committed, and hands it on without waiting."""

    name = "traces"

    def __init__(self, sender: exporter.Exporter) -> None:
        self._sender = sender

    def hear(self, events: Sequence[Event]) -> None:
        spans = [span for event in events if event.rotation and (span := span_of(event))]
        if spans:
            self._sender.send(spans)

    def close(self) -> None:
        self._sender.close()


def listening(listeners: Listeners) -> Traces | None:
    """None where nobody asks for traces, or they cannot be sent, which is told: no command fails
    for its traces.
    """
    if not exporter.wanted():
        return None
    try:
        found = Traces(exporter.Exporter())
    except ConfigError as error:
        console.complain(error.message, error.hint or "or OTEL_SDK_DISABLED=true")
        return None
    listeners.add(found)
    return found


def span_of(event: Event) -> exporter.Span | None:
    """The span that an event ends; None where it ends none."""
    end = datetime.fromisoformat(event.time).timestamp()
    trace = ULID.from_str(event.rotation)
    told: dict[str, Any] = {"rotator.playbook": event.playbook, "rotator.rotation": event.rotation}
    if isinstance(event, CallEnded):
        told |= {
            "rotator.step": event.step,
            "rotator.op": event.op,
            "rotator.target": event.target,
            "rotator.attempt": event.attempt,
            "rotator.result": event.result,
        }
        return exporter.Span(
            f"{event.step} {event.op}",
            trace.bytes,
            _id(event.rotation, event.seq),
            _id(event.rotation, 0),
            end - event.seconds,
            end,
            told,
            None if event.result == "done" else event.error[:_LONGEST],
        )
    if isinstance(event, Ended):
        error = None if event.outcome in _WELL else f"{event.outcome}: {event.reason[:_LONGEST]}"
        told |= {"rotator.outcome": event.outcome}
        began = trace.timestamp
        return exporter.Span(
            "rotation", trace.bytes, _id(event.rotation, 0), None, min(began, end), end, told, error
        )
    return None


def _id(rotation: str, seq: int) -> bytes:
    """`seq` 0 is the rotation itself: records are numbered from 1."""
    return hashlib.sha256(f"{rotation} {seq}".encode()).digest()[:8]
