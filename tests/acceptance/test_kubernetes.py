"""A key → Vault and a Secret of Kubernetes → pods by environment and by volume, under traffic, with
everything failing.

Real etcd, API server, kubelet and containerd; OpenBao; the installed `rotate` as
deploy/kubernetes/rbac.yaml lets it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance import kills
from tests.acceptance.issued import Issued
from tests.servers import manifests
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_space import KEY, SECRET, Space
from tests.servers.tools import HOST, wait_for
from tests.servers.toxiproxy import Toxiproxy

pytestmark = pytest.mark.timeout(1500)  # the first one may have to wait until Kubernetes is built


class KubernetesWorld(Issued):
    """Vault, a Secret; three pods with the key in their environment, one with it in a volume;
    traffic to both.
    """

    def __init__(self, folder: Path, kube: Kube, bao: Bao) -> None:
        super().__init__(folder)
        self.kube, self.bao = kube, bao
        self.space = Space(kube, self.first)
        bao.put(self.space.name, **{KEY: self.first, "other": "1"})
        (folder / "token").write_text(bao.root_token)
        self._pods(kube.inward(self.issuer))
        self.addresses = {name: kube.outward(name, self.space.name) for name in ("api", "worker")}
        self.playbook()
        self.serve(self.addresses.values())

    def playbook(self, vault: str = "", kubeconfig: str = "", calm: float = 40.0) -> None:
        config = kubeconfig or self.space.kubeconfig
        in_vault = {
            "uses": "vault",
            "path": f"secret/{self.space.name}",
            "key": KEY,
            "address": vault or self.bao.url,
        }
        in_secret = {
            "uses": "kubernetes",
            "secret": f"{self.space.name}/{SECRET}",
            "key": KEY,
            "kubeconfig": config,
        }
        calls = [
            {"uses": "http", "url": f"{url}/", "expect": {"status": 200}}
            for url in self.addresses.values()
        ]
        self.write_playbook(
            {
                "description": "the key of a service in Kubernetes, kept in Vault, too",
                "store": [{**in_vault, "auth": {"file": str(self.folder / "token")}}, in_secret],
                "restart": [
                    {
                        "uses": "kubernetes",
                        "workloads": "discover",
                        "kubeconfig": config,
                        "calm": calm,
                    }
                ],
                "verify": [{"uses": "provider"}, *calls],
                "limits": {"step": "240s", "pass_interval": "50ms", "list_lag": "100ms"},
            }
        )

    def _pods(self, issuer: str) -> None:
        app, name = str(self.folder / "app"), self.space.name
        by_env = manifests.consumer(issuer, app, [manifests.from_secret(SECRET, KEY)])
        file = {"name": f"{KEY}_FILE", "value": f"/keys/{KEY}"}
        by_file = manifests.consumer(
            issuer, app, [file], mounts={"/keys": {"secret": {"secretName": SECRET}}}
        )
        self.space.run(
            manifests.workload("Deployment", "api", name, by_env, 3),
            manifests.workload("Deployment", "worker", name, by_file, 1),
        )
        self.kube.apply(manifests.service("api", name), manifests.service("worker", name))

    @property
    def in_vault(self) -> str:
        return self.bao.get(self.space.name)[KEY]

    def pods_hold(self) -> list[str]:
        """What each pod of the Deployment by environment was started with."""
        return self.space.held("api")

    def promises_hold(self) -> None:
        """One live key; Vault, the Secret and every pod have it; the other fields stayed; nobody
        noticed.
        """
        key = self.in_vault
        assert self.live == [key] and self.space.data() == {KEY: key, "other": "1"}
        assert self.bao.get(self.space.name) == {KEY: key, "other": "1"}
        assert self.pods_hold() == [key] * 3
        self.nobody_noticed()

    def close(self) -> None:
        super().close()
        self.space.close()


@pytest.fixture
def world(tmp_path: Path, kube: Kube, bao: Bao) -> Iterator[KubernetesWorld]:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pods read the service's program there
    found = KubernetesWorld(tmp_path, kube, bao)
    yield found
    found.close()


def test_a_key_goes_to_vault_and_into_all_pods_and_nobody_notices(
    world: KubernetesWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    code, out = world.rotate()
    took = time.monotonic() - begun
    assert code == 0, out
    world.promises_hold()
    assert world.first not in world.live and world.requests > 40 * 0.7 * took
    assert "deployment/api" in out or "2/2" in out
    with capsys.disabled():
        print(f"\nkubernetes and vault: {took:.1f} s, {world.requests} requests, 0 failed")


def test_what_each_pod_was_started_with_is_read_where_the_playbook_wants_it(
    world: KubernetesWorld,
) -> None:
    """`env:` for those by environment; the one with a mounted Secret has an entry of its own."""
    world.space.may(
        lambda rule: True,
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    )
    playbook = json.loads((world.folder / "playbooks" / "app.yaml").read_text())
    (usual,) = playbook["restart"]
    named = [
        {**usual, "workloads": [f"deployment/{world.space.name}/{name}"]}
        for name in ("api", "worker")
    ]
    world.write_playbook({**playbook, "restart": [{**named[0], "env": KEY}, named[1]]})
    code, out = world.rotate()
    assert code == 0 and "(read)" in out, out
    world.promises_hold()


def test_a_key_that_pods_cannot_work_with_is_undone(world: KubernetesWorld) -> None:
    """The new pods crash at start: their own words are told, the old ones serve on, the new key is
    destroyed.
    """
    world.only.write_text(world.first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert world.live == [world.first] == [world.in_vault]
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_kill_of_rotate_at_any_boundary_is_survived(
    world: KubernetesWorld,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = kills.told("kubernetes", world.survives_kills())
    record_property("kills", seen)
    with capsys.disabled():
        print(f"\n{seen}; {world.requests} requests, 0 failed")


class Syncing:
    """What External Secrets does: fills the Secret from Vault when it is asked to by an annotation,
    and only then.
    """

    GROUP = "external-secrets.io"

    def __init__(self, world: KubernetesWorld) -> None:
        self._world, self._stop, self.syncs = world, threading.Event(), 0
        kube, name = world.kube, world.space.name
        schema = {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        }
        names = {
            "plural": "externalsecrets",
            "singular": "externalsecret",
            "kind": "ExternalSecret",
        }
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        spec = {"group": self.GROUP, "names": names, "scope": "Namespaced", "versions": [version]}
        meta = {"name": f"externalsecrets.{self.GROUP}"}
        kube.apply(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": meta,
                "spec": spec,
            }
        )
        kube.kubectl(
            "wait",
            "--for=condition=Established",
            f"crd/externalsecrets.{self.GROUP}",
            "--timeout=30s",
        )
        kube.apply(
            {
                "apiVersion": f"{self.GROUP}/v1",
                "kind": "ExternalSecret",
                "metadata": {"name": "keys", "namespace": name},
            }
        )
        uid = kube.get("externalsecret", "keys", name)["metadata"]["uid"]
        owner = {
            "apiVersion": f"{self.GROUP}/v1",
            "kind": "ExternalSecret",
            "name": "keys",
            "uid": uid,
            "controller": True,
        }
        kube.kubectl(
            "patch",
            "secret",
            SECRET,
            "-n",
            name,
            "-p",
            json.dumps({"metadata": {"ownerReferences": [owner]}}),
        )
        rule = ["--verb=patch", f"--resource=externalsecrets.{self.GROUP}"]
        kube.kubectl("create", "role", "syncs", "-n", name, *rule)
        kube.kubectl(
            "create",
            "rolebinding",
            "syncs",
            "-n",
            name,
            "--role=syncs",
            f"--serviceaccount={name}:rotator",
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asked, name = "", self._world.space.name
        while not self._stop.wait(0.2):
            meta = self._world.kube.get("externalsecret", "keys", name)["metadata"]
            wanted = (meta.get("annotations") or {}).get("force-sync", "")
            if wanted != asked:
                asked, self.syncs = wanted, self.syncs + 1
                patch = json.dumps({"stringData": {KEY: self._world.in_vault}})
                manager = "--field-manager=external-secrets"
                self._world.kube.kubectl(
                    "patch", "secret", SECRET, "-n", name, "-p", patch, manager
                )

    def __enter__(self) -> Syncing:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_secret_that_a_controller_fills_is_followed(world: KubernetesWorld) -> None:
    """Refused before anything is generated; declared as followed, it is asked to sync, and restarts
    wait for it.
    """
    with Syncing(world) as controller:
        code, out = world.rotate()
        assert code == 6 and "managed by ExternalSecret keys" in out and "follows: true" in out, out
        assert world.live == [world.first]
        playbook = json.loads((world.folder / "playbooks" / "app.yaml").read_text())
        playbook["store"][1]["follows"] = True
        world.write_playbook(playbook)
        code, out = world.rotate()
        assert code == 0, out
        assert world.first not in world.live and controller.syncs == 1
        world.promises_hold()
        world.only.write_text(world.in_vault)
        code, out = world.rotate()
        assert code == 3, out
        assert controller.syncs == 3, "there and back"
        world.promises_hold()


def _in_the_middle(
    world: KubernetesWorld,
    when: Callable[[], bool],
    down: Callable[[], None],
    up: Callable[[], None],
) -> str:
    """A rotation during which something goes away for ten seconds, once `when` is so."""
    process = world.start()
    try:
        wait_for(
            "the middle",
            when,
            60,
            0.02,
            lambda: "rotate ended" if process.poll() is not None else "",
        )
        down()
        time.sleep(10)  # a real outage has a length
    finally:
        up()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


@pytest.mark.parametrize("part", ["apiserver", "etcd"])
def test_a_control_plane_that_is_gone_for_ten_seconds_is_waited_for(
    world: KubernetesWorld, part: str
) -> None:
    def back() -> None:
        world.kube.restart(part)
        wait_for("apiserver", lambda: world.kube.call("GET", "/readyz"), 60)

    _in_the_middle(
        world, lambda: world.in_vault != world.first, lambda: world.kube.kill(part), back
    )
    world.promises_hold()


@pytest.mark.parametrize("how", ["killed", "sealed"])
def test_a_vault_that_is_gone_for_ten_seconds_is_waited_for(
    world: KubernetesWorld, how: str
) -> None:
    def down() -> None:
        world.bao.seal() if how == "sealed" else world.bao.kill("bao")

    def up() -> None:
        world.bao.unseal() if how == "sealed" else world.bao.back()

    _in_the_middle(world, lambda: len(world.live) == 2, down, up)
    world.promises_hold()


@pytest.mark.parametrize(
    ("toxic", "attributes"),
    [
        ("latency", {"latency": 400, "jitter": 200}),
        ("reset_peer", {"timeout": 50}),
        ("limit_data", {"bytes": 900}),
    ],
)
def test_a_bad_wire_delays_and_breaks_nothing(
    world: KubernetesWorld, tmp_path: Path, toxic: str, attributes: dict[str, int]
) -> None:
    """Between rotate and both Vault and the API server, for ten seconds in the middle."""
    with Toxiproxy(tmp_path / "toxiproxy") as proxy:
        api = proxy.proxy("api", f"{HOST}:{world.kube.port}")
        vault = proxy.proxy("vault", world.bao.url.removeprefix("http://"))
        config = Path(world.space.kubeconfig)
        through = config.with_name(f"{config.name}-wire")
        through.write_text(config.read_text().replace(f"{HOST}:{world.kube.port}", api))
        world.playbook(
            vault=f"http://{vault}", kubeconfig=str(through), calm=1.0
        )  # kubelets have another wire

        def down() -> None:
            for name in ("api", "vault"):
                proxy.toxic(name, toxic, **attributes)

        def up() -> None:
            for name in ("api", "vault"):
                proxy.heal(name)

        _in_the_middle(world, lambda: len(world.live) == 2, down, up)
    world.promises_hold()


class Reverting:
    """Something that puts the old value back into the Secret again and again, as a GitOps
    controller does.
    """

    def __init__(self, world: KubernetesWorld) -> None:
        self._world, self._stop = world, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        patch = json.dumps({"stringData": {KEY: self._world.first}})
        while not self._stop.wait(0.2):
            self._world.kube.kubectl(
                *(
                    "patch",
                    "secret",
                    SECRET,
                    "-n",
                    self._world.space.name,
                    "-p",
                    patch,
                    "--field-manager=gitops",
                )
            )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_secret_that_is_put_back_stops_the_revocation_and_its_writer_is_named(
    world: KubernetesWorld,
) -> None:
    process = world.in_grace()
    with Reverting(world):
        out, _ = process.communicate(timeout=120)
        due = world.command("rotate", "--due")
    assert process.returncode == due.returncode == 4, out
    assert (
        "written by gitops" in world.command("rotator", "show", "app").stdout
        and world.first in world.live
    )
    world.nobody_noticed()


def test_a_roll_back_during_grace_stops_the_revocation(world: KubernetesWorld) -> None:
    """What it was rolled back to may take its key from anywhere; restarted on purpose, it counts
    again.
    """
    process = world.in_grace()
    key, name = world.in_vault, world.space.name
    world.kube.kubectl("rollout", "undo", "deployment/api", "-n", name)
    world.kube.rolled_out("deployment/api", namespace=name)
    out, _ = process.communicate(timeout=120)
    due = world.command("rotate", "--due")
    assert process.returncode == due.returncode == 4 and world.first in world.live, out
    told = world.command("rotator", "show", "app").stdout
    assert "pod/api-" in told and "may still hold key_" in told
    world.kube.kubectl("rollout", "restart", "deployment/api", "-n", name)
    world.kube.rolled_out("deployment/api", namespace=name)
    done = world.command("rotator", "resume", "app", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.pods_hold() == [key] * 3
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_deployments_of_one_secret_are_restarted_in_waves_with_few_requests(
    tmp_path: Path, kube: Kube, capsys: pytest.CaptureFixture[str]
) -> None:
    """Discovered, ten at a time, watched by one watch for each kind.

    The API server counts what it was asked.
    """
    world = _Fifty(tmp_path, kube)
    try:
        begun = time.monotonic()
        code, out = world.rotate()
        took = time.monotonic() - begun
        assert code == 0, out
        held = {
            kube.variable(one["metadata"]["name"], world.space.name, KEY)
            for one in kube.pods(world.space.name)
        }
        assert held == {world.space.data()[KEY]} != {world.first}
        asked = kube.requests_of("rotator", world.space.name)
        with capsys.disabled():
            print(
                f"\n50 deployments: {took:.0f} s, {asked.total()} requests,"
                f" {asked.total() / 50:.1f} a workload"
            )
        assert asked.total() <= 6 * 50, asked
    finally:
        world.close()


class _Fifty(Issued):
    def __init__(self, folder: Path, kube: Kube) -> None:
        super().__init__(folder)
        self.space = Space(kube, self.first)
        self.space.run(*(self.space.user(f"app{number:02}") for number in range(50)))
        config, secret = self.space.kubeconfig, f"{self.space.name}/{SECRET}"
        self.write_playbook(
            {
                "store": [
                    {"uses": "kubernetes", "secret": secret, "key": KEY, "kubeconfig": config}
                ],
                "restart": [{"uses": "kubernetes", "workloads": "discover", "kubeconfig": config}],
                "limits": {"step": "300s", "pass_interval": "50ms", "list_lag": "100ms"},
            }
        )

    def close(self) -> None:
        super().close()
        self.space.close()
