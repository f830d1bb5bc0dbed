"""What Kubernetes' objects say about a roll-out: who uses a Secret, which pods run with a change,
what went wrong.

Pure: objects are the API's JSON. Sources:
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ (conditions, "Deployment
status") and https://kubernetes.io/docs/concepts/configuration/secret/ (ways to use one).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

RESTARTED = "kubectl.kubernetes.io/restartedAt"  # as `kubectl rollout restart` leaves it
LEFT_ALONE = "rotator/restart"  # annotation of a workload: "false" = not by rotator
RESTARTABLE = ("Deployment", "StatefulSet", "DaemonSet")
ROLLOUT = "Rollout"  # of Argo, where the cluster has them
_ENDED = ("Succeeded", "Failed")
_MADE_BY = {
    "pod-template-hash": "Deployment",
    "rollouts-pod-template-hash": ROLLOUT,
}  # labels of ReplicaSets' pods
# What a container waits for that does not come by waiting. ErrImagePull is tried again, and then
# becomes a back-off.
_HOPELESS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why pods with a change do not come up.

    `container`: whose log tells more, '' where none does.
    """

    text: str
    pod: str = ""
    container: str = ""
    previous: bool = False


def meta(found: Mapping[str, Any]) -> Mapping[str, Any]:
    return found["metadata"]  # type: ignore[no-any-return]


def annotation(found: Mapping[str, Any], name: str) -> str:
    return str((meta(found).get("annotations") or {}).get(name, ""))


def named(found: Mapping[str, Any]) -> str:
    """As kubectl names it: deployment/api."""
    return f"{str(found['kind']).lower()}/{meta(found)['name']}"


