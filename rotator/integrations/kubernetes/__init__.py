"""Kubernetes: Secrets, and the workloads that use them."""

from __future__ import annotations

from rotator.plugin import Integration

PLUGINS = Integration(
    stores={"kubernetes": "store:KubernetesStore"},
    restarters={"kubernetes": "restarter:KubernetesRestarter"},
    extra="kubernetes",
)
