"""What is peculiar to Kubernetes: who wrote which key, who uses a Secret, roll-outs and how they
fail, permissions.

Everything is asked as the service account of deploy/kubernetes/rbac.yaml, at a real cluster with
real pods.
"""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rotator.errors import (
    AccessDenied,
    ConfigError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from rotator.integrations.kubernetes import exec as kube_exec
from rotator.integrations.kubernetes import outages as kube_outages
from rotator.integrations.kubernetes import rollouts as kube_rollouts
from rotator.integrations.kubernetes import users as kube_users
from rotator.integrations.kubernetes import views as kube_views
from rotator.integrations.kubernetes import workloads as kube_workloads
from rotator.integrations.kubernetes.cluster import Cluster, SecretRef
from rotator.integrations.kubernetes.restarter import KubernetesRestarter
from rotator.integrations.kubernetes.store import KubernetesStore
from rotator.integrations.vault.login import KubernetesLogin, VaultAuth
from rotator.integrations.vault.store import VaultStore
from rotator.model import Change, Evidence, Level, Note, NotYet, single
from rotator.playbook.load import Loader
from rotator.playbook.mistakes import Mistake
from rotator.playbook.registry import Registry
from rotator.playbook.yaml import Document
from tests.contract.rolling import rolled
from tests.servers import manifests
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_rollouts import GROUP, Rollouts
from tests.servers.kube_space import KEY, SECRET, Space
from tests.servers.tools import HOST, Failed, wait_for

NOTE = Note("key_1", "inst", "01ROTATION", 1000.0)


@pytest.fixture
def space(kube: Kube) -> Iterator[Space]:
    found = Space(kube)
    yield found
    found.close()


def change(name: str, since: float = 0.0) -> Change:
    return Change(name, since, single("second-value"))


def write(store: KubernetesStore, value: str) -> str:
    held = store.read()
    return store.write(single(value), held.version if held else "", NOTE)


def test_init_reads_the_keys_of_a_secret(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this user may not read is said in the cluster's words."""
    from rotator.errors import AccessDenied
    from rotator.secret import Secret
    from rotator.setup import live

    monkeypatch.setenv("KUBECONFIG", space.kubeconfig)
    found = live.secret_of_cluster(f"{space.name}/{SECRET}")
    assert found.values[KEY] == Secret("first-value")
    assert found.store == {"uses": "kubernetes", "secret": f"{space.name}/{SECRET}"}
    with pytest.raises(AccessDenied, match="cannot get resource"):
        live.secret_of_cluster(f"{space.name}/none")


class TestSecrets:
    def test_other_keys_labels_and_annotations_stay(self, space: Space) -> None:
        space.kube.kubectl("label", "secret", SECRET, "-n", space.name, "team=a")
        space.kube.kubectl("annotate", "secret", SECRET, "-n", space.name, "doc=here")
        write(space.store, "second-value")
        found = space.kube.get("secret", SECRET, space.name)
        assert space.data() == {KEY: "second-value", "other": "1"}
        assert (
            found["metadata"]["labels"] == {"team": "a"}
            and found["metadata"]["annotations"]["doc"] == "here"
        )

    def test_a_change_of_another_key_or_label_is_no_change_of_ours(self, space: Space) -> None:
        version = write(space.store, "second-value")
        before = space.store.read()
        space.kube.kubectl("label", "secret", SECRET, "-n", space.name, "team=b")
        space.kube.kubectl(
            "patch", "secret", SECRET, "-n", space.name, "-p", '{"stringData": {"other": "2"}}'
        )
        assert space.store.read() == before and before is not None
        assert before.version == version and before.note == NOTE and before.by == ""
        space.store.write(single("third-value"), version, NOTE)
        assert space.data() == {KEY: "third-value", "other": "2"}

    def test_two_playbooks_may_write_two_keys_of_one_secret(self, space: Space) -> None:
        version = write(space.store, "second-value")
        before = space.store.read()
        other = replace(space.store, key="other")
        assert (
            write(other, "2")
            and space.store.read() == before
            and before is not None
            and before.version == version
        )

    def test_an_old_value_that_stood_there_for_a_moment_is_a_change_and_its_writer_is_named(
        self, space: Space
    ) -> None:
        version = write(space.store, "second-value")
        for value in ("first-value", "second-value"):
            patch = json.dumps({"stringData": {KEY: value}})
            space.kube.kubectl(
                "patch",
                "secret",
                SECRET,
                "-n",
                space.name,
                "-p",
                patch,
                "--field-manager=argo-like",
            )
        held = space.store.read()
        assert (
            held is not None
            and held.version != version
            and held.note is None
            and held.by == "argo-like"
        )
        assert held.written_at is not None and time.time() - 60 < held.written_at < time.time() + 2
        with pytest.raises(Conflict):
            space.store.write(single("third-value"), version, NOTE)

    def test_a_label_set_between_reading_and_writing_is_written_over_nothing(
        self, space: Space, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held, put = space.store.read(), KubernetesStore._put
        assert held is not None

        def just_before(self: KubernetesStore, *arguments: Any) -> Any:
            monkeypatch.setattr(KubernetesStore, "_put", put)
            space.kube.kubectl("label", "secret", SECRET, "-n", space.name, "team=c")
            return put(self, *arguments)

        monkeypatch.setattr(KubernetesStore, "_put", just_before)
        space.store.write(single("second-value"), held.version, NOTE)
        assert space.kube.get("secret", SECRET, space.name)["metadata"]["labels"] == {"team": "c"}

    def test_what_kubectl_apply_remembers_is_scrubbed(self, space: Space) -> None:
        manifest = manifests.secret(SECRET, space.name, **{KEY: "first-value", "other": "1"})
        space.kube.kubectl("delete", "secret", SECRET, "-n", space.name)
        space.kube.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        (finding,) = space.store.preflight()
        assert finding.level is Level.WARNING and "kubectl apply" in finding.text
        write(space.store, "second-value")
        found = space.kube.get("secret", SECRET, space.name)
        remembered = found["metadata"]["annotations"][
            "kubectl.kubernetes.io/last-applied-configuration"
        ]
        assert (
            base64.b64encode(b"first-value").decode() not in remembered and '"other"' in remembered
        )
        assert remembered.endswith("}\n") and ": " not in remembered, (
            "else it is as kubectl wrote it"
        )

    def test_a_missing_secret_is_told_or_made(self, space: Space) -> None:
        space.kube.kubectl("delete", "secret", SECRET, "-n", space.name)
        assert space.store.read() is None
        assert "there is no such Secret" in space.store.preflight()[0].text
        with pytest.raises(NotFound):
            write(space.store, "second-value")
        making = KubernetesStore(
            secret=f"{space.name}/{SECRET}",
            key=KEY,
            kubeconfig=space.kube.env["KUBECONFIG"],
            create=True,
        )
        assert making.preflight() == []
        version = write(making, "second-value")
        held = making.read()
        assert held is not None and held.version == version and held.note == NOTE

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"immutable": True}, "is immutable"),
            (
                {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}},
                "managed by Flux",
            ),
            (
                {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}},
                "managed by Argo CD",
            ),
        ],
    )
    def test_what_must_not_be_written_is_told_before_anything(
        self, space: Space, change: dict[str, Any], words: str
    ) -> None:
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(change))
        (finding,) = space.store.preflight()
        assert finding.level is Level.ERROR and words in finding.text
        assert replace(space.store, follows=True).preflight() == []

    def test_a_copy_is_refused_as_a_store_and_its_source_named(self, space: Space) -> None:
        """Who keeps it would put back what the source holds, and with it the old key."""
        mark = {"reflector.v1.k8s.emberstack.com/reflects": "vault/keys"}
        patch = {"metadata": {"annotations": mark}}
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(patch))
        (finding,) = space.store.preflight()
        assert (
            finding.level is Level.ERROR
            and "is a copy of vault/keys, which Reflector puts back" in finding.text
        )
        assert "write vault/keys" in finding.hint
        assert replace(space.store, follows=True).preflight() == []

    def test_a_source_tells_its_copies(self, space: Space) -> None:
        assert space.store.copies() == []
        patch = {"metadata": {"annotations": {"replicator.v1.mittwald.de/replicate-to": "web"}}}
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(patch))
        (found,) = space.store.copies()
        assert found.where == ("web",) and space.store.preflight() == []

    @pytest.mark.parametrize("text", ["first-value\n", "first-value\r\n", "\ufefffirst-value"])
    def test_what_stands_around_the_key_stays_and_is_told(self, space: Space, text: str) -> None:
        """`echo` leaves a newline there, and consumers may count on it."""
        patch = {"data": {KEY: base64.b64encode(text.encode()).decode()}}
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(patch))
        (finding,) = space.store.preflight()
        assert finding.level is Level.WARNING and "the key" in finding.text
        for value in ("second-value", "first-value"):
            write(space.store, value)
            data = space.kube.get("secret", SECRET, space.name)["data"]
            assert base64.b64decode(data[KEY]).decode() == text.replace("first-value", value)

    def test_a_secret_that_a_controller_owns_is_followed(self, space: Space) -> None:
        owner = {
            "apiVersion": "never-installed.example/v1",
            "kind": "ExternalSecret",
            "name": "keys",
            "uid": "u-1",
        }
        patch = {"metadata": {"ownerReferences": [{**owner, "controller": True}]}}
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(patch))
        (finding,) = space.store.preflight()
        assert "managed by ExternalSecret keys" in finding.text and "follows: true" in finding.hint
        replace(space.store, follows=True).nudge(
            "r1"
        )  # there is no such object here: nobody is asked, nothing breaks

    def test_a_docker_configuration_is_not_a_key(self, space: Space) -> None:
        config = {**manifests.secret("pull", space.name), "type": "kubernetes.io/dockerconfigjson"}
        config["data"] = {".dockerconfigjson": base64.b64encode(b'{"auths": {}}').decode()}
        space.kube.apply(config)
        store = KubernetesStore(
            secret=f"{space.name}/pull",
            key=".dockerconfigjson",
            kubeconfig=space.kube.env["KUBECONFIG"],
        )
        assert "not a key but a file" in store.preflight()[0].text

    def test_bytes_that_are_no_text_are_told(self, space: Space) -> None:
        patch = {"data": {KEY: base64.b64encode(b"\xff\xfe").decode()}}
        space.kube.kubectl("patch", "secret", SECRET, "-n", space.name, "-p", json.dumps(patch))
        with pytest.raises(PermanentError, match="is no text"):
            space.store.read()

    def test_describe_tells_what_rotated(self, space: Space) -> None:
        write(space.store, "second-value")
        assert "KeyRotated" in space.kube.kubectl(
            "describe", "secret", SECRET, "-n", space.name
        ) or "KeyRotated" in (space.kube.kubectl("get", "events", "-n", space.name))


