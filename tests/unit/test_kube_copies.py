"""Copies of Secrets by their marks, as controllers of other people leave them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rotator.engine.copied import copied
from rotator.integrations.kubernetes import copies as kube_copies
from rotator.integrations.kubernetes.cluster import Cluster
from rotator.integrations.kubernetes.copies import Copies
from rotator.integrations.kubernetes.store import KubernetesStore
from rotator.model import Level
from rotator.playbook.playbook import StoreEntry


def secret(annotations: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "keys",
            "namespace": "app",
            "annotations": annotations,
            "labels": labels,
        }
    }


REFLECTOR, REPLICATOR = "reflector.v1.k8s.emberstack.com/", "replicator.v1.mittwald.de/"
ORIGIN = "kubed.appscode.com/origin"


@pytest.mark.parametrize(
    ("found", "by", "source"),
    [
        (
            secret({REFLECTOR + "reflects": "vault/keys", REFLECTOR + "auto-reflects": "True"}),
            "Reflector",
            "vault/keys",
        ),
        (secret({REPLICATOR + "replicate-from": "vault/keys"}), "the replicator", "vault/keys"),
        (secret({REPLICATOR + "replicated-at": "2026-11-28T09:00:00Z"}), "the replicator", ""),
        (
            secret({ORIGIN: "{}"}, **{f"{ORIGIN}.name": "keys", f"{ORIGIN}.namespace": "vault"}),
            "config-syncer",
            "vault/keys",
        ),
        (
            secret(**{"hnc.x-k8s.io/inherited-from": "vault"}),
            "the Hierarchical Namespace Controller",
            "vault/keys",
        ),
        (
            secret(
                **{
                    "generate.kyverno.io/rule-name": "sync",
                    "generate.kyverno.io/source-namespace": "vault",
                }
            ),
            "Kyverno",
            "vault/keys",
        ),
        (secret({"clustersecret.io/created-by": "ClusterSecrets"}), "ClusterSecret", ""),
        (secret({REFLECTOR + "reflection-allowed": "true", REFLECTOR + "reflects": ""}), "", ""),
        (secret(), "", ""),
    ],
)
def test_a_copy_is_known_by_its_marks(found: dict[str, Any], by: str, source: str) -> None:
    assert kube_copies.source_of(found) == (by, source)


AUTO = {REFLECTOR + "reflection-allowed": "true", REFLECTOR + "reflection-auto-enabled": "true"}


@pytest.mark.parametrize(
    ("annotations", "copies", "exact"),
    [
        (AUTO, Copies("Reflector", ()), False),
        (
            {**AUTO, REFLECTOR + "reflection-auto-namespaces": "web, worker"},
            Copies("Reflector", ("web", "worker")),
            True,
        ),
        (
            {**AUTO, REFLECTOR + "reflection-allowed-namespaces": "team-[0-9]*"},
            Copies("Reflector", ("team-[0-9]*",)),
            False,
        ),
        ({REFLECTOR + "reflection-allowed": "true"}, Copies("Reflector", (), asked=True), False),
        (
            {REPLICATOR + "replicate-to": "web/other,worker"},
            Copies("the replicator", ("web/other", "worker")),
            True,
        ),
        (
            {REPLICATOR + "replicate-to-matching": "tier=web"},
            Copies("the replicator", ("tier=web",)),
            False,
        ),
        (
            {REPLICATOR + "replication-allowed": "true"},
            Copies("the replicator", (), asked=True),
            False,
        ),
        ({"kubed.appscode.com/sync": ""}, Copies("config-syncer", ()), False),
        ({"kubed.appscode.com/sync": "app=kubed"}, Copies("config-syncer", ("app=kubed",)), False),
        (
            {"kubed.appscode.com/sync-contexts": "east"},
            Copies("config-syncer", ("the cluster east",)),
            False,
        ),
    ],
)
def test_a_source_says_where_it_is_copied(
    annotations: dict[str, str], copies: Copies, exact: bool
) -> None:
    assert list(kube_copies.of(secret(annotations))) == [copies] and copies.exact is exact


def test_what_is_copied_nowhere_says_so() -> None:
    assert not list(
        kube_copies.of(secret({"team": "a", REFLECTOR + "reflection-allowed": "false"}))
    )


def _told(monkeypatch: pytest.MonkeyPatch, annotations: dict[str, str], *follows: str) -> list[str]:
    """What a plan says whose playbook writes app/keys and follows these."""
    monkeypatch.setattr(Cluster, "get", lambda self, path: secret(annotations))
    stores = [KubernetesStore(secret="app/keys", key="KEY")]
    stores += [KubernetesStore(secret=one, key="KEY", follows=True) for one in follows]
    playbook: Any = SimpleNamespace(
        stores=[StoreEntry(store.name, store, store.follows) for store in stores]
    )
    found = copied(playbook)
    assert all(one.level is Level.WARNING and "follows: true" in one.hint for one in found)
    return [one.text for one in found]


def test_users_of_copies_that_no_store_names_are_said_to_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = {REPLICATOR + "replicate-to": "web/other,worker"}
    (text,) = _told(monkeypatch, both)
    assert (
        "to web/other, worker/keys: who takes it there keeps the old key, and is not looked at"
        in text
    )
    (text,) = _told(monkeypatch, both, "worker/keys")
    assert "to web/other:" in text
    assert not _told(monkeypatch, both, "worker/keys", "web/other")
    (text,) = _told(monkeypatch, AUTO, "web/keys")
    assert (
        "Reflector copies kubernetes app/keys#KEY to every namespace" in text
        and "but for web/keys" in text
    )
    (text,) = _told(monkeypatch, {REFLECTOR + "reflection-allowed": "true"})
    assert "Reflector may copy" in text
    assert not _told(monkeypatch, {})
