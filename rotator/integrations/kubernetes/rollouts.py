"""A roll-out: for which change a workload's pods were made, whether it has converged, what
went wrong.

Pure: objects are the API's JSON. Sources:
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status and
https://argo-rollouts.readthedocs.io/en/stable/features/specification/
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rotator.clients import marks
from rotator.integrations.kubernetes.objects import (
    ROLLOUT,
    Pod,
    Revision,
    Template,
    Workload,
    meta,
    named,
    template,
)
from rotator.integrations.kubernetes.workloads import LEFT_ALONE, desired, ready

_MARK = "rotator/change-"
RESTARTED = "kubectl.kubernetes.io/restartedAt"  # as `kubectl rollout restart` leaves it
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


def mark_of(what: Iterable[str]) -> str:
    """The annotation of templates, and so of pods, in which a playbook leaves its changes: another
    one's stays beside it.
    """
    return f"{_MARK}{hashlib.sha256(json.dumps(sorted(what)).encode()).hexdigest()[:10]}"


def free_mark(of_pods: Template, mark: str, change: str) -> str:
    """The annotation for this change, where nothing but the workloads tells what is restarted."""
    return marks.free(_annotations(of_pods), mark, change)


def made_for(maker: Workload | Pod, change: str) -> bool:
    """Whether its pods are to be restarted for the change, or a pod was; by whichever playbook."""
    return any(text.partition("@")[0] == change for text in _marks(template(maker)))


def ordered_at(of_pods: Template) -> float:
    """When the last change of a template was ordered (Unix seconds); 0 without one."""
    return max(map(marks.ordered_at, _marks(of_pods)), default=0.0)


def _marks(of_pods: Template) -> list[str]:
    return [text for name, text in _annotations(of_pods).items() if name.startswith(_MARK)]


def _annotations(of_pods: Template) -> dict[str, str]:
    found = (of_pods.get("metadata") or {}).get("annotations") or {}
    return {name: str(text) for name, text in found.items()}


def restarted_at(of_pods: Template) -> float:
    """When somebody restarted it as `kubectl rollout restart` does; 0 if nobody did."""
    text = ((of_pods.get("metadata") or {}).get("annotations") or {}).get(RESTARTED, "")
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else 0.0
    except ValueError:
        return 0.0


def last_orders(revisions: Iterable[Revision]) -> dict[tuple[str, str], float]:
    """When each workload was last restarted for a change, by the revisions that its controller
    keeps.
    """
    orders: dict[tuple[str, str], float] = {}
    for revision in revisions:
        of_pods = (revision.get("data") or revision)["spec"]["template"]
        owner = next(
            (who for who in meta(revision).get("ownerReferences") or () if who.get("controller")),
            None,
        )
        if owner is not None and (at := ordered_at(of_pods)):
            whose = (str(owner["kind"]), str(owner["name"]))
            orders[whose] = max(orders.get(whose, 0.0), at)
    return orders


def rolled_back(workload: Workload, last: float) -> bool:
    """Whether it has left the change for which it was restarted, and nobody has
    restarted it since.
    """
    of_pods = template(workload)
    return ordered_at(of_pods) < last and restarted_at(of_pods) <= last


def restart_patch(mark: str, change: str, at: float) -> dict[str, Any]:
    """What makes a workload's controller replace its pods; `at`: Unix seconds."""
    restarted = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotations = {mark: f"{change}@{at:.6f}", RESTARTED: restarted}
    return {"spec": {"template": {"metadata": {"annotations": annotations}}}}


# --- before the start ---
def hindrance(workload: Workload) -> tuple[str, str]:
    """Why it cannot be restarted as it is, and the way out; ('', '') where it can."""
    spec, name = workload["spec"], named(workload)
    strategy = spec.get("updateStrategy") or {}
    if "template" not in spec:
        return f"{name} takes its pods from another workload (workloadRef)", "name that one instead"
    if spec.get("paused"):
        if workload["kind"] == ROLLOUT:
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


def illness(workload: Workload) -> str:
    """What is wrong with it already, before anything was changed."""
    status, wanted = workload.get("status") or {}, desired(workload)
    have = int(
        status.get("numberReady" if workload["kind"] == "DaemonSet" else "readyReplicas") or 0
    )
    return (
        f"{named(workload)} is not well already: {have} of {wanted} pods are ready"
        if have < wanted
        else ""
    )


