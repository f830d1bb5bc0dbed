"""A world in memory: for tests, and for trying a playbook's grammar."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    providers={"memory": "provider:MemoryProvider"},
    stores={"memory": "store:MemoryStore"},
    restarters={"memory": "restarter:MemoryRestarter"},
    probes={"memory": "probe:MemoryProbe"},
)
