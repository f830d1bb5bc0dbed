"""Restarter `kubernetes`: workloads restarted as `kubectl rollout restart` does it, in waves,
watched to the end.

A pod counts as new by what its template says: the change for which it was made, and when that was
ordered, by our clock. So neither the whole seconds of Kubernetes' times nor another clock decide.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rotator.durations import Seconds
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
    RotatorError,
)
from rotator.integrations.kubernetes import cluster as kubernetes
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes import workloads as judge
from rotator.integrations.kubernetes.cluster import ClusterConnection, SecretRef
from rotator.integrations.kubernetes.users import KINDS, REVISIONS, Scope, scopes, whose
from rotator.integrations.kubernetes.views import Objects
from rotator.model import Change, Evidence, Finding, Instance, Level, NotYet, Progress
from rotator.plugin import setting
from rotator.secret import last_line

_PAUSE = 0.1  # seconds between two looks, which the watches answer
_DISCOVER = "discover"
_LOG_LINES = 20
_NOTICED = 10.0  # seconds by which others may have noticed an outage before us
Found = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class KubernetesRestarter(ClusterConnection):
    """Restart Deployments, StatefulSets and DaemonSets as `kubectl rollout restart` does, and wait
    for their pods.

    Argo Rollouts, where the cluster has them, go the same way by their own strategy. `discover`
    finds who takes the Secret of the playbook's store `kubernetes`, by env, envFrom or a volume. A
    workload has converged when every pod of the change is ready and none from before runs.
    """

    workloads: list[str] | str = setting(
        "`discover`, or a list: deployment/NAME or deployment/NAMESPACE/NAME"
    )
    wave: int = setting("How many workloads roll at a time", default=10)
    calm: Seconds = setting(
        "How long nobody is restarted after an outage of the API server: kubelets may hold the old"
        " Secret",
        default=60.0,
    )
    env: str | None = setting(
        "Variable that holds the key, read in each pod by exec (`printenv`) as proof; needs a rule"
        " for pods/exec",
        default=None,
    )
    secrets: tuple[SecretRef, ...] = field(
        default=(), repr=False
    )  # what the stores write; handed over when loaded

    def __post_init__(self) -> None:
        if isinstance(self.workloads, str) and self.workloads != _DISCOVER:
            raise ConfigError(
                "`workloads` is `discover` or a list",
                "for instance [deployment/paracle/paracle-api]",
            )
        for text in self.workloads if isinstance(self.workloads, list) else ():
            if text.split("/")[0].lower() not in KINDS or len(text.split("/")) not in (2, 3):
                raise ConfigError(
                    f"'{text}' is no workload",
                    "deployment/NAME, statefulset/NAMESPACE/NAME, daemonset/NAME, rollout/NAME",
                )
        if self.wave < 1:
            raise ConfigError("a wave has at least one workload", "for instance `wave: 10`")

    def beside(self, stores: Sequence[Any]) -> KubernetesRestarter:
        """With the Secrets that the playbook's stores write.

        Raises ConfigError if there is nothing to discover by.
        """
        refs = [ref for store in stores if (ref := getattr(store, "secret_ref", None)) is not None]
        found = tuple(ref for ref in refs if ref.cluster == self.cluster)
        if self.workloads == _DISCOVER and not found:
            raise ConfigError(
                "there is no Secret to discover the users of",
                "add a store `kubernetes`, or list the workloads",
            )
        return replace(self, secrets=found)

    @property
    def name(self) -> str:
        if isinstance(self.workloads, list):
            return f"kubernetes {', '.join(self.workloads)}"
        return f"kubernetes users of {', '.join(ref.name for ref in self.secrets)}"

    @property
    def evidence(self) -> Evidence:
        return Evidence.READ if self.env else Evidence.STARTED

    @property
    def _mark(self) -> str:
        """What tells our restarts from those of another playbook, whose Secret the same workload
        may take, too.
        """
        secrets = [f"{ref.namespace}/{ref.name}#{key}" for ref in self.secrets for key in ref.keys]
        return judge.mark_of(secrets or self.workloads)

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        found: list[Finding] = []
        for scope in self._scopes():
            missing = list(scope.missing())
            found += missing
            if not any(finding.level is Level.ERROR for finding in missing):
                found += scope.health()
        return found

    def restart(self, change: Change) -> NotYet | None:
        for scope in self._scopes():
            objects = scope.watched()
            targets = scope.targets(objects)
            told = [one for one in targets if judge.change_of(one, self._mark) == change.id]
            self._unblock(scope, told, objects, change.id)
            rolling = [one for one in told if not self._over(one, objects, change.id)]
            for target in targets:
                if judge.change_of(target, self._mark) == change.id:
                    continue
                if (left := self._until_calm()) > 0:
                    words = "the API server was away: kubelets may still hold the old Secret"
                    return NotYet(min(left, 5.0), text=f"{words} for {left:.0f} s")
                if len(rolling) >= self.wave:
                    return NotYet(
                        _PAUSE,
                        text=f"{len(told) - len(rolling)} of {len(targets)} workloads are over",
                    )
                self._order(scope, target, change)
                told.append(target)
                rolling.append(target)
            if blocked := [
                judge.named(one) for one in targets if self._blocking(one, objects, change.id)
            ]:
                return NotYet(_PAUSE, text=f"broken pods of {', '.join(blocked)} are replaced")
        return None

    def progress(self, change: Change) -> Progress:
        if change.id == "look":
            return self._look(change.since)
        total, current, waiting, instances = 0, 0, [], []
        for scope in self._scopes():
            objects = scope.watched()
            for target in scope.targets(objects):
                pods = judge.pods_of(target, objects["Pod"])
                instances += [self._instance(pod) for pod in pods]
                total += 1
                if self._over(target, objects, change.id):
                    current += 1
                else:
                    waiting.append(self._words(target, pods, change.id))
            instances += [
                replace(self._instance(pod), left_alone=True) for pod in scope.others(objects)
            ]
        text = "; ".join(waiting[:5])
        return Progress(total, current, current == total, tuple(instances), text, again=_PAUSE)

    def _look(self, since: float) -> Progress:
        """Read now, no watch is believed.

        What was rolled back since it was restarted has proven nothing.
        """
        total, current, instances = 0, 0, []
        for scope in self._scopes():
            objects = scope.now(*REVISIONS)
            last = judge.last_orders(
                objects["ReplicaSet"] + objects["ControllerRevision"], self._mark
            )
            targets = scope.targets(objects)
            for target in [*targets, *scope.strayed(objects, targets, last)]:
                pods = judge.pods_of(target, objects["Pod"])
                back = judge.rolled_back(target, last.get(whose(target), 0.0), self._mark)
                back = back or any(self._doubtful(pod, since) for pod in pods)
                for pod in pods:
                    shown = (
                        replace(self._instance(pod), started_at=None)
                        if back
                        else self._instance(pod)
                    )
                    instances += [replace(shown, holds=held) for held in scope.held(pod)] or [shown]
                total, current = total + 1, current + all(map(judge.ready, pods))
            instances += [
                replace(self._instance(pod), left_alone=True) for pod in scope.others(objects)
            ]
        return Progress(total, current, current == total, tuple(instances))

    def _scopes(self) -> Iterator[Scope]:
        return scopes(self.cluster, self.workloads, self.secrets, self.env)

    # --- while it rolls ---
    def _order(self, scope: Scope, target: Found, change: Change) -> None:
        """One patch of the template, unless it has been ordered already: the watch may lag."""
        where = kube_views.path(target["kind"], scope.namespace, judge.meta(target)["name"])
        now = self.cluster.get(where)
        if now is None or judge.change_of({**now, "kind": target["kind"]}, self._mark) == change.id:
            return
        at = time.time()
        told = {self._mark: f"{change.id}@{at:.6f}", judge.RESTARTED: _rfc3339(at)}
        patch = {"spec": {"template": {"metadata": {"annotations": told}}}}
        done = self.cluster.patch(where, patch, safe=True)
        kubernetes.event(
            self.cluster,
            {**done, "kind": target["kind"]},
            "KeyRotated",
            f"restarted for {change.id}",
        )

    def _blocking(self, target: Found, objects: Objects, change: str) -> list[Found]:
        return judge.blocking(target, judge.pods_of(target, objects["Pod"]), self._mark, change)

    def _unblock(self, scope: Scope, told: Sequence[Found], objects: Objects, change: str) -> None:
        """Delete what a StatefulSet would wait for, once its controller knows what to
        make instead.
        """
        for target in told:
            for pod in self._blocking(target, objects, change) if judge.seen(target) else ():
                self._delete(scope, target, pod)

    def _delete(self, scope: Scope, target: Found, pod: Found) -> None:
        name, uid = judge.meta(pod)["name"], judge.meta(pod)["uid"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            self.cluster.call(
                "DELETE", kube_views.path("Pod", scope.namespace, name), options, safe=True
            )
        except (NotFound, Conflict):
            return  # it is another one by now
        except AccessDenied as error:
            text = f"{judge.named(target)} waits for its broken pod/{name}, which we may not delete"
            hint = f"kubectl -n {scope.namespace} delete pod {name}, then `rotator resume`"
            raise AccessDenied(text, hint) from error

    def _over(self, target: Found, objects: Objects, change: str) -> bool:
        """Whether it has converged. Raises PermanentError with its own words if it cannot."""
        pods = judge.pods_of(target, objects["Pod"])
        if judge.converged(target, pods, self._mark, change):
            return True
        wrong = judge.trouble(target, pods, self._mark, change)
        if wrong is not None:
            namespace = judge.meta(target)["namespace"]
            said = self._last_words(namespace, wrong) if wrong.container else ""
            hint = f"`kubectl -n {namespace} describe {judge.named(target)}` has its own words"
            raise PermanentError(wrong.text + (f': "{said}"' if said else ""), hint)
        return False

    def _last_words(self, namespace: str, wrong: judge.Trouble) -> str:
        query = {"container": wrong.container, "tailLines": str(_LOG_LINES)}
        query |= {"previous": "true"} if wrong.previous else {}
        try:
            text = self.cluster.text(f"{kube_views.path('Pod', namespace, wrong.pod)}/log", **query)
        except RotatorError:  # preflight has warned where we may not; it may be gone
            return ""
        return last_line(text.splitlines())

    def _words(self, target: Found, pods: Sequence[Found], change: str) -> str:
        new = sum(judge.change_of(pod, self._mark) == change and judge.ready(pod) for pod in pods)
        old = sum(judge.change_of(pod, self._mark) != change for pod in pods)
        waits = judge.waits_for(pods) or judge.pauses(target)
        more = (f", {old} from before" if old else "") + (f", {waits}" if waits else "")
        return f"{judge.named(target)} {new}/{judge.desired(target)}{more}"

    def _until_calm(self) -> float:
        """Seconds until kubelets have surely seen the Secret as it is."""
        return max((end + self.calm - time.time() for _, end in self.cluster.outages), default=0.0)

    def _doubtful(self, pod: Found, since: float) -> bool:
        """Whether it was made while its kubelet may have held the Secret as it was before it was
        written at `since`.

        A kubelet keeps what its watch last told; cut off, it starts containers with that.
        """
        made = max(self._made(pod), judge.ordered_at(pod, self._mark))
        spans = [(begin - _NOTICED, end + self.calm) for begin, end in self.cluster.outages]
        return any(
            begin <= made <= end and begin - self.calm <= since <= end for begin, end in spans
        )

    def _instance(self, pod: Found) -> Instance:
        """It was made when its template says so, by our clock, or, without, at the server's time,
        rounded down.
        """
        return Instance(
            f"pod/{judge.meta(pod)['name']}",
            max(self._made(pod) - 1.0, judge.ordered_at(pod, self._mark)),
        )

    def _made(self, pod: Found) -> float:
        """In whole seconds of the server's clock, rounded down, and so by ours; to
        about a second.
        """
        return (
            kubernetes.moment(judge.meta(pod).get("creationTimestamp")) or 0.0
        ) - self.cluster.skew


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