# --- while it rolls ---
def converged(workload: Workload, pods: Sequence[Pod], change: str) -> bool:
    """All pods have the change and are ready, as many as wanted; none from before runs any more."""
    status = workload.get("status") or {}
    if not made_for(workload, change) or not seen(workload):
        return False
    if any(not made_for(pod, change) for pod in pods):
        return False
    up = sum(ready(pod) for pod in pods)
    available = (
        status.get("numberAvailable" if workload["kind"] == "DaemonSet" else "availableReplicas")
        or 0
    )
    return up >= desired(workload) and int(available) >= desired(workload) and len(pods) == up


def blocking(workload: Workload, pods: Iterable[Pod], change: str) -> list[Pod]:
    """Broken pods from before `change`: a StatefulSet's controller waits for them for ever before
    it makes others.

    https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback
    """
    if workload["kind"] != "StatefulSet":
        return []
    before = (pod for pod in pods if not made_for(pod, change))
    return [
        pod
        for pod in before
        if not ready(pod) and not meta(pod).get("deletionTimestamp") and _broken(pod)
    ]


def _broken(pod: Pod) -> bool:
    """Whether a container of it waits in vain or has ended before: one that crashes looks well in
    between.
    """
    return any(
        (one.get("lastState") or {}).get("terminated")
        or ((one.get("state") or {}).get("waiting") or {}).get("reason") in _HOPELESS
        for one in _told_of(pod)
    )


def trouble(workload: Workload, pods: Sequence[Pod], change: str) -> Trouble | None:
    """Why its roll-out cannot succeed, in the pods' own words where they have some."""
    for pod in pods:
        if made_for(pod, change) and (in_pod := _in_pod(workload, pod)):
            return in_pod
    status = workload.get("status") or {}
    if not made_for(workload, change) or not seen(workload):
        return None
    if workload["kind"] == ROLLOUT and (status.get("abort") or status.get("phase") == "Degraded"):
        phase, message = status.get("phase", "Degraded"), status.get("message", "aborted")
        return Trouble(f"{named(workload)}: {phase}: {message}")
    for one in status.get("conditions") or ():
        refused = one["type"] == "ReplicaFailure" and one["status"] == "True"
        if refused or (
            one["type"] == "Progressing" and one.get("reason") == "ProgressDeadlineExceeded"
        ):
            return Trouble(f"{named(workload)}: {one.get('reason')}: {one.get('message', '')}")
    return None


def seen(workload: Workload) -> bool:
    """Whether its controller has seen it as it is. A Rollout's tells the generation as a text."""
    return int((workload.get("status") or {}).get("observedGeneration") or 0) >= int(
        meta(workload)["generation"]
    )


def _told_of(pod: Pod) -> list[Pod]:
    """The status of each of its containers."""
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _in_pod(workload: Workload, pod: Pod) -> Trouble | None:
    for one in _told_of(pod):
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in _HOPELESS:
            continue
        ended = (one.get("lastState") or {}).get("terminated") or {}
        code = f", exit {ended['exitCode']}" if "exitCode" in ended else ""
        message = f": {waiting['message']}" if waiting.get("message") and not ended else ""
        text = (
            f"{named(workload)}: {waiting['reason']}{code} (container {one['name']} of"
            f" {meta(pod)['name']}){message}"
        )
        return Trouble(text, meta(pod)["name"], one["name"] if ended else "", bool(ended))
    return None


def pauses(workload: Workload) -> str:
    """Why a Rollout waits for somebody or some time, '' where it does not."""
    standing = (workload.get("status") or {}).get("pauseConditions") or ()
    return ", ".join(str(one.get("reason", "")) for one in standing)


def waits_for(pods: Iterable[Pod]) -> str:
    """What the scheduler says of a pod that has no place yet."""
    for pod in pods:
        for one in (pod.get("status") or {}).get("conditions") or ():
            if one["type"] == "PodScheduled" and one["status"] == "False":
                return str(one.get("message", ""))
    return ""


def words(workload: Workload, pods: Sequence[Pod], change: str) -> str:
    """How far its roll-out is, for people: `deployment/api 1/3, 2 from before`."""
    new = sum(made_for(pod, change) and ready(pod) for pod in pods)
    old = sum(not made_for(pod, change) for pod in pods)
    waits = waits_for(pods) or pauses(workload)
    more = (f", {old} from before" if old else "") + (f", {waits}" if waits else "")
    return f"{named(workload)} {new}/{desired(workload)}{more}"
