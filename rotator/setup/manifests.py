"""Manifests of Kubernetes: Secrets, and which workloads take which of their keys.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/ (`env`,
`envFrom`) and …/config-and-storage-resources/secret-v1/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rotator.setup.found import Source, User, Value, kept

_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Rollout")
DISCOVERED = User({"uses": "kubernetes", "workloads": "discover"}, by_env=False)


@dataclass
class Manifests:
    """By Secret: its keys with what is known of their values, and who takes it as a whole."""

    keys: dict[str, dict[str, Value]] = field(default_factory=dict)
    whole: dict[str, list[str]] = field(default_factory=dict)
    known_as: dict[str, dict[str, str]] = field(default_factory=dict)  # by key: the variable
    said: list[str] = field(default_factory=list)

    def sources(self) -> Iterator[Source]:
        for secret, keys in self.keys.items():
            yield source(secret, keys, self.known_as.get(secret, {}))

    def unread(self) -> Iterator[str]:
        """Of Secrets whose keys stand in no manifest."""
        for secret, workloads in self.whole.items():
            if secret not in self.keys:
                yield (
                    f"{', '.join(workloads)} takes all of the Secret {secret}, whose keys stand in"
                    f" no file here: `rotator init kubernetes:{secret}` asks the cluster"
                )


def source(secret: str, keys: Mapping[str, Value], known_as: Mapping[str, str]) -> Source:
    """A Secret as a place; its users are found by the restarter each time."""
    store = {"uses": "kubernetes", "secret": secret}
    return Source(f"the Secret {secret}", store, keys, (DISCOVERED,), known_as=known_as)


def read(documents: list[Any]) -> Manifests:
    found = Manifests()
    for document in documents:
        for one in _items(document):
            _take(found, one)
    return found


def are_some(documents: list[Any]) -> bool:
    return any(isinstance(one, Mapping) and "kind" in one for one in documents)


def documents(path: Path, text: str) -> list[Any]:
    """What a YAML file holds; nothing where it is no YAML."""
    try:
        return [one for one in yaml.safe_load_all(text) if one is not None]
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that is none
        return []


def _items(document: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(document, Mapping):
        return
    if document.get("kind") == "List":
        for one in _list(document, "items"):
            yield from _items(one)
    else:
        yield document


def _map(one: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What has another shape than it should have is passed over."""
    inside = one.get(name)
    return inside if isinstance(inside, Mapping) else {}


def _list(one: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    inside = one.get(name)
    parts = inside if isinstance(inside, list) else []
    return [part for part in parts if isinstance(part, Mapping)]


def _take(found: Manifests, one: Mapping[str, Any]) -> None:
    about = _map(one, "metadata")
    namespace = about.get("namespace")
    kind, name = one.get("kind"), str(about.get("name") or "")
    if kind == "Secret" and name:
        found.keys.setdefault(_place(namespace, name), {}).update(_values(one))
    elif kind in _WORKLOADS:
        pod = _map(_map(_map(one, "spec"), "template"), "spec")
        for container in (*_list(pod, "containers"), *_list(pod, "initContainers")):
            _container(found, container, namespace, f"{str(kind).lower()}/{name}")


def _container(
    found: Manifests, container: Mapping[str, Any], namespace: Any, workload: str
) -> None:
    for variable in _list(container, "env"):
        ref = _map(_map(variable, "valueFrom"), "secretKeyRef")
        if ref.get("name") and ref.get("key"):
            place = _place(namespace, ref["name"])
            found.keys.setdefault(place, {}).setdefault(str(ref["key"]), None)
            names = found.known_as.setdefault(place, {})
            names.setdefault(str(ref["key"]), str(variable.get("name")))
    for origin in _list(container, "envFrom"):
        if name := _map(origin, "secretRef").get("name"):
            users = found.whole.setdefault(_place(namespace, name), [])
            if workload not in users:
                users.append(workload)


def _place(namespace: Any, name: Any) -> str:
    return f"{namespace}/{name}" if namespace else str(name)


def _values(secret: Mapping[str, Any]) -> dict[str, Value]:
    """Texts, and those in base64; None for what is no text."""
    found: dict[str, Value] = {}
    for name, text in _map(secret, "data").items():
        try:
            found[str(name)] = kept(
                str(name), base64.b64decode(str(text), validate=True).decode().strip()
            )
        except (binascii.Error, UnicodeDecodeError, ValueError):
            found[str(name)] = None
    for name, text in _map(secret, "stringData").items():
        found[str(name)] = kept(str(name), str(text).strip())
    return found
