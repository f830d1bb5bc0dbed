"""What is in a namespace: read now, or as a watch has it; one watch for each kind, however many are
waited for.

A watch lives in a thread of this process; it is begun by the first question and ends when nobody
has asked for a while. What it shows may lag: who asks about a change looks for it in what is shown.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rotator.errors import RotatorError, TransientError
from rotator.integrations.kubernetes.cluster import Cluster

_WATCH = 300  # seconds that one request watches
_FIRST = 20.0  # seconds until the first list must be there
_UNASKED = 60.0  # seconds after which nobody is interested any more
_AGAIN = 0.5  # seconds between a watch that was cut and the next try

_PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Rollout": "/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "ControllerRevision": "/apis/apps/v1/namespaces/{}/controllerrevisions",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Secret": "/api/v1/namespaces/{}/secrets",
}
Objects = dict[str, list[dict[str, Any]]]


def path(kind: str, namespace: str, name: str = "") -> str:
    """Where objects of this kind are, or one of them."""
    return _PATHS[kind].format(namespace) + (f"/{name}" if name else "")


def now(cluster: Cluster, namespace: str, kinds: Iterable[str]) -> Objects:
    """Objects by kind, read for this question."""
    return {kind: _named(kind, cluster.items(path(kind, namespace))[0]) for kind in kinds}


def watched(cluster: Cluster, namespace: str, kinds: Iterable[str]) -> Objects:
    """Objects by kind, as the watches have them.

    Raises what a watch met, if it has nothing to show.
    """
    return {kind: _watch(cluster, namespace, kind).objects() for kind in kinds}


def _named(kind: str, objects: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lists leave their items' kind out."""
    return [{**one, "kind": kind} for one in objects]


@dataclass
class _Watch:
    cluster: Cluster
    namespace: str
    kind: str
    asked: float = 0.0
    problem: RotatorError | None = None
    _held: dict[str, dict[str, Any]] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def objects(self) -> list[dict[str, Any]]:
        with self._changed:
            self.asked = time.monotonic()
            self._changed.wait_for(
                lambda: self._held is not None or self.problem is not None, _FIRST
            )
            if self.problem is not None:
                raise self.problem
            if self._held is None:
                raise TransientError(
                    f"{self.cluster} does not list the {self.kind}s of {self.namespace}"
                )
            return list(self._held.values())

    def run(self) -> None:
        """List, watch from there, again after each cut; ends by itself."""
        version = ""
        while time.monotonic() - self.asked < _UNASKED:
            try:
                version = self._follow(version or self._list())
            except RotatorError as error:
                version = ""
                with self._changed:
                    self.problem = error
                    self._changed.notify_all()
                time.sleep(_AGAIN)
        with _lock:
            _watches.pop((self.cluster, self.namespace, self.kind), None)

    def _list(self) -> str:
        found, version = self.cluster.items(path(self.kind, self.namespace))
        with self._changed:
            self._held, self.problem = {_uid(one): one for one in _named(self.kind, found)}, None
            self._changed.notify_all()
        return version

    def _follow(self, version: str) -> str:
        """Take events in until the request ends. '' where the list must be read again."""
        for event in self.cluster.watch(path(self.kind, self.namespace), version, _WATCH):
            found = event.get("object") or {}
            if event.get("type") == "ERROR":
                return ""
            version = str(found.get("metadata", {}).get("resourceVersion") or version)
            if event.get("type") == "BOOKMARK":
                continue
            with self._changed:
                held = self._held = {} if self._held is None else self._held
                if event.get("type") == "DELETED":
                    held.pop(_uid(found), None)
                else:
                    held[_uid(found)] = {**found, "kind": self.kind}
        return version


_watches: dict[tuple[Cluster, str, str], _Watch] = {}
_lock = threading.Lock()


def _watch(cluster: Cluster, namespace: str, kind: str) -> _Watch:
    with _lock:
        found = _watches.get((cluster, namespace, kind))
        if found is None:
            found = _watches[cluster, namespace, kind] = _Watch(
                cluster, namespace, kind, time.monotonic()
            )
            threading.Thread(target=found.run, daemon=True, name=f"watch of {kind}s").start()
        return found


def _uid(found: Mapping[str, Any]) -> str:
    return str(found["metadata"]["uid"])
