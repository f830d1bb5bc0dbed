"""What is restarted has a name that is nothing else's: a restart of another thing serves nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rotator.integrations.docker import client as docker
from rotator.integrations.docker.restarter import DockerRestarter
from rotator.integrations.kubernetes.restarter import KubernetesRestarter
from rotator.integrations.systemd.restarter import SystemdRestarter


def _in_cluster(uid: str) -> str | None:
    """By a pod of a cluster: the address of its API server is every cluster's."""
    deployment = {"kind": "Deployment", "metadata": {"name": "api", "uid": uid}}
    scope = SimpleNamespace(
        namespace="default", watched=dict[str, Any], targets=lambda _: [deployment]
    )

    class InCluster(KubernetesRestarter):
        def _scopes(self) -> Any:
            return iter([scope])

    return InCluster(workloads=["deployment/api"]).shared_as()


def test_workloads_of_one_name_in_two_clusters_are_two() -> None:
    assert _in_cluster("u-1") == _in_cluster("u-1")
    assert _in_cluster("u-1") != _in_cluster("u-2")


def test_hosts_of_one_name_in_two_configurations_of_ssh_are_two() -> None:
    def named(config: str | None) -> str:
        return SystemdRestarter(units=["app"], host="web", ssh_config=config).shared_as()

    assert named("/etc/one") == named("/etc/one")
    assert len({named("/etc/one"), named("/etc/other"), named(None)}) == 3


def test_engines_of_machines_made_from_one_image_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(machine: str) -> str:
        monkeypatch.setattr(docker, "call", lambda *_: {"ID": "one image", "Name": machine})
        return DockerRestarter(containers=["app"]).shared_as()

    assert named("web-1") == named("web-1")
    assert named("web-1") != named("web-2")
