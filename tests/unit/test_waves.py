"""Several playbooks that restart the same workloads, in waves, in the same moment: as each has its
stores elsewhere, nothing but the workloads tells what they restart.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from rotator.clients import marks
from rotator.integrations.docker.swarm_marks import made_for, put
from rotator.integrations.docker.swarm_restarter import SwarmRestarter
from rotator.integrations.kubernetes import rollouts
from rotator.integrations.kubernetes.restarter import KubernetesRestarter
from rotator.model import Change, Credential

MANY = 12  # more than a wave


class Cluster:
    """Deployments of one pod each; `roll` does what their controllers do."""

    def __init__(self) -> None:
        self.outages: list[tuple[float, float]] = []
        self.deployments = {f"api-{number}": _deployment(f"api-{number}") for number in range(MANY)}
        self.pods: list[dict[str, Any]] = []
        self.orders = 0
        self.roll()

    def get(self, path: str) -> dict[str, Any]:
        return copy.deepcopy(self.deployments[path.rpartition("/")[2]])

    def patch(self, path: str, body: Any, *, safe: bool) -> dict[str, Any]:
        self.orders += 1
        found = self.deployments[path.rpartition("/")[2]]
        told = body["spec"]["template"]["metadata"]["annotations"]
        found["spec"]["template"]["metadata"]["annotations"].update(told)
        return copy.deepcopy(found)

    def call(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {}

    def roll(self) -> None:
        self.pods = [_pod(one) for one in self.deployments.values()]


def _deployment(name: str) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "generation": 1},
        "spec": {"replicas": 1, "template": {"metadata": {"annotations": {}}, "spec": {}}},
        "status": {"observedGeneration": 1, "availableReplicas": 1},
    }


def _pod(deployment: dict[str, Any]) -> dict[str, Any]:
    name = deployment["metadata"]["name"]
    owner = {"kind": "Deployment", "name": name, "controller": True}
    annotations = dict(deployment["spec"]["template"]["metadata"]["annotations"])
    meta = {"name": f"{name}-x", "ownerReferences": [owner], "annotations": annotations}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return {"kind": "Pod", "metadata": meta, "spec": {}, "status": ready}


class Scope:
    namespace = "shop"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def watched(self) -> dict[str, Any]:
        return {"Pod": self._cluster.pods}

    def targets(self, _: Any) -> list[Any]:
        return [copy.deepcopy(one) for one in self._cluster.deployments.values()]

    def others(self, _: Any) -> list[Any]:
        return []


def _restarter(cluster_: Cluster) -> KubernetesRestarter:
    class InCluster(KubernetesRestarter):
        cluster: Any = cluster_
        _made: Any = lambda self, pod: 0.0  # noqa: E731

        def _scopes(self) -> Iterator[Any]:
            return iter([Scope(cluster_)])

    return InCluster(workloads=[f"deployment/{name}" for name in cluster_.deployments])


def _change(rotation: str, round_: int = 1) -> Change:
    return Change(f"{rotation}.new.{round_}", 0.0, Credential({}))


def test_two_playbooks_that_restart_the_same_workloads_in_waves_both_end() -> None:
    cluster = Cluster()
    one, two = _restarter(cluster), _restarter(cluster)
    first, second = _change("01A"), _change("01B")
    for _ in range(4):
        answers = one.restart(first), two.restart(second)
        cluster.roll()
    assert answers == (None, None), "each was restarted for both"
    assert cluster.orders == 2 * MANY
    assert one.progress(first).converged and two.progress(second).converged


def test_marks_of_many_rotations_do_not_pile_up() -> None:
    """The oldest one makes room; a rotation has one, whatever its round."""
    cluster = Cluster()
    restarter = _restarter(cluster)
    for number in range(20):
        for round_ in (1, 2):
            change = _change(f"01{number:02}", round_)
            while restarter.restart(change) is not None:
                cluster.roll()
            cluster.roll()
            assert restarter.progress(change).converged
    annotations = cluster.deployments["api-0"]["spec"]["template"]["metadata"]["annotations"]
    changes = {
        text.partition("@")[0] for name, text in annotations.items() if name != rollouts.RESTARTED
    }
    assert changes == {f"01{number}.new.2" for number in range(12, 20)}


def test_services_of_two_playbooks_keep_the_changes_of_both() -> None:
    """An update waits for the one before it: each goes on from where it was."""
    restarter = SwarmRestarter(services=["web_api"])
    spec: dict[str, Any] = {"TaskTemplate": {"ContainerSpec": {}}}
    for change in ("01A.new.1", "01B.new.1", "01A.new.2"):
        assert put(spec, restarter._mark(spec, change), change, {})
    template = spec["TaskTemplate"]
    assert made_for(template, "01A.new.2") and made_for(template, "01B.new.1")
    assert len(template["ContainerSpec"]["Labels"]) == 2


def test_what_tells_no_moment_is_the_oldest() -> None:
    names = ["m", *(f"m-{number}" for number in range(2, 9))]
    taken = {name: f"0{at}.new.1@{at}" for at, name in enumerate(names, start=1)}
    assert marks.free(taken, "m", "99.new.1") == "m"
    assert marks.free({**taken, "m-5": "by hand@soon"}, "m", "99.new.1") == "m-5"
    assert marks.free({**taken, "m-5": "by hand"}, "m", "99.new.1") == "m-5"
