"""Objects of the API, as its JSON: what all of them have.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
ROLLOUT = "Rollout"  # of Argo, where the cluster has them

Object = Mapping[str, Any]  # of any kind
Workload = Mapping[str, Any]  # what makes pods: a Deployment, a CronJob …
Pod = Mapping[str, Any]
Revision = Mapping[str, Any]  # a ReplicaSet or a ControllerRevision: what was rolled out before
Template = Mapping[str, Any]  # of pods: metadata and spec
SecretObject = Mapping[str, Any]


def moment(text: str | None) -> float | None:
    """Unix seconds of an object's time; the servers tell whole ones, rounded down."""
    return datetime.fromisoformat(text).timestamp() if text else None


def meta(thing: Object) -> Mapping[str, Any]:
    return thing["metadata"]  # type: ignore[no-any-return]


def annotation(thing: Object, name: str) -> str:
    return str((meta(thing).get("annotations") or {}).get(name, ""))


def named(thing: Object) -> str:
    """As kubectl names it: deployment/api."""
    return f"{str(thing['kind']).lower()}/{meta(thing)['name']}"


def template(maker: Workload | Pod) -> Mapping[str, Any]:
    """Of the pods that it makes; a pod is its own."""
    if maker["kind"] == "Pod":
        return maker
    spec = maker["spec"]["jobTemplate"]["spec"] if maker["kind"] == "CronJob" else maker["spec"]
    return spec.get("template") or {"spec": {}}  # a Rollout may leave its own to a Deployment
