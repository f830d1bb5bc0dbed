"""A namespace with a Secret, asked as the service account of deploy/kubernetes/rbac.yaml."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.kubernetes.restarter import KubernetesRestarter
from rotator.integrations.kubernetes.store import KubernetesStore
from tests.servers import manifests
from tests.servers.kube import Kube
from tests.servers.tools import wait_for

SECRET, KEY = "paracle-api-keys", "OPENAI_API_KEY"
RBAC = Path(__file__).parents[2] / "deploy" / "kubernetes" / "rbac.yaml"
_count = itertools.count(1)


class Space:
    """A namespace with the Secret, and a kubeconfig of rotator's service account there."""

    def __init__(self, kube: Kube, value: str = "first-value") -> None:
        self.kube, self.name = kube, kube.namespace(f"space{next(_count)}")
        kube.kubectl("apply", "-n", self.name, "-f", str(RBAC))
        token = kube.kubectl("create", "token", "rotator", "-n", self.name).strip()
        self.kubeconfig = str(kube.kubeconfig(f"config-{self.name}", kube.port, token, self.name))
        kube.apply(manifests.secret(SECRET, self.name, **{KEY: value, "other": "1"}))

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.kubeconfig)

    @property
    def store(self) -> KubernetesStore:
        return KubernetesStore(secret=f"{self.name}/{SECRET}", key=KEY, kubeconfig=self.kubeconfig)

    def restarter(
        self, workloads: list[str] | str = "discover", **settings: Any
    ) -> KubernetesRestarter:
        made = KubernetesRestarter(workloads=workloads, kubeconfig=self.kubeconfig, **settings)
        return made.beside([self.store.writes])

    def user(
        self, name: str, kind: str = "Deployment", replicas: int = 1, **more: Any
    ) -> dict[str, Any]:
        """A workload that takes the key into its environment."""
        spec = manifests.pod(env=[manifests.from_secret(SECRET, KEY)])
        return manifests.workload(kind, name, self.name, spec, replicas, **more)

    def run(self, *objects: dict[str, Any]) -> None:
        self.kube.apply(*objects)
        self.kube.rolled_out(
            *(f"{one['kind'].lower()}/{one['metadata']['name']}" for one in objects),
            namespace=self.name,
        )

    def may(
        self, kept: Callable[[dict[str, Any]], bool] = lambda rule: True, *more: dict[str, Any]
    ) -> None:
        """From now on only these rules of the manifest, and these."""
        rules = [
            rule for rule in yaml.safe_load(RBAC.read_text().split("---")[1])["rules"] if kept(rule)
        ] + [*more]
        patch = json.dumps({"rules": rules})
        self.kube.kubectl("patch", "role", "rotator", "-n", self.name, "--type=merge", "-p", patch)

    def data(self) -> dict[str, str]:
        found = self.kube.get("secret", SECRET, self.name)["data"]
        return {key: base64.b64decode(text).decode() for key, text in found.items()}

    def held(self, app: str) -> list[str]:
        """What the first process of each pod that runs was started with, once those that are being
        ended have: one of them may end before it is asked.
        """

        def settled() -> tuple[list[Any], ...]:
            pods = self.kube.pods(self.name, app)
            ending = any("deletionTimestamp" in pod["metadata"] for pod in pods)
            return () if ending else (pods,)

        (pods,) = wait_for("the old pods' end", settled, 60)
        up = [pod for pod in pods if "running" in pod["status"]["containerStatuses"][0]["state"]]
        return [self.kube.variable(pod["metadata"]["name"], self.name, KEY) for pod in up]

    def close(self) -> None:
        for kind in ("balancer", "out"):  # each of them asks all the time
            self.kube.forget(f"{kind}-{self.name}-")
        self.kube.kubectl("delete", "namespace", self.name, "--wait=false")
