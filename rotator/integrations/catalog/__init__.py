"""Providers with an HTTP API, described by files (entries/)."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration()
