"""Apprise: notices to chats, mail, telephones and incident tools."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    channels={"apprise": "channel:Apprise"},
    extra="notify",
)
