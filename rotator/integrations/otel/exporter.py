"""Spans to an OTLP/HTTP receiver, by OpenTelemetry's own SDK: a queue, and a thread that empties
it. Who has a span to tell never waits; what the queue has no room for is lost.

Where to, with which headers, time-outs and resource attributes: the variables OTEL_… as
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ has them.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rotator import __version__, installed
from rotator.errors import ConfigError
from rotator.shown import tidy

_FLUSH = 2.0  # seconds in which what is left may still go, at the end
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


@dataclass(frozen=True, slots=True)
class Span:
    """One attempt of a step, or a rotation. Times are Unix seconds; ids as bytes, of 16 and 8."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes | None
    begin: float
    end: float
    attributes: Mapping[str, str | int | bool | float] = field(default_factory=dict)
    error: str | None = None  # None: it ended well


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for traces, and does not take that back."""
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    return not off and exporter == "otlp" and any(environment.get(name) for name in _ENDPOINTS)


class Exporter:
    """Raises ConfigError where the extra is not installed, or a variable is wrong."""

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import SERVICE_NAME, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise ConfigError(f"traces need {error.name}", installed.way_to("otel")) from error
        _listen_to_complaints()
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "rotator"}))
        self._ids = _Ids()
        ids: Any = self._ids  # it has what an IdGenerator has, whose module is an extra's
        try:
            processor = BatchSpanProcessor(OTLPSpanExporter())
            self._provider = TracerProvider(
                resource=resource, id_generator=ids, shutdown_on_exit=False
            )
        except ValueError as error:
            raise ConfigError(f"traces: {error}", "see the variables OTEL_…") from error
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("rotator", __version__)

    def send(self, spans: Sequence[Span]) -> None:
        """Into the queue."""
        from opentelemetry import trace
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        for one in spans:
            around: Any = trace.set_span_in_context(trace.INVALID_SPAN)
            number = int.from_bytes(one.trace)
            if one.parent is not None:
                above = SpanContext(
                    number, int.from_bytes(one.parent), True, TraceFlags(TraceFlags.SAMPLED)
                )
                around = trace.set_span_in_context(trace.NonRecordingSpan(above))
            with self._ids.next_are(number, int.from_bytes(one.id)):
                span = self._tracer.start_span(
                    one.name,
                    context=around,
                    attributes=dict(one.attributes),
                    start_time=int(one.begin * 1e9),
                )
            if one.error is not None:
                span.set_status(Status(StatusCode.ERROR, one.error))
            span.end(int(one.end * 1e9))

    def close(self) -> None:
        """What is left may go for two seconds, and is lost then: a receiver that hangs holds up no
        command.
        """
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_FLUSH)


class _Ids:
    """The ids of the next span of this thread: they follow from the rotation, in any process."""

    def __init__(self) -> None:
        self._here = threading.local()

    def next_are(self, trace: int, span: int) -> _Ids:
        self._here.ids = trace, span
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        del self._here.ids

    def generate_trace_id(self) -> int:
        return int(self._here.ids[0])

    def generate_span_id(self) -> int:
        return int(self._here.ids[1])

    def is_trace_id_random(self) -> bool:
        return False


class _Complaints(logging.Handler):
    """The first thing that OpenTelemetry complains of, in words; a receiver that is away for years
    fills no log.
    """

    _told = False

    def emit(self, record: logging.LogRecord) -> None:
        if not self._told:
            self._told = True
            sys.stderr.write(
                f"error: traces are not taken: {tidy(record.getMessage())}\n"
                "hint: rotations go on; what was not sent is lost (OTEL_EXPORTER_OTLP_ENDPOINT)\n"
            )


def _listen_to_complaints() -> None:
    said = logging.getLogger("opentelemetry")
    said.propagate = False
    if not any(isinstance(one, _Complaints) for one in said.handlers):
        said.addHandler(_Complaints(logging.WARNING))
