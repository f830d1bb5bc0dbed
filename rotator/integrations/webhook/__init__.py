"""Webhooks: notices posted to an address, signed."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    channels={"webhook": "channel:Webhook"},
)
