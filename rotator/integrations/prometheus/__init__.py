"""Prometheus: what its queries say of consumers, as a monitor."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration()
