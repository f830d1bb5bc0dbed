"""Processes of this machine that no manager restarts."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    restarters={"process": "restarter:ProcessRestarter"},
)
