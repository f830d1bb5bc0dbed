"""A request to any address, as a probe."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    probes={"http": "probe:HttpProbe"},
)
