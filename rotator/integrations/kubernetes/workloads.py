"""Workloads and their pods: which of them take a Secret, and whose a pod is.

Pure: objects are the API's JSON. Sources: https://kubernetes.io/docs/concepts/configuration/secret/
(ways to use one) and https://kubernetes.io/docs/concepts/workloads/controllers/.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from rotator.integrations.kubernetes.objects import (
    ROLLOUT,
    Pod,
    Workload,
    meta,
    template,
)

Container = Mapping[str, Any]  # of a pod's spec
LEFT_ALONE = "rotator/restart"  # annotation of a workload: "false" = not by rotator
_ENDED = ("Succeeded", "Failed")
# Labels of ReplicaSets' pods.
_MADE_BY = {
    "pod-template-hash": "Deployment",
    "rollouts-pod-template-hash": ROLLOUT,
}


def uses(maker: Workload | Pod, secret: str, keys: Iterable[str]) -> list[str]:
    """The ways in which its pods take one of these keys of a Secret; none: they do not."""
    spec, wanted = template(maker)["spec"], set(keys)
    ways = [
        way for container in _containers(spec) for way in _by_environment(container, secret, wanted)
    ]
    ways += [
        f"volume {volume['name']}"
        for volume in spec.get("volumes") or ()
        if _in_volume(volume, secret, wanted)
    ]
    return list(dict.fromkeys(ways))


def _containers(spec: Mapping[str, Any]) -> Iterator[Container]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()


def _by_environment(container: Container, secret: str, keys: set[str]) -> Iterator[str]:
    for entry in container.get("envFrom") or ():
        if (entry.get("secretRef") or {}).get("name") == secret:
            yield f"envFrom of {container['name']}"
    for entry in container.get("env") or ():
        ref = (entry.get("valueFrom") or {}).get("secretKeyRef") or {}
        if ref.get("name") == secret and ref.get("key") in keys:
            yield f"env {entry['name']} of {container['name']}"


def _in_volume(volume: Mapping[str, Any], secret: str, keys: set[str]) -> bool:
    """Also where it is optional: a pod that starts next takes what is there then."""
    sources = [(volume.get("secret") or {}, "secretName")]
    sources += [
        (one.get("secret") or {}, "name")
        for one in (volume.get("projected") or {}).get("sources") or ()
    ]
    for source, name in sources:
        items = {item.get("key") for item in source.get("items") or ()}
        if source.get(name) == secret and (not items or items & keys):
            return True
    csi = (volume.get("csi") or {}).get("nodePublishSecretRef") or {}
    return bool(csi.get("name") == secret)


def shows(maker: Workload | Pod, variable: str, secrets: Collection[str]) -> list[str]:
    """Names of the containers that have this variable, by its name or with all that one of these
    Secrets holds.
    """
    return [
        str(one["name"])
        for one in template(maker)["spec"].get("containers") or ()
        if any(entry["name"] == variable for entry in one.get("env") or ())
        or any(
            (entry.get("secretRef") or {}).get("name") in secrets
            for entry in one.get("envFrom") or ()
        )
    ]


# --- whose pods ---
def owner(pod: Pod) -> tuple[str, str]:
    """Kind and name of what keeps a pod running: a Deployment for its ReplicaSet's pods; ('', '')
    for nobody.
    """
    controller = next(
        (one for one in meta(pod).get("ownerReferences") or () if one.get("controller")), None
    )
    if controller is None:
        return "", ""
    kind, name = str(controller["kind"]), str(controller["name"])
    for label, maker in _MADE_BY.items():
        made_of = f"-{(meta(pod).get('labels') or {}).get(label, '')}"
        if kind == "ReplicaSet" and len(made_of) > 1 and name.endswith(made_of):
            return maker, name.removesuffix(made_of)
    return kind, name


def running(pods: Iterable[Pod]) -> list[Pod]:
    """Those whose containers may run, also while they are being ended."""
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]


def pods_of(workload: Workload, pods: Iterable[Pod]) -> list[Pod]:
    mine = (workload["kind"], meta(workload)["name"])
    return [pod for pod in running(pods) if owner(pod) == mine]


def ready(pod: Pod) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    up = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return up and not meta(pod).get("deletionTimestamp")


def desired(workload: Workload) -> int:
    """How many pods it should have."""
    if workload["kind"] == "DaemonSet":
        return int((workload.get("status") or {}).get("desiredNumberScheduled") or 0)
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)