def template(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the pods that it makes; a pod is its own."""
    if found["kind"] == "Pod":
        return found
    spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
    return spec.get("template") or {"spec": {}}  # a Rollout may leave its own to a Deployment


def mark_of(what: Iterable[str]) -> str:
    """The annotation of templates, and so of pods, by which restarts for one thing are told from
    those for another.
    """
    return f"rotator/change-{hashlib.sha256(json.dumps(sorted(what)).encode()).hexdigest()[:10]}"


def change_of(found: Mapping[str, Any], mark: str) -> str:
    """The change that its pods are to be restarted for, or a pod was."""
    made = template(found)
    return str(((made.get("metadata") or {}).get("annotations") or {}).get(mark, "")).partition(
        "@"
    )[0]


def ordered_at(made: Mapping[str, Any], mark: str) -> float:
    """When the change of a template was ordered (Unix seconds); 0 without one."""
    found = ((made.get("metadata") or {}).get("annotations") or {}).get(mark, "")
    try:
        return float(str(found).partition("@")[2] or 0)
    except ValueError:
        return 0.0


def restarted_at(made: Mapping[str, Any]) -> float:
    """When somebody restarted it as `kubectl rollout restart` does; 0 if nobody did."""
    found = ((made.get("metadata") or {}).get("annotations") or {}).get(RESTARTED, "")
    try:
        return datetime.fromisoformat(str(found)).timestamp() if found else 0.0
    except ValueError:
        return 0.0


def last_orders(revisions: Iterable[Mapping[str, Any]], mark: str) -> dict[tuple[str, str], float]:
    """When each workload was last restarted for a change, by the revisions that its controller
    keeps.
    """
    found: dict[tuple[str, str], float] = {}
    for one in revisions:
        made = (one.get("data") or one)["spec"]["template"]
        owner = next(
            (who for who in meta(one).get("ownerReferences") or () if who.get("controller")), None
        )
        if owner is not None and (at := ordered_at(made, mark)):
            whose = (str(owner["kind"]), str(owner["name"]))
            found[whose] = max(found.get(whose, 0.0), at)
    return found


def rolled_back(found: Mapping[str, Any], last: float, mark: str) -> bool:
    """Whether it has left the change for which it was restarted, and nobody has
    restarted it since.
    """
    made = template(found)
    return ordered_at(made, mark) < last and restarted_at(made) <= last


# --- who uses a Secret ---
def uses(found: Mapping[str, Any], secret: str, keys: Iterable[str]) -> list[str]:
    """The ways in which its pods take one of these keys of a Secret; none: they do not."""
    spec, wanted = template(found)["spec"], set(keys)
    ways = [
        way for container in _containers(spec) for way in _by_environment(container, secret, wanted)
    ]
    ways += [
        f"volume {volume['name']}"
        for volume in spec.get("volumes") or ()
        if _in_volume(volume, secret, wanted)
    ]
    return list(dict.fromkeys(ways))


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()


def _by_environment(container: Mapping[str, Any], secret: str, keys: set[str]) -> Iterator[str]:
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


def shows(found: Mapping[str, Any], variable: str, secrets: Collection[str]) -> list[str]:
    """Names of the containers that have this variable, by its name or with all that one of these
    Secrets holds.
    """
    return [
        str(one["name"])
        for one in template(found)["spec"].get("containers") or ()
        if any(entry["name"] == variable for entry in one.get("env") or ())
        or any(
            (entry.get("secretRef") or {}).get("name") in secrets
            for entry in one.get("envFrom") or ()
        )
    ]


# --- whose pods ---
def owner(pod: Mapping[str, Any]) -> tuple[str, str]:
    """Kind and name of what keeps a pod running: a Deployment for its ReplicaSet's pods; ('', '')
    for nobody.
    """
    found = next(
        (one for one in meta(pod).get("ownerReferences") or () if one.get("controller")), None
    )
    if found is None:
        return "", ""
    kind, name = str(found["kind"]), str(found["name"])
    for label, maker in _MADE_BY.items():
        made_of = f"-{(meta(pod).get('labels') or {}).get(label, '')}"
        if kind == "ReplicaSet" and len(made_of) > 1 and name.endswith(made_of):
            return maker, name.removesuffix(made_of)
    return kind, name


def running(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those whose containers may run, also while they are being ended."""
    return [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]


def pods_of(found: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    mine = (found["kind"], meta(found)["name"])
    return [pod for pod in running(pods) if owner(pod) == mine]


def ready(pod: Mapping[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    up = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return up and not meta(pod).get("deletionTimestamp")


def desired(found: Mapping[str, Any]) -> int:
    """How many pods it should have."""
    if found["kind"] == "DaemonSet":
        return int((found.get("status") or {}).get("desiredNumberScheduled") or 0)
    replicas = found["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


# --- before the start ---
def hindrance(found: Mapping[str, Any]) -> tuple[str, str]:
    """Why it cannot be restarted as it is, and the way out; ('', '') where it can."""
    spec, name = found["spec"], named(found)
    strategy = spec.get("updateStrategy") or {}
    if "template" not in spec:
        return f"{name} takes its pods from another workload (workloadRef)", "name that one instead"
    if spec.get("paused"):
        if found["kind"] == ROLLOUT:
            return (
                f"{name} is paused: it would go on with the old key",
                f"`paused: false` in {name}",
            )
        return (
            f"{name} is paused: it would go on with the old key",
            f"kubectl rollout resume {name}",
        )
    if strategy.get("type") == "OnDelete":
        return (
            f"{name} replaces its pods only when somebody deletes them (OnDelete)",
            (
                f"updateStrategy RollingUpdate, or leave it alone: kubectl annotate {name}"
                f' {LEFT_ALONE}="false"'
            ),
        )
    if (strategy.get("rollingUpdate") or {}).get("partition"):
        return f"{name} keeps its first pods as they are (partition)", "set partition to 0"
    return "", ""


def illness(found: Mapping[str, Any]) -> str:
    """What is wrong with it already, before anything was changed."""
    status, wanted = found.get("status") or {}, desired(found)
    have = int(status.get("numberReady" if found["kind"] == "DaemonSet" else "readyReplicas") or 0)
    return (
        f"{named(found)} is not well already: {have} of {wanted} pods are ready"
        if have < wanted
        else ""
    )


# --- while it rolls ---
def converged(
    found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], mark: str, change: str
) -> bool:
    """All pods have the change and are ready, as many as wanted; none from before runs any more."""
    status = found.get("status") or {}
    if change_of(found, mark) != change or not seen(found):
        return False
    if any(change_of(pod, mark) != change for pod in pods):
        return False
    up = sum(ready(pod) for pod in pods)
    available = (
        status.get("numberAvailable" if found["kind"] == "DaemonSet" else "availableReplicas") or 0
    )
    return up >= desired(found) and int(available) >= desired(found) and len(pods) == up


def blocking(
    found: Mapping[str, Any], pods: Iterable[Mapping[str, Any]], mark: str, change: str
) -> list[Mapping[str, Any]]:
    """Broken pods from before `change`: a StatefulSet's controller waits for them for ever before
    it makes others.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    if found["kind"] != "StatefulSet":
        return []
    before = (pod for pod in pods if change_of(pod, mark) != change)
    return [
        pod
        for pod in before
        if not ready(pod) and not meta(pod).get("deletionTimestamp") and _broken(pod)
    ]


def _broken(pod: Mapping[str, Any]) -> bool:
    """Whether a container of it waits in vain or has ended before: one that crashes looks well in
    between.
    """
    return any(
        (one.get("lastState") or {}).get("terminated")
        or ((one.get("state") or {}).get("waiting") or {}).get("reason") in _HOPELESS
        for one in _told_of(pod)
    )


def trouble(
    found: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], mark: str, change: str
) -> Trouble | None:
    """Why its roll-out cannot succeed, in the pods' own words where they have some."""
    for pod in pods:
        if change_of(pod, mark) == change and (told := _in_pod(found, pod)):
            return told
    status = found.get("status") or {}
    if change_of(found, mark) != change or not seen(found):
        return None
    if found["kind"] == ROLLOUT and (status.get("abort") or status.get("phase") == "Degraded"):
        return Trouble(
            f"{named(found)}: {status.get('phase', 'Degraded')}: {status.get('message', 'aborted')}"
        )
    for one in status.get("conditions") or ():
        refused = one["type"] == "ReplicaFailure" and one["status"] == "True"
        if refused or (
            one["type"] == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded"
        ):
            return Trouble(f"{named(found)}: {one.get('reason')}: {one.get('message', '')}")
    return None


def seen(found: Mapping[str, Any]) -> bool:
    """Whether its controller has seen it as it is. A Rollout's tells the generation as a text."""
    return int((found.get("status") or {}).get("observedGeneration") or 0) >= int(
        meta(found)["generation"]
    )


def _told_of(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The status of each of its containers."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _in_pod(found: Mapping[str, Any], pod: Mapping[str, Any]) -> Trouble | None:
    for one in _told_of(pod):
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in _HOPELESS:
            continue
        ended = (one.get("lastState") or {}).get("terminated") or {}
        code = f", exit {ended['exitCode']}" if "exitCode" in ended else ""
        told = f": {waiting['message']}" if waiting.get("message") and not ended else ""
        text = (
            f"{named(found)}: {waiting['reason']}{code} (container {one['name']} of"
            f" {meta(pod)['name']}){told}"
        )
        return Trouble(text, meta(pod)["name"], one["name"] if ended else "", bool(ended))
    return None


def pauses(found: Mapping[str, Any]) -> str:
    """Why a Rollout waits for somebody or some time, '' where it does not."""
    standing = (found.get("status") or {}).get("pauseConditions") or ()
    return ", ".join(str(one.get("reason", "")) for one in standing)


def waits_for(pods: Iterable[Mapping[str, Any]]) -> str:
    """What the scheduler says of a pod that has no place yet."""
    for pod in pods:
        for one in (pod.get("status") or {}).get("conditions") or ():
            if one["type"] == "PodScheduled" and one["status"] == "False":
                return str(one.get("message", ""))
    return ""
