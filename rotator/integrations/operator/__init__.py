"""Keys that a person makes and destroys."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    providers={"operator": "provider:OperatorProvider"},
)
