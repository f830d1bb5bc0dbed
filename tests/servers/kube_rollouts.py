"""Argo Rollouts in a cluster of the tests: its kind, and a controller that does what Argo's does to
pods and status.

Argo's own takes ten minutes to build. Shapes: argo-rollouts v1.8,
pkg/apis/rollouts/v1alpha1/types.go (RolloutStatus) and docs/features/restart.md; the pods are made
by Kubernetes' own ReplicaSets.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from typing import Any

from tests.servers.kube import Kube
from tests.servers.tools import Failed

GROUP, HASH = "argoproj.io", "rollouts-pod-template-hash"


class Rollouts:
    """Runs the Rollouts of one namespace while its block lasts.

    `paused`: as a canary step that waits for a person.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.namespace, self.paused = kube, namespace, False
        schema = {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        }
        version = {
            "name": "v1alpha1",
            "served": True,
            "storage": True,
            "schema": schema,
            "subresources": {"status": {}},
        }
        names = {"plural": "rollouts", "singular": "rollout", "kind": "Rollout"}
        spec = {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]}
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
        kube.apply({**kind, "metadata": {"name": f"rollouts.{GROUP}"}, "spec": spec})
        kube.kubectl(
            "wait", "--for=condition=Established", f"crd/rollouts.{GROUP}", "--timeout=30s"
        )
        self._path = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/rollouts"
        self._sets = f"/apis/apps/v1/namespaces/{namespace}/replicasets"
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._run)

    def allow(self) -> None:
        """The rule that docs/kubernetes.md names, for rotator's service account."""
        rule = ["--verb=get,list,watch,patch", f"--resource=rollouts.{GROUP}", "-n", self.namespace]
        self.kube.kubectl("create", "role", "rollouts", *rule)
        bound = [
            "--role=rollouts",
            f"--serviceaccount={self.namespace}:rotator",
            "-n",
            self.namespace,
        ]
        self.kube.kubectl("create", "rolebinding", "rollouts", *bound)

    def make(self, name: str, spec: dict[str, Any], replicas: int) -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        meta = {"name": name, "namespace": self.namespace}
        self.kube.apply(
            {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Rollout", "metadata": meta, "spec": body}
        )

    def __enter__(self) -> Rollouts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(
                Failed
            ):  # its kind is not served yet, or somebody else wrote in between
                for rollout in self.kube.call("GET", self._path)["items"]:
                    self._reconcile(rollout)

    def _reconcile(self, rollout: dict[str, Any]) -> None:
        name, spec = rollout["metadata"]["name"], rollout["spec"]
        revision = hashlib.sha256(
            json.dumps(spec["template"], sort_keys=True).encode()
        ).hexdigest()[:10]
        mine = [
            one for one in self.kube.call("GET", self._sets)["items"] if self._owned(one, rollout)
        ]
        new = next((one for one in mine if one["metadata"]["labels"][HASH] == revision), None)
        if new is None and not (self.paused and mine):
            self.kube.call("POST", self._sets, self._set(rollout, revision))
        ready = int(((new or {}).get("status") or {}).get("readyReplicas") or 0)
        if ready >= spec["replicas"]:
            for one in mine:
                if one is not new and one["spec"]["replicas"]:
                    self.kube.call(
                        "PATCH",
                        f"{self._sets}/{one['metadata']['name']}",
                        {"spec": {"replicas": 0}},
                    )
        status = {
            "observedGeneration": str(rollout["metadata"]["generation"]),
            "availableReplicas": ready,
        }
        status |= {
            "readyReplicas": ready,
            "phase": "Healthy" if ready >= spec["replicas"] else "Progressing",
        }
        status["pauseConditions"] = (
            [{"reason": "CanaryPauseStep"}] if self.paused and new is None else None
        )
        if status != {key: (rollout.get("status") or {}).get(key) for key in status}:
            self.kube.call("PATCH", f"{self._path}/{name}/status", {"status": status})

    def _owned(self, found: dict[str, Any], rollout: dict[str, Any]) -> bool:
        owners = found["metadata"].get("ownerReferences") or ()
        return any(one["uid"] == rollout["metadata"]["uid"] for one in owners)

    def _set(self, rollout: dict[str, Any], revision: str) -> dict[str, Any]:
        name, template = rollout["metadata"]["name"], rollout["spec"]["template"]
        labels = {**template["metadata"]["labels"], HASH: revision}
        whose = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "Rollout",
            "name": name,
            "controller": True,
        }
        meta = {"name": f"{name}-{revision}", "labels": labels}
        meta["ownerReferences"] = [{**whose, "uid": rollout["metadata"]["uid"]}]
        made = {**template, "metadata": {**template["metadata"], "labels": labels}}
        body = {
            "replicas": rollout["spec"]["replicas"],
            "selector": {"matchLabels": labels},
            "template": made,
        }
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": body}
