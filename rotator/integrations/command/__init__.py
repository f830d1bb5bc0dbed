"""Programs of the user's own, in place of each kind of plugin."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    providers={"command": "provider:CommandProvider"},
    stores={"command": "store:CommandStore"},
    restarters={"command": "restarter:CommandRestarter"},
    probes={"command": "probe:CommandProbe"},
    references={"command": "rotator.clients.programs:secret"},
)