class TestRollouts:
    def test_every_kind_is_restarted_once_and_runs_with_the_new_key(self, space: Space) -> None:
        space.run(
            space.user("api", replicas=2),
            space.user("db", "StatefulSet"),
            space.user("agent", "DaemonSet"),
        )
        restarter = space.restarter()
        before = {pod["metadata"]["uid"] for pod in space.kube.pods(space.name)}
        write(space.store, "second-value")
        since = time.time()
        progress = rolled(restarter, change("r1", since))
        assert (progress.total, progress.current) == (3, 3)
        assert [space.held(app) for app in ("api", "db", "agent")] == [
            ["second-value"] * 2,
            ["second-value"],
            ["second-value"],
        ]
        after = {pod["metadata"]["uid"] for pod in space.kube.pods(space.name)}
        assert not before & after
        assert all(
            one.started_at is not None and one.started_at > since for one in progress.instances
        )
        assert rolled(space.restarter(), change("r1", since)).converged
        assert {pod["metadata"]["uid"] for pod in space.kube.pods(space.name)} == after, (
            "the same change again is none"
        )

    @pytest.mark.parametrize(
        ("kind", "more"),
        [
            ("StatefulSet", {}),
            ("Deployment", {"strategy": {"type": "Recreate", "rollingUpdate": None}}),
        ],
    )
    def test_the_only_pod_of_a_namespace_may_be_gone_for_a_moment(
        self, space: Space, kind: str, more: dict[str, Any]
    ) -> None:
        space.run(space.user("db", kind, **more))
        write(space.store, "second-value")
        assert rolled(space.restarter(), change("r1")).total == 1 and space.held("db") == [
            "second-value"
        ]

    def test_a_look_reads_what_is_so_now(self, space: Space) -> None:
        """Pods from before a write are older than it, those of a roll-out younger; no watch is
        believed.
        """
        space.run(space.user("api"))
        since = time.time()
        (old,) = space.restarter().shown(Change("look", since, single("x"))).instances
        assert old.started_at is not None and old.started_at < since
        rolled(space.restarter(), change("r1", since))
        space.kube.kubectl("rollout", "undo", "deployment/api", "-n", space.name)
        space.kube.rolled_out("deployment/api", namespace=space.name)
        found = space.restarter().shown(Change("look", since, single("x"))).instances
        assert (
            len(found) == 1
            and found[0].name == f"pod/{space.kube.pods(space.name)[0]['metadata']['name']}"
        )

    def test_two_playbooks_may_restart_one_workload_and_do_not_hold_each_other_up(
        self, space: Space
    ) -> None:
        """Each knows its own restarts by a mark of its own, and looks at nobody who takes the
        other's Secret alone.
        """
        space.kube.apply(manifests.secret("another", space.name, OTHER="first-value"))
        both = manifests.pod(
            env=[manifests.from_secret(SECRET, KEY), manifests.from_secret("another", "OTHER")]
        )
        alone = manifests.pod(env=[manifests.from_secret("another", "OTHER")])
        space.run(
            manifests.workload("Deployment", "both", space.name, both),
            manifests.workload("Deployment", "alone", space.name, alone),
        )
        since = time.time()
        ours, theirs = (
            space.restarter(),
            KubernetesRestarter(workloads="discover", kubeconfig=space.kubeconfig),
        )
        theirs = replace(
            theirs, secrets=(SecretRef(space.cluster, space.name, "another", ("OTHER",)),)
        )
        assert (
            ours.restart(change("r1", since)) is None
            and theirs.restart(change("r2", since)) is None
        )
        assert (
            rolled(ours, change("r1", since)).total,
            rolled(theirs, change("r2", since)).total,
        ) == (1, 2)
        (instance,) = ours.shown(Change("look", since, single("x"))).instances
        assert instance.started_at is not None and instance.started_at > since

    def test_waves_wait_for_each_other(self, space: Space) -> None:
        space.run(*(space.user(f"app{number}") for number in range(4)))
        restarter, seen = space.restarter(wave=2), 0
        while isinstance(restarter.restart(change("r1")), NotYet):
            told = [one for one in self._deployments(space) if self._told(one)]
            ready = [
                one
                for one in told
                if one["status"].get("updatedReplicas")
                == one["status"].get("availableReplicas")
                == 1
            ]
            seen = max(seen, len(told) - len(ready))
            time.sleep(0.05)
        assert len([one for one in self._deployments(space) if self._told(one)]) == 4 and seen <= 2

    def _deployments(self, space: Space) -> list[Any]:
        found: list[Any] = json.loads(
            space.kube.kubectl("get", "deployments", "-n", space.name, "-o", "json")
        )["items"]
        return found

    def _told(self, found: Any) -> bool:
        annotations = found["spec"]["template"]["metadata"].get("annotations") or {}
        return any(name.startswith("rotator/change-") for name in annotations)

    def test_zero_replicas_have_converged_and_show_nothing(self, space: Space) -> None:
        space.run(space.user("api", replicas=0))
        assert [one.level for one in space.restarter().preflight()] == [Level.OK]
        progress = rolled(space.restarter(), change("r1"))
        assert progress.converged and progress.instances == ()

    def test_scaling_in_the_middle_is_waited_for(self, space: Space) -> None:
        space.run(space.user("api"))
        assert space.restarter().restart(change("r1")) is None
        space.kube.kubectl("scale", "deployment/api", "--replicas=3", "-n", space.name)
        assert rolled(space.restarter(), change("r1")).converged
        assert space.held("api") == ["first-value"] * 3

    def test_a_workload_that_was_deleted_meanwhile_is_waited_for_by_nobody(
        self, space: Space
    ) -> None:
        space.run(space.user("api"), space.user("worker"))
        assert space.restarter().restart(change("r1")) is None
        space.kube.kubectl("delete", "deployment/worker", "-n", space.name)
        assert rolled(space.restarter(), change("r1")).total == 1

    def test_a_container_that_crashes_is_told_in_its_own_words(self, space: Space) -> None:
        script = (
            f"test \"${KEY}\" = first-value || {{ echo 'no good: '${KEY}; exit 3; }}; sleep 86400"
        )
        spec = manifests.pod(["sh", "-c", script], env=[manifests.from_secret(SECRET, KEY)])
        space.run(manifests.workload("Deployment", "api", space.name, spec, 2, minReadySeconds=3))
        write(space.store, "second-value-of-the-test")
        assert space.restarter().restart(change("r1")) is None
        with pytest.raises(
            PermanentError, match="deployment/api: CrashLoopBackOff, exit 3"
        ) as told:
            rolled(space.restarter(), change("r1"))
        assert "no good: " in str(told.value) and "kubectl" in told.value.hint
        assert space.held("api") == ["first-value"] * 2, "the old pods serve on"

    def test_a_broken_pod_that_its_statefulset_would_wait_for_is_replaced(
        self, space: Space
    ) -> None:
        """The controller makes no other pod before it is well; undone, it would never be."""
        script = f"test ${KEY} = first-value || exit 3; sleep 86400"
        spec = manifests.pod(["sh", "-c", script], env=[manifests.from_secret(SECRET, KEY)])
        space.run(manifests.workload("StatefulSet", "db", space.name, spec, 2, minReadySeconds=3))
        write(space.store, "second-value")
        assert space.restarter().restart(change("r1")) is None
        with pytest.raises(PermanentError, match="statefulset/db: CrashLoopBackOff, exit 3"):
            rolled(space.restarter(), change("r1"))
        write(space.store, "first-value")
        assert rolled(space.restarter(), change("r1.undo")).converged
        assert space.held("db") == ["first-value"] * 2

    def test_a_broken_pod_that_may_not_be_deleted_is_told_before_and_after(
        self, space: Space
    ) -> None:
        space.may(lambda rule: rule["verbs"] != ["delete"])
        script = f"test ${KEY} = first-value || exit 3; sleep 86400"
        spec = manifests.pod(["sh", "-c", script], env=[manifests.from_secret(SECRET, KEY)])
        space.run(manifests.workload("StatefulSet", "db", space.name, spec, minReadySeconds=3))
        (warning,) = [one for one in space.restarter().preflight() if one.level is Level.WARNING]
        assert "may not delete pods" in warning.text and 'verbs: ["delete"]' in warning.hint
        write(space.store, "second-value")
        with pytest.raises(PermanentError, match="CrashLoopBackOff"):
            rolled(space.restarter(), change("r1"))
        write(space.store, "first-value")
        with pytest.raises(
            AccessDenied, match="statefulset/db waits for its broken pod/db-0"
        ) as told:
            rolled(space.restarter(), change("r1.undo"))
        assert "delete pod db-0" in told.value.hint
        space.kube.kubectl("delete", "pod", "db-0", "-n", space.name)
        assert rolled(space.restarter(), change("r1.undo")).converged and space.held("db") == [
            "first-value"
        ]

    def test_an_image_that_is_not_there_is_told(self, space: Space) -> None:
        space.run(space.user("api"))
        image = {
            "spec": {
                "template": {"spec": {"containers": [{"name": "app", "image": "rotator-none:9"}]}}
            }
        }
        assert space.restarter().restart(change("r1")) is None
        space.kube.kubectl("patch", "deployment/api", "-n", space.name, "-p", json.dumps(image))
        with pytest.raises(PermanentError, match="ErrImageNeverPull"):
            rolled(space.restarter(), change("r1"))

    def test_a_quota_that_forbids_another_pod_is_told(self, space: Space) -> None:
        space.run(space.user("api"))
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "1"}}}
        space.kube.apply({**quota, "metadata": {"name": "one", "namespace": space.name}})
        full = f"/api/v1/namespaces/{space.name}/resourcequotas/one"
        wait_for("quota", lambda: space.kube.call("GET", full)["status"]["used"]["pods"] == "1", 20)
        assert space.restarter().restart(change("r1")) is None
        with pytest.raises(PermanentError, match="exceeded quota"):
            rolled(space.restarter(), change("r1"))

    def test_a_roll_out_that_never_gets_ready_ends_at_its_own_deadline(self, space: Space) -> None:
        spec = manifests.pod(env=[manifests.from_secret(SECRET, KEY)])
        space.run(
            manifests.workload("Deployment", "api", space.name, spec, progressDeadlineSeconds=3)
        )
        probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
        patch = {
            "spec": {
                "template": {"spec": {"containers": [{"name": "app", "readinessProbe": probe}]}}
            }
        }
        space.kube.kubectl("patch", "deployment/api", "-n", space.name, "-p", json.dumps(patch))
        assert space.restarter().restart(change("r1")) is None
        with pytest.raises(PermanentError, match="ProgressDeadlineExceeded"):
            rolled(space.restarter(), change("r1"))


