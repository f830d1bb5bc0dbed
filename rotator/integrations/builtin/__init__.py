"""What needs no neighbour: consumers that are not restarted, and the provider asked as a probe."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    restarters={"none": "none:NoneRestarter"},
    probes={"provider": "provider_probe:ProviderProbe"},
)
