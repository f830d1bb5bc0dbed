"""OpenTelemetry: rotations as traces, sent by OTLP/HTTP."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(extra="otel")