class TestDiscovery:
    def ways(self, space: Space, spec: dict[str, Any], name: str) -> dict[str, Any]:
        return manifests.workload("Deployment", name, space.name, spec, 0)

    def test_every_way_to_take_the_key_is_found_and_no_other(self, space: Space) -> None:
        item = [{"key": KEY, "path": "key"}]
        projected = {
            "projected": {
                "sources": [{"secret": {"name": SECRET, "items": item, "optional": True}}]
            }
        }
        init = {
            **manifests.pod()["containers"][0],
            "name": "init",
            "env": [manifests.from_secret(SECRET, KEY)],
        }
        every = manifests.pod()
        every["containers"][0]["envFrom"] = [{"secretRef": {"name": SECRET, "optional": True}}]
        csi = {"csi": {"driver": "d", "readOnly": True, "nodePublishSecretRef": {"name": SECRET}}}
        space.kube.apply(
            self.ways(
                space, manifests.pod(env=[manifests.from_secret(SECRET, KEY, "MY_KEY")]), "env"
            ),
            self.ways(space, every, "envfrom"),
            self.ways(
                space, manifests.pod(mounts={"/keys": {"secret": {"secretName": SECRET}}}), "volume"
            ),
            self.ways(space, manifests.pod(mounts={"/keys": projected}), "projected"),
            self.ways(space, manifests.pod(mounts={"/keys": csi}), "csi"),
            self.ways(space, manifests.pod(initContainers=[init]), "init"),
            self.ways(
                space, manifests.pod(env=[manifests.from_secret(SECRET, "other")]), "other-key"
            ),
            self.ways(
                space, manifests.pod(env=[manifests.from_secret("another", KEY)]), "other-secret"
            ),
            self.ways(
                space,
                manifests.pod(
                    mounts={
                        "/keys": {
                            "secret": {
                                "secretName": SECRET,
                                "items": [{"key": "other", "path": "x"}],
                            }
                        }
                    }
                ),
                "other-item",
            ),
            self.ways(space, manifests.pod(), "nothing"),
        )
        found = [one.text for one in space.restarter().preflight()]
        assert found == [
            "restarts deployment/csi (volume v0)",
            "restarts deployment/env (env MY_KEY of app)",
            "restarts deployment/envfrom (envFrom of app)",
            "restarts deployment/init (env OPENAI_API_KEY of init)",
            "restarts deployment/projected (volume v0)",
            "restarts deployment/volume (volume v0)",
        ]

    def test_a_cron_job_is_named_and_left_to_its_next_run(self, space: Space) -> None:
        spec = manifests.pod(env=[manifests.from_secret(SECRET, KEY)], restartPolicy="Never")
        job = {"template": {"spec": spec}}
        cron = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
        meta = {"name": "nightly", "namespace": space.name}
        space.kube.apply(
            {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": cron}
        )
        (finding,) = space.restarter().preflight()
        assert "cronjob/nightly takes what the Secret holds at its next run" in finding.text

    def test_a_running_job_a_lone_pod_and_one_left_alone_hold_the_old_key_up_and_nothing_else(
        self, space: Space
    ) -> None:
        spec = manifests.pod(env=[manifests.from_secret(SECRET, KEY)], restartPolicy="Never")
        meta = {"name": "batch", "namespace": space.name}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": meta,
            "spec": {"template": {"spec": spec}},
        }
        lone = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "name": "lone"},
            "spec": spec,
        }
        alone = space.user("alone")
        alone["metadata"]["annotations"] = {"rotator/restart": "false"}
        space.kube.apply(job, lone)
        space.run(space.user("api"), alone)
        wait_for("all four", lambda: len(space.kube.pods(space.name)) == 4, 30)
        told = {one.text for one in space.restarter().preflight() if one.level is Level.WARNING}
        assert any("job/batch runs to its end" in text for text in told)
        assert any("pod/lone belongs to nobody" in text for text in told)
        assert any("deployment/alone is left alone" in text for text in told)
        progress = rolled(space.restarter(), change("r1"))
        assert progress.total == 1 and sorted(one.left_alone for one in progress.instances) == [
            False,
            True,
            True,
            True,
        ]

    def test_named_workloads_are_restarted_and_no_others(self, space: Space) -> None:
        space.run(space.user("api"), space.user("worker"))
        restarter = space.restarter(["deployment/api"])
        assert [one.text for one in restarter.preflight()] == ["restarts deployment/api"]
        assert rolled(restarter, change("r1")).total == 1
        with pytest.raises(NotFound, match="no statefulset/none"):
            space.restarter([f"statefulset/{space.name}/none"]).preflight()

    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"paused": True}, "is paused"),
            ({"kind": "StatefulSet", "updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
            (
                {"kind": "StatefulSet", "updateStrategy": {"rollingUpdate": {"partition": 1}}},
                "partition",
            ),
            ({"kind": "DaemonSet", "updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
        ],
    )
    def test_what_would_go_on_with_the_old_key_is_refused(
        self, space: Space, more: dict[str, Any], words: str
    ) -> None:
        space.kube.apply(space.user("api", more.pop("kind", "Deployment"), 0, **more))
        (finding,) = space.restarter().preflight()
        assert finding.level is Level.ERROR and words in finding.text

    def test_what_is_not_well_already_is_told(self, space: Space) -> None:
        spec = manifests.pod(["false"], env=[manifests.from_secret(SECRET, KEY)])
        space.kube.apply(manifests.workload("Deployment", "api", space.name, spec))
        (finding,) = space.restarter().preflight()
        assert (
            finding.level is Level.ERROR
            and "is not well already: 0 of 1 pods are ready" in finding.text
        )


EXEC = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}


class TestReading:
    """`env`: what a container was started with, by exec."""

    def test_a_pod_that_started_late_with_the_old_key_is_told_from_others(
        self, space: Space
    ) -> None:
        """As where its kubelet had the Secret of before: it is young, and holds the old key."""
        space.may(lambda rule: True, EXEC)
        space.run(space.user("api", replicas=2))
        since = time.time()
        space.kube.kubectl("rollout", "restart", "deployment/api", "-n", space.name)
        space.kube.rolled_out("deployment/api", namespace=space.name)
        wait_for("the new pods alone", lambda: len(space.kube.pods(space.name)) == 2, 60)
        write(space.store, "second-value")
        look = Change("look", since, single("x"))
        read = space.restarter(env=KEY)
        assert read.evidence is Evidence.READ and space.restarter().evidence is Evidence.STARTED
        assert all(one.level is Level.OK for one in read.preflight()), read.preflight()
        held = [one.holds.reveal() for one in read.shown(look).instances if one.holds]
        assert held == ["first-value"] * 2
        assert all(
            (one.started_at or 0) > since - 2 for one in space.restarter().shown(look).instances
        )
        rolled(read, change("r1", since))
        assert [one.holds.reveal() for one in read.shown(look).instances if one.holds] == [
            "second-value"
        ] * 2

    def test_each_container_that_has_the_variable_is_read(self, space: Space) -> None:
        space.may(lambda rule: True, EXEC)
        spec = manifests.pod(env=[manifests.from_secret(SECRET, KEY)])
        more = {
            **spec["containers"][0],
            "name": "more",
            "env": [],
            "envFrom": [{"secretRef": {"name": SECRET}}],
        }
        unrelated = [{"configMapRef": {"name": "settings", "optional": True}}]
        spec["containers"] += [more, {**more, "name": "without", "envFrom": unrelated}]
        space.run(manifests.workload("Deployment", "api", space.name, spec))
        found = space.restarter(env=KEY).shown(Change("look", 0.0, single("x"))).instances
        assert [one.holds.reveal() for one in found if one.holds] == ["first-value"] * 2

    def test_what_cannot_be_read_is_told_before_the_start(self, space: Space) -> None:
        space.run(space.user("api"))
        missing = [
            one.text for one in space.restarter(env=KEY).preflight() if one.level is Level.ERROR
        ]
        assert missing == [
            f"we may not {verb} pods/exec in {space.name}" for verb in ("get", "create")
        ]
        with pytest.raises(AccessDenied, match="does not let us look") as told:
            space.restarter(env=KEY).shown(Change("look", 0.0, single("x")))
        assert "pods/exec" in told.value.hint
        space.may(lambda rule: True, EXEC)
        (error,) = [
            one for one in space.restarter(env="NOT_THERE").preflight() if one.level is Level.ERROR
        ]
        assert (
            "deployment/api has no variable NOT_THERE" in error.text
            and "entry of its own" in error.hint
        )

    def test_a_container_that_says_nothing_has_proven_nothing(self, space: Space) -> None:
        """No printenv in the image, or the pod is gone meanwhile."""
        space.may(lambda rule: True, EXEC)
        spec = manifests.pod(
            env=[manifests.from_secret(SECRET, KEY), {"name": "PATH", "value": "/nowhere"}]
        )
        spec["containers"][0]["command"][0] = "/usr/bin/sleep"
        space.run(manifests.workload("Deployment", "api", space.name, spec))
        (error,) = [one for one in space.restarter(env=KEY).preflight() if one.level is Level.ERROR]
        assert "does not show OPENAI_API_KEY by `printenv`" in error.text
        (instance,) = space.restarter(env=KEY).shown(Change("look", 0.0, single("x"))).instances
        assert instance.holds is None
        assert kube_exec.variable(space.cluster, space.name, "not-there", "app", KEY) is None


class TestPermissions:
    def test_each_missing_verb_is_named_with_its_rule(self, space: Space) -> None:
        rules = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"]}]
        role = json.dumps({"rules": rules})
        space.kube.kubectl("patch", "role", "rotator", "-n", space.name, "--type=merge", "-p", role)
        found = space.restarter(["deployment/api"]).preflight()
        lacking = [one.text for one in found if one.level is Level.ERROR]
        assert lacking == [
            f"we may not watch deployments in {space.name}",
            f"we may not patch deployments in {space.name}",
            f"we may not list pods in {space.name}",
            f"we may not watch pods in {space.name}",
            f"we may not list replicasets in {space.name}",
            f"we may not list controllerrevisions in {space.name}",
        ]
        assert (
            '{apiGroups: ["apps"], resources: ["deployments"], verbs: ["patch"]}' in found[1].hint
        )
        assert [one.text for one in found if one.level is Level.WARNING] == [
            f"we may not get pods/log in {space.name}",
            f"we may not create events in {space.name}",
        ]
        secret = [one.text for one in space.store.preflight()]
        assert secret == [
            f"{space.store.name}: we may not {verb} this Secret" for verb in ("get", "patch")
        ]
        with pytest.raises(AccessDenied, match="secrets"):
            space.store.read()

    def test_without_events_and_logs_it_works_all_the_same(self, space: Space) -> None:
        space.may(lambda rule: rule["resources"][0] not in ("events", "pods/log"))
        spec = manifests.pod(
            ["sh", "-c", f"test ${KEY} = first-value && sleep 86400"],
            [manifests.from_secret(SECRET, KEY)],
        )
        space.run(manifests.workload("Deployment", "api", space.name, spec))
        write(space.store, "second-value")
        assert space.restarter().restart(change("r1")) is None
        with pytest.raises(PermanentError, match="CrashLoopBackOff, exit 1"):
            rolled(space.restarter(), change("r1"))
            # Without a readiness probe a pod counts as ready for the moment until it ends.
            wait_for("its end", lambda: not space.restarter().progress(change("r1")), 30)


class TestClusters:
    def test_a_watch_that_may_not_list_says_so(self, space: Space) -> None:
        with pytest.raises(AccessDenied, match="configmaps|secrets"):
            kube_views.watched(space.cluster, space.name, ["Secret"])

    def test_an_api_server_that_is_gone_for_a_moment_is_waited_for(self, space: Space) -> None:
        """Killed and started again: nothing is lost, and watches go on."""
        space.run(space.user("api"))
        restarter = space.restarter()
        assert restarter.restart(change("r1")) is None
        space.kube.kill("apiserver")
        with pytest.raises(TransientError):
            space.store.read()
        space.kube.restart("apiserver")
        wait_for("apiserver", lambda: space.kube.call("GET", "/readyz"), 60)
        end = time.monotonic() + 60
        while True:
            try:
                if restarter.progress(change("r1")).converged:
                    break
            except TransientError:
                pass
            assert time.monotonic() < end
            time.sleep(0.2)
        assert space.store.read() is not None

    def test_nobody_is_restarted_right_after_an_outage_and_pods_made_then_have_proven_nothing(
        self, space: Space, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A kubelet that was cut off starts containers with the Secret that it saw last."""
        space.run(space.user("api"))
        outages: dict[Cluster, list[tuple[float, float]]] = {}
        monkeypatch.setattr(kube_outages, "_outages", outages)
        since = time.time()
        outages[space.cluster] = [(since - 1, since)]
        waits = space.restarter(calm=30).restart(change("r1", since))
        assert isinstance(waits, NotYet) and "kubelets may still hold the old Secret" in waits.text
        restarter = space.restarter(calm=0.1)
        rolled(restarter, change("r1", since))
        outages.clear()
        (sure,) = restarter.shown(Change("look", since, single("x"))).instances
        outages[space.cluster] = [(since - 1, time.time())]
        (unsure,) = restarter.shown(Change("look", since, single("x"))).instances
        (written_before,) = restarter.shown(Change("look", since - 3600, single("x"))).instances
        assert (
            sure.started_at
            and not unsure.started_at
            and written_before.started_at == sure.started_at
        )

    def test_no_way_to_a_cluster_is_told(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv("KUBECONFIG", raising=False)
        with pytest.raises(ConfigError, match="no way to a cluster"):
            Cluster().get("/version")
        (tmp_path / "config").write_text("apiVersion: v1\nkind: Config\n")
        with pytest.raises(ConfigError, match="no way to a cluster"):
            Cluster(str(tmp_path / "config")).get("/version")

    def test_the_current_context_and_its_namespace_are_those_of_kubectl(self, space: Space) -> None:
        store = KubernetesStore(secret=SECRET, key=KEY, kubeconfig=space.kubeconfig)
        held = store.read()
        assert held is not None and space.cluster.namespace == space.name
        assert Cluster(space.kubeconfig, "test").namespace == space.name
        with pytest.raises(ConfigError):
            Cluster(space.kubeconfig, "none").get("/version")


def _loaded(text: str) -> list[Mistake]:
    mistakes: list[Mistake] = []
    Loader(Registry(), Document("p.yaml", yaml.safe_load(text), {}), mistakes).load("p")
    return mistakes


@pytest.mark.parametrize(
    ("restart", "words"),
    [
        ("{uses: kubernetes, workloads: all}", "`discover` or a list"),
        ("{uses: kubernetes, workloads: [job/x]}", "'job/x' is no workload"),
        ("{uses: kubernetes, workloads: [deployment/a/b/c]}", "is no workload"),
        ("{uses: kubernetes, workloads: discover, wave: 0}", "at least one"),
        ("{uses: kubernetes, workloads: discover, context: other}", "no Secret to discover"),
    ],
)
def test_a_playbook_that_cannot_work_is_told_without_a_cluster(restart: str, words: str) -> None:
    store = "{uses: kubernetes, secret: a/b, key: K}"
    (mistake,) = _loaded(
        f"generate: {{uses: memory, issuer: x}}\nstore: [{store}]\nrestart: [{restart}]\n"
    )
    assert words in mistake.text


@pytest.mark.parametrize("secret", ["a/b/c", "a/"])
def test_a_secret_is_named_as_kubectl_names_it(secret: str) -> None:
    with pytest.raises(ConfigError, match="is no Secret"):
        KubernetesStore(secret=secret, key="K")
    with pytest.raises(ConfigError, match="either"):
        KubernetesStore(secret="a/b")
    assert SecretRef(Cluster(), "a", "b").keys == ()


def test_an_answer_of_the_tests_server_is_no_answer_of_kubernetes(kube: Kube) -> None:
    with pytest.raises(Failed, match="404"):
        kube.call("GET", "/apis/nowhere/v1")


class _Odd(http.server.BaseHTTPRequestHandler):
    """What servers and proxies say instead of an answer."""

    status, body, ready = 200, b"", 200

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        asked = self.path.startswith("/readyz")
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.send_response(self.ready if asked else self.status)
        self.send_header("content-length", "0" if asked else str(len(self.body)))
        self.end_headers()
        self.wfile.write(b"" if asked else self.body)

    do_PATCH = do_POST = do_GET


@pytest.mark.parametrize(
    ("status", "body", "ready", "safe", "kind", "words"),
    [
        (403, b'{"message": "forbidden"}', 200, True, AccessDenied, "forbidden"),
        (403, b'{"message": "forbidden"}', 401, True, AccessDenied, "forbidden"),
        (
            403,
            b'{"message": "roles are not read yet"}',
            500,
            False,
            TransientError,
            "is not ready: roles are not read",
        ),
        (401, b"", 503, False, TransientError, "is not ready"),
        (410, b'{"message": "too old"}', 200, True, NotFound, "too old"),
        (409, b'{"message": "modified"}', 200, False, Conflict, "modified"),
        (422, b'{"message": "invalid"}', 200, False, PermanentError, "invalid"),
        (429, b'{"message": "slow down"}', 200, False, TransientError, "slow down"),
        (
            500,
            b'{"message": "etcdserver: request timed out"}',
            200,
            False,
            OutcomeUnknown,
            "etcdserver",
        ),
        (
            500,
            b'{"message": "etcdserver: request timed out"}',
            200,
            True,
            TransientError,
            "etcdserver",
        ),
        (302, b"", 200, True, PermanentError, "302"),
        (502, b"<html>bad gateway</html>", 200, True, TransientError, "bad gateway"),
        (200, b"<html>log in</html>", 200, True, PermanentError, "does not answer as Kubernetes"),
        (200, b'{"kind": "Sec', 200, False, OutcomeUnknown, "only in part"),
    ],
)
def test_what_servers_and_proxies_say_is_told_by_intent(
    status: int, body: bytes, ready: int, safe: bool, kind: Any, words: str, tmp_path: Path
) -> None:
    handler = type("Here", (_Odd,), {"status": status, "body": body, "ready": ready})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    ).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [
            {"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}
        ],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    try:
        with pytest.raises(kind, match=words):
            Cluster(str(tmp_path / "config")).call("PATCH", "/api/v1/x", {"a": 1}, safe=safe)
    finally:
        server.shutdown()
        server.server_close()


class TestVaultsLogin:
    """OpenBao asks this cluster who a service account's token belongs to (TokenReview)."""

    @pytest.fixture
    def store(self, space: Space, bao: Bao, tmp_path: Path) -> VaultStore:
        kube, name = space.kube, space.name
        bao.put(name, KEY="first-value")
        if "kubernetes/" not in bao.call("GET", "sys/auth"):
            bao.call("POST", "sys/auth/kubernetes", {"type": "kubernetes"})
        server = {
            "kubernetes_host": f"https://{HOST}:{kube.port}",
            "token_reviewer_jwt": kube.token,
        }
        authority = (kube.dir / "ca.crt").read_text()
        bao.call("POST", "auth/kubernetes/config", {**server, "kubernetes_ca_cert": authority})
        rules = f'path "secret/data/{name}" {{ capabilities = ["read", "create", "update"] }}'
        bao.call("PUT", f"sys/policies/acl/{name}", {"policy": rules})
        bound = {
            "bound_service_account_names": ["rotator"],
            "bound_service_account_namespaces": [name],
        }
        bao.call(
            "POST", f"auth/kubernetes/role/{name}", {**bound, "policies": [name], "ttl": "60s"}
        )
        (tmp_path / "token").write_text(kube.kubectl("create", "token", "rotator", "-n", name))
        login = KubernetesLogin(role=name, token_file=str(tmp_path / "token"))
        return VaultStore(
            path=f"secret/{name}", key="KEY", address=bao.url, auth=VaultAuth(kubernetes=login)
        )

    def test_the_pods_service_account_logs_in(self, store: VaultStore) -> None:
        held = store.read()
        assert held is not None and held.values == single("first-value").values
        store.write(single("second-value"), held.version, NOTE)
        assert (again := store.read()) is not None and again.values == single("second-value").values

    def test_another_service_account_is_refused_with_the_path(
        self, space: Space, store: VaultStore, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text(
            space.kube.kubectl("create", "token", "default", "-n", space.name)
        )
        with pytest.raises(
            AccessDenied, match="refuses to log us in .auth/kubernetes/login."
        ) as told:
            store.read()
        assert "service account" in told.value.hint


class TestArgoRollouts:
    @pytest.fixture
    def rollouts(self, space: Space) -> Iterator[Rollouts]:
        with Rollouts(space.kube, space.name) as found:
            kube_users._rollouts.cache_clear()
            yield found
        space.kube.kubectl("delete", f"crd/rollouts.{GROUP}")
        kube_users._rollouts.cache_clear()

    def up(self, space: Space, rollouts: Rollouts) -> None:
        rollouts.make("canary", manifests.pod(env=[manifests.from_secret(SECRET, KEY)]), 2)
        wait_for("the rollout", lambda: space.held("canary") == ["first-value"] * 2, 30)

    def test_one_is_found_and_restarted_once_by_its_own_controller(
        self, space: Space, rollouts: Rollouts
    ) -> None:
        rollouts.allow()
        self.up(space, rollouts)
        restarter = space.restarter()
        assert "restarts rollout/canary (env OPENAI_API_KEY of app)" in [
            one.text for one in restarter.preflight()
        ]
        write(space.store, "second-value")
        wanted = change("r1", time.time())
        progress = rolled(restarter, wanted)
        assert space.held("canary") == ["second-value"] * 2 and progress.total == 1
        assert all((one.started_at or 0) > wanted.since for one in progress.instances)
        before = {pod["metadata"]["uid"] for pod in space.kube.pods(space.name, "canary")}
        rolled(restarter, wanted)
        assert {pod["metadata"]["uid"] for pod in space.kube.pods(space.name, "canary")} == before

    def test_a_step_that_waits_for_a_person_is_told_and_the_old_pods_are_seen(
        self, space: Space, rollouts: Rollouts
    ) -> None:
        rollouts.allow()
        self.up(space, rollouts)
        rollouts.paused = True
        restarter, wanted = space.restarter(["rollout/canary"]), change("r1", time.time())
        assert restarter.restart(wanted) is None

        def told() -> bool:
            return "CanaryPauseStep" in restarter.progress(wanted).text

        wait_for("the pause", told, 20)
        assert not restarter.progress(wanted).converged
        rollouts.paused = False
        rolled(restarter, wanted)

    def test_without_the_rule_it_is_told_and_its_pods_hold_the_old_key_up(
        self, space: Space, rollouts: Rollouts
    ) -> None:
        self.up(space, rollouts)
        space.run(space.user("api"))
        restarter = space.restarter()
        told = [one for one in restarter.preflight() if one.level is Level.WARNING]
        assert any(
            "may not see the Argo Rollouts" in one.text and "argoproj.io" in one.hint
            for one in told
        )
        assert any("of rollout/canary is left alone" in one.text for one in told)
        progress = rolled(restarter, change("r1", time.time()))
        assert progress.total == 1 and sum(one.left_alone for one in progress.instances) == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            {"phase": "Degraded", "message": "ProgressDeadlineExceeded: it timed out"},
            "it timed out",
        ),
        (
            {"abort": True, "phase": "Degraded", "message": "RolloutAborted: metric failed"},
            "metric failed",
        ),
    ],
)
def test_a_rollout_that_argo_gave_up_is_told_in_its_words(
    status: dict[str, Any], words: str
) -> None:
    template = {"metadata": {"annotations": {f"{kube_rollouts._MARK}x": "r1@1.0"}}, "spec": {}}
    meta = {"name": "canary", "generation": 3}
    found = {"kind": "Rollout", "metadata": meta, "spec": {"template": template}}
    assert (
        kube_rollouts.trouble({**found, "status": {**status, "observedGeneration": "2"}}, [], "r1")
        is None
    )
    told = kube_rollouts.trouble(
        {**found, "status": {**status, "observedGeneration": "3"}}, [], "r1"
    )
    assert told is not None and "rollout/canary: Degraded" in told.text and words in told.text


