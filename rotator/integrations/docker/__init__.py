"""Containers of Docker, of Compose, and Swarm services."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    stores={"swarm": "swarm_store:SwarmStore"},
    restarters={
        "compose": "compose:ComposeRestarter",
        "docker": "restarter:DockerRestarter",
        "swarm": "swarm_restarter:SwarmRestarter",
    },
    extra="docker",
)
