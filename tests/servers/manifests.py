"""Objects of Kubernetes for tests: workloads that run the machine's own programs, and what a key
needs.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Sequence
from typing import Any

from tests.servers import images
from tests.servers.kube import IMAGE

CONSUMER = "/app/consumer.py"


def secret(name: str, namespace: str, **data: str) -> dict[str, Any]:
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _meta(name, namespace),
        "data": encoded,
    }


def from_secret(name: str, key: str, variable: str = "") -> dict[str, Any]:
    """A variable that takes a Secret's key."""
    return {"name": variable or key, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def pod(
    command: Sequence[str] = ("sleep", "86400"),
    env: Sequence[dict[str, Any]] = (),
    mounts: dict[str, dict[str, Any]] | None = None,
    serving: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """A pod's spec.

    `mounts`: path → volume source; `serving`: ready once it listens on port 8080.
    """
    folders = {path: {"hostPath": {"path": path}} for path in {"/usr", sys.base_prefix}}
    everything = {**folders, **(mounts or {})}
    names = {path: f"v{number}" for number, path in enumerate(sorted(everything))}
    container: dict[str, Any] = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": list(command),
        "env": list(env),
        "volumeMounts": [
            {"name": names[path], "mountPath": path, "readOnly": True} for path in everything
        ],
    }
    if serving:  # it leaves the Service before it stops taking connections
        container["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": 1}}}
    return {
        "containers": [container],
        "volumes": [{"name": names[path], **source} for path, source in everything.items()],
        "terminationGracePeriodSeconds": 5 if serving else 0,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        **spec,
    }


def consumer(
    issuer: str, folder: str, env: Sequence[dict[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """A pod's spec of the tests' service; `folder` on the machine has consumer.py."""
    mounts = {"/app": {"hostPath": {"path": folder}}, **more.pop("mounts", {})}
    return pod([images.python(), CONSUMER, issuer], env, mounts, serving=True, **more)


def workload(
    kind: str, name: str, namespace: str, spec: dict[str, Any], replicas: int = 1, **more: Any
) -> dict[str, Any]:
    """A Deployment, StatefulSet or DaemonSet of these pods."""
    labels = {"app": name}
    body: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec},
        **more,
    }
    if kind != "DaemonSet":
        body["replicas"] = replicas
    if kind == "StatefulSet":
        body["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": _meta(name, namespace), "spec": body}


def service(name: str, namespace: str) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name, namespace),
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def _meta(name: str, namespace: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace}
