"""Secrets that a controller copies into other namespaces: by what marks a copy is known, and what a
source says.

Sources: the READMEs of emberstack/kubernetes-reflector, mittwald/kubernetes-replicator,
config-syncer/config-syncer (once kubed), kubernetes-sigs/hierarchical-namespaces, kyverno (generate
rules that clone), zakkg3/ClusterSecret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from rotator.integrations.kubernetes.objects import SecretObject
from rotator.model import Finding, Level

_REFLECTOR = "reflector.v1.k8s.emberstack.com/"
_REPLICATOR = "replicator.v1.mittwald.de/"
_KUBED = "kubed.appscode.com/"
_HNC = "hnc.x-k8s.io/inherited-from"
_KYVERNO = "generate.kyverno.io/"
_CLUSTER_SECRET = "clustersecret.io/created-by"


@dataclass(frozen=True, slots=True)
class Copies:
    """Where a controller copies a Secret: namespaces, NAMESPACE/NAME, or what chooses them; none:
    everywhere.

    `asked`: only where somebody asks for it there.
    """

    by: str
    where: tuple[str, ...]
    asked: bool = False

    @property
    def exact(self) -> bool:
        """Whether they are all named, rather than chosen by a pattern or by labels."""
        plain = all(re.fullmatch(r"[a-z0-9-]+(/[a-z0-9.-]+)?", one) for one in self.where)
        return bool(self.where) and plain and not self.asked


def source_of(secret: SecretObject) -> tuple[str, str]:
    """Who keeps a Secret as a copy, and of which it is one, as far as its marks tell; ('', '') for
    no copy.
    """
    meta, notes, labels = _marks(secret)
    name = str(meta["name"])
    if notes.get(f"{_REFLECTOR}reflects"):
        return "Reflector", notes[f"{_REFLECTOR}reflects"]
    for mark in ("replicate-from", "replicated-by", "replicated-from-version", "replicated-at"):
        if found := notes.get(f"{_REPLICATOR}{mark}"):
            return "the replicator", found if mark in ("replicate-from", "replicated-by") else ""
    if f"{_KUBED}origin" in notes or f"{_KUBED}origin.name" in labels:
        return "config-syncer", _joined(
            labels.get(f"{_KUBED}origin.namespace"), labels.get(f"{_KUBED}origin.name")
        )
    if labels.get(_HNC):
        return "the Hierarchical Namespace Controller", _joined(labels[_HNC], name)
    if labels.get(f"{_KYVERNO}rule-name"):
        return "Kyverno", _joined(
            labels.get(f"{_KYVERNO}source-namespace"), labels.get(f"{_KYVERNO}source-name") or name
        )
    return ("ClusterSecret", "") if _CLUSTER_SECRET in notes else ("", "")


def _joined(namespace: str | None, name: str | None) -> str:
    return f"{namespace}/{name}" if namespace and name else ""


def of(secret: SecretObject) -> Iterator[Copies]:
    """Where it is copied to, as it says itself."""
    _, notes, labels = _marks(secret)
    if _true(notes.get(f"{_REFLECTOR}reflection-allowed")):
        auto = _true(notes.get(f"{_REFLECTOR}reflection-auto-enabled"))
        kinds = ("auto-namespaces", "auto-namespaces-selector") if auto else ()
        marks = (*kinds, "allowed-namespaces", "allowed-namespaces-selector")
        where = next(
            filter(None, (notes.get(f"{_REFLECTOR}reflection-{mark}") for mark in marks)), ""
        )
        yield Copies("Reflector", _listed(where), not auto)
    pushed = [
        notes[one]
        for mark in ("replicate-to", "replicate-to-matching")
        if (one := _REPLICATOR + mark) in notes
    ]
    if pushed:
        yield Copies("the replicator", tuple(part for one in pushed for part in _listed(one)))
    elif _true(notes.get(f"{_REPLICATOR}replication-allowed")):
        yield Copies(
            "the replicator",
            _listed(notes.get(f"{_REPLICATOR}replication-allowed-namespaces", "")),
            True,
        )
    for mark, what in (("sync", ""), ("sync-contexts", "the cluster ")):
        if (found := notes.get(_KUBED + mark)) is not None:
            yield Copies("config-syncer", tuple(what + one for one in _listed(found)))
    if f"{_KYVERNO}clone-source" in labels:
        yield Copies("Kyverno", ())


def _marks(
    secret: SecretObject,
) -> tuple[Mapping[str, Any], Mapping[str, str], Mapping[str, str]]:
    meta = secret["metadata"]
    return meta, meta.get("annotations") or {}, meta.get("labels") or {}


def _true(text: str | None) -> bool:
    return str(text).lower() == "true"


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def unfollowed(copies: Copies, store: str, name: str, followed: Set[str]) -> Iterator[Finding]:
    """A warning where a Secret `name`, which `store` writes, has copies that are not `followed`
    (NAMESPACE/NAME).
    """
    there = [one if "/" in one else f"{one}/{name}" for one in copies.where]
    missing = [one for one in there if one not in followed] if copies.exact else there
    if copies.exact and not missing:
        return
    where = ", ".join(missing if copies.exact else copies.where) or "every namespace"
    may = "may copy" if copies.asked else "copies"
    text = (
        f"{copies.by} {may} {store} to {where}: who takes it there keeps the old key, and is"
        " not looked at"
    )
    if not copies.exact and followed:
        text += f", but for {', '.join(sorted(followed))}"
    entry = (
        f"{{uses: kubernetes, secret: {missing[0] if copies.exact else f'NAMESPACE/{name}'}, …,"
        " follows: true}"
    )
    yield Finding(
        Level.WARNING,
        text,
        f"a store for each copy, {entry}: then its users are found and restarted, too",
    )