@pytest.mark.parametrize(("annotations", "proven"), [({}, False), ({"{mark}": "r1@1051.2"}, True)])
def test_a_pod_that_was_ordered_once_it_was_calm_is_not_doubted(
    monkeypatch: pytest.MonkeyPatch, annotations: dict[str, str], proven: bool
) -> None:
    """Its creation is told in whole seconds of a clock that is known to half a second: our order
    tells more.
    """
    restarter = KubernetesRestarter(workloads=["deployment/api"], calm=40.0)
    monkeypatch.setattr(Cluster, "outages", [(1000.0, 1010.9)])
    monkeypatch.setattr(Cluster, "skew", 0.6)
    told = {
        name.format(mark=kube_rollouts.mark_of(["deployment/api"])): text
        for name, text in annotations.items()
    }
    meta = {"name": "api-1", "creationTimestamp": "1970-01-01T00:17:31Z", "annotations": told}
    assert restarter._doubtful({"kind": "Pod", "metadata": meta}, since=1005.0) is not proven


def test_a_rollout_without_a_template_of_its_own_is_not_restarted() -> None:
    found = {
        "kind": "Rollout",
        "metadata": {"name": "canary"},
        "spec": {"workloadRef": {"name": "api"}},
    }
    assert kube_workloads.uses(found, "keys", ["KEY"]) == []
    assert "workloadRef" in kube_rollouts.hindrance(found)[0]
    found["spec"] = {"template": {"spec": {}}, "paused": True}
    assert "rollout/canary is paused" in kube_rollouts.hindrance(found)[0]
