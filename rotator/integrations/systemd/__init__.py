"""systemd: units here and on hosts, and encrypted credentials."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    stores={"systemd-creds": "credentials:SystemdCredsStore"},
    restarters={"systemd": "restarter:SystemdRestarter"},
)
