"""Who is restarted when a Secret of Kubernetes has a new key, and what must be known of them
before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

from rotator.errors import AccessDenied, NotFound
from rotator.integrations.kubernetes import exec as kube_exec
from rotator.integrations.kubernetes import rollouts as kube_rollouts
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes import workloads as kube_workloads
from rotator.integrations.kubernetes.access import Access
from rotator.integrations.kubernetes.cluster import Cluster, SecretRef
from rotator.integrations.kubernetes.objects import (
    RESTARTABLE,
    ROLLOUT,
    Pod,
    Revision,
    Workload,
    annotation,
    meta,
    named,
)
from rotator.integrations.kubernetes.views import Objects
from rotator.model import Finding, Level
from rotator.secret import Secret

KINDS = {kind.lower(): kind for kind in (*RESTARTABLE, ROLLOUT)}
REVISIONS = (
    "ReplicaSet",
    "ControllerRevision",
)  # what was rolled out before, as `kubectl rollout history` reads it
_GROUPS = {ROLLOUT: "argoproj.io"}
_VERBS = ("get", "list", "watch", "patch")
_SEEN_FOR = 60.0  # seconds for which it is believed that a cluster has Argo Rollouts, or has not


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look in one namespace: users of these Secrets, or these workloads by
    kind and name.
    """

    cluster: Cluster
    namespace: str
    secrets: tuple[SecretRef, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    env: str | None = None  # variable that is read in each pod
    held_in: frozenset[str] = (
        frozenset()
    )  # names of the Secrets that a container may have it from as a whole

    @property
    def kinds(self) -> tuple[str, ...]:
        wanted = {kind for kind, _ in self.names}
        if self.secrets:
            wanted = {*RESTARTABLE, *([ROLLOUT] if self._rollouts()[1] else [])}
        return (*sorted(wanted), "Pod")

    def _rollouts(self) -> tuple[bool, bool]:
        """Whether the cluster has Argo Rollouts, and whether we may see those of this namespace."""
        return _rollouts(self.cluster, self.namespace, int(time.monotonic() // _SEEN_FOR))

    def watched(self) -> Objects:
        return kube_views.watched(self.cluster, self.namespace, self.kinds)

    def now(self, *more: str) -> Objects:
        return kube_views.now(self.cluster, self.namespace, (*self.kinds, *more))

    # --- who ---
    def targets(self, objects: Objects) -> list[Workload]:
        """Raises NotFound for one that was named and is not there."""
        if self.secrets:
            kinds = [kind for kind in KINDS.values() if kind in objects]
            users = [one for kind in kinds for one in objects[kind] if self.ways(one)]
            return sorted((one for one in users if not _left_alone(one)), key=named)
        there = {whose(one): one for kind in self.kinds for one in objects[kind]}
        for kind, name in self.names:
            if (kind, name) not in there:
                raise NotFound(
                    f"there is no {kind.lower()}/{name} in {self.namespace}",
                    "`kubectl get` shows their names",
                )
        return [there[one] for one in self.names]

    def ways(self, maker: Workload | Pod) -> list[str]:
        return [
            way for ref in self.secrets for way in kube_workloads.uses(maker, ref.name, ref.keys)
        ]

    def took(self, revision: Revision) -> bool:
        """Whether pods of this revision take the key: who is restarted for another one is none of
        ours. Where workloads are named, each.
        """
        maker = {**(revision.get("data") or revision), "kind": revision.get("kind", "")}
        return not self.secrets or bool(self.ways(maker))

    def others(self, objects: Objects) -> list[Pod]:
        """Running pods that take the key and are not restarted by us: of jobs, of nobody, of what
        is left alone.
        """
        restarted = {whose(one) for one in self.targets(objects)}
        users = (pod for pod in kube_workloads.running(objects["Pod"]) if self.ways(pod))
        return [pod for pod in users if kube_workloads.owner(pod) not in restarted]

    def strayed(
        self, objects: Objects, targets: Sequence[Workload], last: Mapping[tuple[str, str], float]
    ) -> list[Workload]:
        """Workloads that were restarted for a change and, by their present template, take the
        Secret no more.
        """
        if not self.secrets:
            return []
        lost = last.keys() - {whose(one) for one in targets}
        return [one for kind in self.kinds for one in objects[kind] if whose(one) in lost]

    # --- before the start ---
    def missing(self) -> Iterator[Finding]:
        """Each permission that is not there, with its rule."""
        wanted = [
            (_GROUPS.get(kind, "apps"), f"{kind.lower()}s", verb)
            for kind in self.kinds
            if kind != "Pod"
            for verb in _VERBS
        ]
        wanted += [("", "pods", "list"), ("", "pods", "watch")]
        wanted += [("apps", "replicasets", "list"), ("apps", "controllerrevisions", "list")]
        wanted += [("batch", "cronjobs", "list")] if self.secrets else []
        wanted += [("", "pods/exec", verb) for verb in kube_exec.VERBS] if self.env else []
        niceties = [("", "pods/log", "get"), ("", "events", "create")]
        access = Access(self.cluster, self.namespace)
        for group, resource, verb in [*wanted, *niceties]:
            if not access.may(verb, group, resource):
                level = Level.WARNING if (group, resource, verb) in niceties else Level.ERROR
                text = f"we may not {verb} {resource} in {self.namespace}"
                yield Finding(level, text, _rule(group, resource, (verb,)))
        there, seen = self._rollouts() if self.secrets else (False, False)
        if there and not seen:
            text = (
                f"we may not see the Argo Rollouts of {self.namespace}; their pods hold the old"
                " key's end up"
            )
            yield Finding(Level.WARNING, text, _rule(_GROUPS[ROLLOUT], "rollouts", _VERBS))

    def health(self) -> Iterator[Finding]:
        """Who is restarted, and why; what would not work; whose pods will be in the way."""
        objects, access = self.now(), Access(self.cluster, self.namespace)
        for target in self.targets(objects):
            text, hint = kube_rollouts.hindrance(target)
            ill = kube_rollouts.illness(target)
            if text or ill:
                yield Finding(
                    Level.ERROR, text or ill, hint or f"`kubectl describe {named(target)}`"
                )
                continue
            why = f" ({', '.join(self.ways(target))})" if self.secrets else ""
            yield Finding(Level.OK, f"restarts {named(target)}{why}")
            yield from self._unreadable(target, objects)
            if target["kind"] == "StatefulSet" and not access.may("delete", "", "pods"):
                text = (
                    f"we may not delete pods in {self.namespace}: where a key does not work,"
                    f" {named(target)}"
                )
                hint = _rule("", "pods", ("delete",))
                yield Finding(
                    Level.WARNING,
                    f"{text} waits for its broken pod until somebody deletes it",
                    hint,
                )
        for pod in self.others(objects):
            yield _not_ours(pod)
        if self.secrets:
            for job in kube_views.now(self.cluster, self.namespace, ["CronJob"])["CronJob"]:
                if ways := self.ways(job):
                    text = (
                        f"{named(job)} takes what the Secret holds at its next run"
                        f" ({', '.join(ways)})"
                    )
                    yield Finding(Level.OK, text)

    def _unreadable(self, target: Workload, objects: Objects) -> Iterator[Finding]:
        """Why what its pods were started with cannot be read."""
        if not self.env:
            return
        if not kube_workloads.shows(target, self.env, self.held_in):
            text = f"{named(target)} has no variable {self.env}"
            yield Finding(
                Level.ERROR,
                text,
                "an entry of its own, without `env`, for who takes the key otherwise",
            )
            return
        for pod in filter(kube_workloads.ready, kube_workloads.pods_of(target, objects["Pod"])):
            if None in self.held(pod):
                hint = f"`kubectl exec` there must work; else leave `env` out for {named(target)}"
                text = f"pod/{meta(pod)['name']} does not show {self.env} by `printenv`"
                yield Finding(Level.ERROR, text, hint)
            return  # one of them is enough

    def held(self, pod: Pod) -> list[Secret | None]:
        """What each of its containers was started with that has the variable; empty where nothing
        is read.
        """
        if not self.env:
            return []
        name = meta(pod)["name"]
        return [
            kube_exec.variable(self.cluster, self.namespace, name, one, self.env)
            for one in kube_workloads.shows(pod, self.env, self.held_in)
        ]


def scopes(
    cluster: Cluster,
    workloads: list[str] | str,
    secrets: Iterable[SecretRef],
    env: str | None = None,
) -> Iterator[Scope]:
    """One for each namespace."""
    refs = list(secrets)
    scope = partial(Scope, cluster, env=env, held_in=frozenset(ref.name for ref in refs))
    if isinstance(workloads, str):
        known = [replace(ref, namespace=ref.namespace or cluster.namespace) for ref in refs]
        for namespace in sorted({ref.namespace for ref in known}):
            yield scope(namespace, tuple(ref for ref in known if ref.namespace == namespace))
        return
    usual = refs[0].namespace if refs else ""
    by_namespace: dict[str, list[tuple[str, str]]] = {}
    for text in workloads:
        kind, *where, name = text.split("/")
        namespace = where[0] if where else usual or cluster.namespace
        by_namespace.setdefault(namespace, []).append((KINDS[kind.lower()], name))
    for namespace, names in by_namespace.items():
        yield scope(namespace, names=tuple(names))


@lru_cache(maxsize=256)
def _rollouts(cluster: Cluster, namespace: str, minute: int) -> tuple[bool, bool]:
    try:
        there = cluster.get(f"/apis/{_GROUPS[ROLLOUT]}/v1alpha1") is not None
    except AccessDenied:  # whoever may not look at the API's groups has no rule for this one either
        there = False
    access = Access(cluster, namespace)
    seen = there and all(
        access.may(verb, _GROUPS[ROLLOUT], "rollouts") for verb in ("list", "watch")
    )
    return there, seen


def whose(workload: Workload) -> tuple[str, str]:
    """Its kind and name, as its pods name their owner."""
    return str(workload["kind"]), str(meta(workload)["name"])


def _rule(group: str, resource: str, verbs: Sequence[str]) -> str:
    spelled = ", ".join(f'"{verb}"' for verb in verbs)
    return (
        f'add the rule  {{apiGroups: ["{group}"], resources: ["{resource}"], verbs: [{spelled}]}} '
        " to the Role"
    )


def _left_alone(workload: Workload) -> bool:
    return annotation(workload, kube_workloads.LEFT_ALONE) == "false"


def _not_ours(pod: Pod) -> Finding:
    kind, name = kube_workloads.owner(pod)
    where = named(pod)
    if kind == "Job":
        return Finding(
            Level.WARNING,
            f"{where} of job/{name} runs to its end; the old key is not revoked before",
        )
    if kind in KINDS.values():
        text = (
            f"{where} of {kind.lower()}/{name} is left alone; the old key is not revoked while it"
            " runs"
        )
        return Finding(
            Level.WARNING, text, f"restart it yourself, or remove {kube_workloads.LEFT_ALONE}"
        )
    whose_ = f"belongs to {kind} {name}" if kind else "belongs to nobody, who would start it again"
    return Finding(
        Level.WARNING,
        f"{where} {whose_}; the old key is not revoked while it runs",
        "end it after the rotation",
    )
