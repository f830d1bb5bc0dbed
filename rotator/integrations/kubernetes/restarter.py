"""Restarter `kubernetes`: workloads restarted as `kubectl rollout restart` does it, in waves,
watched to the end.

A pod counts as new by what its template says: the change for which it was made, and when that was
ordered, by our clock. So neither the whole seconds of Kubernetes' times nor another clock decide.
Source: https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/ (restart).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from rotator.counting import about, count
from rotator.durations import Seconds
from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    PermanentError,
)
from rotator.integrations.kubernetes import events, logs, outages
from rotator.integrations.kubernetes import rollouts as kube_rollouts
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes import workloads as kube_workloads
from rotator.integrations.kubernetes.cluster import ClusterConnection, SecretRef
from rotator.integrations.kubernetes.objects import Pod, Workload, meta, moment, named, template
from rotator.integrations.kubernetes.users import KINDS, REVISIONS, Scope, scopes, whose
from rotator.integrations.kubernetes.views import Objects
from rotator.model import Change, Evidence, Finding, Instance, Level, NotYet, Progress
from rotator.plugin import Address, setting

_PAUSE = 0.1  # seconds between two looks, which the watches answer
_DISCOVER = "discover"


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

    def beside(self, addresses: Sequence[Address]) -> KubernetesRestarter:
        """With the Secrets that the playbook's stores write.

        Raises ConfigError if there is nothing to discover by.
        """
        found = tuple(
            SecretRef.of(self.cluster, one)
            for one in addresses
            if one.system == "kubernetes" and one.place == self.cluster.place
        )
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

    def shared_as(self) -> str | None:
        """None while nobody takes the Secret. By their uids: in each cluster the API server has the
        same address for its own pods, so that this tells no cluster from another.
        """
        uids = {
            str(meta(target)["uid"])
            for scope in self._scopes()
            for target in scope.targets(scope.watched())
        }
        return f"kubernetes {', '.join(sorted(uids))}" if uids else None

    @property
    def evidence(self) -> Evidence:
        return Evidence.READ if self.env else Evidence.STARTED

    def _mark(self, target: Workload, change: str) -> str:
        """Where this playbook leaves its changes: the same workload may take the Secret of another
        playbook, too, or be listed in one whose stores are elsewhere.
        """
        secrets = [f"{ref.namespace}/{ref.name}#{key}" for ref in self.secrets for key in ref.keys]
        mark = kube_rollouts.mark_of(secrets or self.workloads)
        return mark if secrets else kube_rollouts.free_mark(template(target), mark, change)

    # --- what the engine asks ---
    def preflight(self) -> list[Finding]:
        findings: list[Finding] = []
        for scope in self._scopes():
            missing = list(scope.missing())
            findings += missing
            if not any(finding.level is Level.ERROR for finding in missing):
                findings += scope.health()
        return findings

    def restart(self, change: Change) -> NotYet | None:
        for scope in self._scopes():
            objects = scope.watched()
            targets = scope.targets(objects)
            ordered = [one for one in targets if kube_rollouts.made_for(one, change.id)]
            self._unblock(scope, ordered, objects, change.id)
            rolling = [one for one in ordered if not self._over(one, objects, change.id)]
            for target in targets:
                if kube_rollouts.made_for(target, change.id):
                    continue
                if (left := outages.until_calm(self.cluster.outages, self.calm)) > 0:
                    words = "the API server was away: kubelets may still hold the old Secret"
                    return NotYet(min(left, 5.0), text=f"{words} for {about(left)}")
                if len(rolling) >= self.wave:
                    over = f"{len(ordered) - len(rolling)} of {count(len(targets), 'workload')}"
                    return NotYet(_PAUSE, text=f"rolled out: {over}")
                self._order(scope, target, change)
                ordered.append(target)
                rolling.append(target)
            if blocked := [
                named(one) for one in targets if self._blocking(one, objects, change.id)
            ]:
                return NotYet(_PAUSE, text=f"broken pods of {', '.join(blocked)} are replaced")
        return None

    def progress(self, change: Change) -> Progress:
        total, current, waiting, instances = 0, 0, [], []
        for scope in self._scopes():
            objects = scope.watched()
            for target in scope.targets(objects):
                pods = kube_workloads.pods_of(target, objects["Pod"])
                instances += [self._instance(pod) for pod in pods]
                total += 1
                if self._over(target, objects, change.id):
                    current += 1
                else:
                    waiting.append(kube_rollouts.words(target, pods, change.id))
            instances += [
                replace(self._instance(pod), left_alone=True) for pod in scope.others(objects)
            ]
        text = "; ".join(waiting[:5])
        return Progress(total, current, current == total, tuple(instances), text, again=_PAUSE)

    def shown(self, change: Change) -> Progress:
        """Read now, no watch is believed.

        What was rolled back since it was restarted has proven nothing.
        """
        total, current, instances = 0, 0, []
        for scope in self._scopes():
            objects = scope.now(*REVISIONS)
            last = kube_rollouts.last_orders(
                one for kind in REVISIONS for one in objects[kind] if scope.took(one)
            )
            targets = scope.targets(objects)
            for target in [*targets, *scope.strayed(objects, targets, last)]:
                pods = kube_workloads.pods_of(target, objects["Pod"])
                back = kube_rollouts.rolled_back(target, last.get(whose(target), 0.0))
                back = back or any(self._doubtful(pod, change.since) for pod in pods)
                for pod in pods:
                    shown = (
                        replace(self._instance(pod), started_at=None)
                        if back
                        else self._instance(pod)
                    )
                    instances += [replace(shown, holds=held) for held in scope.held(pod)] or [shown]
                total, current = total + 1, current + all(map(kube_workloads.ready, pods))
            instances += [
                replace(self._instance(pod), left_alone=True) for pod in scope.others(objects)
            ]
        return Progress(total, current, current == total, tuple(instances))

    def _scopes(self) -> Iterator[Scope]:
        return scopes(self.cluster, self.workloads, self.secrets, self.env)

    # --- while it rolls ---
    def _order(self, scope: Scope, target: Workload, change: Change) -> None:
        """One patch of the template, unless it has been ordered already: the watch may lag."""
        where = kube_views.path(target["kind"], scope.namespace, meta(target)["name"])
        now = self.cluster.get(where)
        if now is None or kube_rollouts.made_for({**now, "kind": target["kind"]}, change.id):
            return
        mark = self._mark({**now, "kind": target["kind"]}, change.id)
        patch = kube_rollouts.restart_patch(mark, change.id, time.time())
        done = self.cluster.patch(where, patch, safe=True)
        events.record(
            self.cluster,
            {**done, "kind": target["kind"]},
            "KeyRotated",
            f"restarted for {change.id}",
        )

    def _blocking(self, target: Workload, objects: Objects, change: str) -> list[Pod]:
        return kube_rollouts.blocking(
            target, kube_workloads.pods_of(target, objects["Pod"]), change
        )

    def _unblock(
        self, scope: Scope, ordered: Sequence[Workload], objects: Objects, change: str
    ) -> None:
        """Delete what a StatefulSet would wait for, once its controller knows what to
        make instead.
        """
        for target in ordered:
            for pod in (
                self._blocking(target, objects, change) if kube_rollouts.seen(target) else ()
            ):
                self._delete(scope, target, pod)

    def _delete(self, scope: Scope, target: Workload, pod: Pod) -> None:
        name, uid = meta(pod)["name"], meta(pod)["uid"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        try:
            self.cluster.call(
                "DELETE", kube_views.path("Pod", scope.namespace, name), options, safe=True
            )
        except (NotFound, Conflict):
            return  # it is another one by now
        except AccessDenied as error:
            text = f"{named(target)} waits for its broken pod/{name}, which we may not delete"
            hint = f"kubectl -n {scope.namespace} delete pod {name}, then `rotator resume`"
            raise AccessDenied(text, hint) from error

    def _over(self, target: Workload, objects: Objects, change: str) -> bool:
        """Whether it has converged. Raises PermanentError with its own words if it cannot."""
        pods = kube_workloads.pods_of(target, objects["Pod"])
        if kube_rollouts.converged(target, pods, change):
            return True
        wrong = kube_rollouts.trouble(target, pods, change)
        if wrong is not None:
            namespace = meta(target)["namespace"]
            said = logs.last_words(self.cluster, namespace, wrong) if wrong.container else ""
            hint = f"`kubectl -n {namespace} describe {named(target)}` has its own words"
            raise PermanentError(wrong.text + (f': "{said}"' if said else ""), hint)
        return False

    def _doubtful(self, pod: Pod, since: float) -> bool:
        """Whether it was made while its kubelet may have held the Secret as it was before it was
        written at `since`.
        """
        made = max(self._made(pod), kube_rollouts.ordered_at(pod))
        return outages.may_be_outdated(self.cluster.outages, self.calm, made, since)

    def _instance(self, pod: Pod) -> Instance:
        """It was made when its template says so, by our clock, or, without, at the server's time,
        rounded down.
        """
        return Instance(
            f"pod/{meta(pod)['name']}",
            max(self._made(pod) - 1.0, kube_rollouts.ordered_at(pod)),
        )

    def _made(self, pod: Pod) -> float:
        """In whole seconds of the server's clock, rounded down, and so by ours; to
        about a second.
        """
        return (moment(meta(pod).get("creationTimestamp")) or 0.0) - self.cluster.skew
