"""A key → Vault and a Secret of Kubernetes → pods by environment and by volume, under traffic, with everything failing.

Real etcd, API server, kubelet and containerd; OpenBao; the installed `rotate` as deploy/kubernetes/rbac.yaml lets it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.demo.world import Traffic, _installed
from tests.servers import manifests
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_space import KEY, SECRET, Space
from tests.servers.tools import HOST, wait_for
from tests.servers.toxiproxy import Toxiproxy

BOUNDARY_STEP = int(os.environ.get("ROTATOR_KUBE_KILL_EVERY", "30"))  # 1 = every boundary: half an hour
SEED = int(os.environ.get("ROTATOR_FIRST_SEED", "1"))

_PLAYBOOK = """\
description: the key of a service in Kubernetes, kept in Vault, too
generate:
  uses: openai
  project: proj_demo
  admin_key: {{env: DEMO_ADMIN_KEY}}
  base_url: http://127.0.0.1:{issuer}/v1
store:
  - {{uses: vault, path: secret/{space}, key: OPENAI_API_KEY, address: "{vault}", auth: {{file: "{folder}/token"}}}}
  - {{uses: kubernetes, secret: {space}/{secret}, key: OPENAI_API_KEY, kubeconfig: "{kubeconfig}"}}
restart:
  - {{uses: kubernetes, workloads: discover, kubeconfig: "{kubeconfig}"}}
verify:
  - uses: provider
  - {{uses: http, url: "{api}/", expect: {{status: 200}}}}
  - {{uses: http, url: "{worker}/", expect: {{status: 200}}}}
revoke: {{grace: {grace}, quiet: 0s, watch: 0s}}
limits: {{step: 60s, pass_interval: 50ms, list_lag: 100ms}}
"""


class KubernetesWorld:
    """An issuer, Vault, a Secret; three pods with the key in their environment, one with it in a volume; traffic."""

    def __init__(self, folder: Path, kube: Kube, bao: Bao) -> None:
        self.folder, self.kube, self.bao = folder, kube, bao
        self.admin_key = f"sk-admin-{secrets.token_urlsafe(24)}"
        self.environment = {
            **os.environ,
            "DEMO_ADMIN_KEY": self.admin_key,
            "ROTATOR_HOME": str(folder / "state"),
            "ROTATOR_PLAYBOOKS": str(folder / "playbooks"),
        }
        argv = [sys.executable, "-m", "rotator.demo.issuer", str(folder / "issuer.port")]
        self.issuer_process = subprocess.Popen(argv, env=self.environment, cwd=folder)
        wait_for("the issuer", lambda: (folder / "issuer.port").exists() and (folder / "issuer.port").read_text())
        self.issuer = int((folder / "issuer.port").read_text())
        made = self.admin("POST", "/v1/organization/projects/proj_demo/service_accounts", {"name": "made by hand"})
        self.first = str(made["api_key"]["value"])
        self.space = Space(kube, self.first)
        bao.put(self.space.name, **{KEY: self.first, "other": "1"})
        (folder / "token").write_text(bao.root_token)
        (folder / "app").mkdir()
        source = Path(__file__).with_name("container_consumer.py").read_text()
        (folder / "app" / "consumer.py").write_text(source)
        folder.chmod(0o755)
        self._pods(kube.inward(self.issuer))
        (folder / "playbooks").mkdir()
        self.addresses = {name: kube.outward(name, self.space.name) for name in ("api", "worker")}
        self.playbook()
        self.traffic = [Traffic(address, per_second=20) for address in self.addresses.values()]
        for address in self.addresses.values():
            wait_for("the service", lambda address=address: _serves(address), 30)
        for traffic in self.traffic:
            traffic.start(2)

    def playbook(self, grace: str = "0s", vault: str = "", kubeconfig: str = "") -> None:
        text = _PLAYBOOK.format(
            issuer=self.issuer,
            space=self.space.name,
            secret=SECRET,
            vault=vault or self.bao.url,
            folder=self.folder,
            kubeconfig=kubeconfig or self.space.kubeconfig,
            grace=grace,
            **self.addresses,
        )
        (self.folder / "playbooks" / "app.yaml").write_text(text)

    def _pods(self, issuer: str) -> None:
        app, name = str(self.folder / "app"), self.space.name
        by_env = manifests.consumer(issuer, app, [manifests.from_secret(SECRET, KEY)])
        file = {"name": f"{KEY}_FILE", "value": f"/keys/{KEY}"}
        by_file = manifests.consumer(issuer, app, [file], mounts={"/keys": {"secret": {"secretName": SECRET}}})
        self.space.run(
            manifests.workload("Deployment", "api", name, by_env, 3),
            manifests.workload("Deployment", "worker", name, by_file, 1),
        )
        self.kube.apply(manifests.service("api", name), manifests.service("worker", name))

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.issuer, timeout=10)
        headers = {"authorization": f"Bearer {self.admin_key}"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        return json.loads(connection.getresponse().read())

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_installed("rotate"), "app", *(arguments or ("--wait",))],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def rotate(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(*arguments, **environment)
        out, _ = process.communicate(timeout=300)
        return process.returncode, out

    @property
    def live(self) -> list[str]:
        return [key["value"] for key in self.admin("GET", "/_state")["live"]]

    @property
    def in_vault(self) -> str:
        return self.bao.get(self.space.name)[KEY]

    def pods_hold(self) -> list[str]:
        """What each pod of the Deployment by environment was started with."""
        return self.space.held("api")

    def promises_hold(self) -> None:
        """One live key; Vault, the Secret and every pod have it; the other fields stayed; nobody noticed."""
        key = self.in_vault
        assert self.live == [key] and self.space.data() == {KEY: key, "other": "1"}
        assert self.bao.get(self.space.name) == {KEY: key, "other": "1"}
        assert self.pods_hold() == [key] * 3
        for traffic in self.traffic:
            assert not traffic.failures, traffic.failures[:3]

    @property
    def requests(self) -> int:
        return sum(traffic.requests for traffic in self.traffic)

    def close(self) -> None:
        for traffic in self.traffic:
            traffic.stop()
        self.issuer_process.terminate()
        self.issuer_process.wait(10)
        self.space.close()


def _serves(address: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    pytest.importorskip("hvac", reason="pip install 'rotator[vault]'")
    with Bao(tmp_path_factory.mktemp("bao")) as found:
        yield found


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


def test_a_key_that_pods_cannot_work_with_is_undone(world: KubernetesWorld) -> None:
    """The new pods crash at start: their own words are told, the old ones serve on, the new key is destroyed."""
    (world.folder / "app" / "only").write_text(world.first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert world.live == [world.first] == [world.in_vault]
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_kill_of_rotate_at_any_boundary_is_survived(
    world: KubernetesWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    counting = {
        "PYTHONPATH": str(Path(__file__).parent / "killer"),
        "COUNT_BOUNDARIES": str(world.folder / "boundaries"),
    }
    assert world.rotate(KILL_AT_BOUNDARY="10000", **counting)[0] == 0
    boundaries, killed = int((world.folder / "boundaries").read_text()), 0
    for boundary in range(1 + SEED % BOUNDARY_STEP, boundaries + 1, BOUNDARY_STEP):
        killed += world.rotate(KILL_AT_BOUNDARY=str(boundary), **counting)[0] == -signal.SIGKILL
        code, out = world.rotate()
        assert code == 0, out
        world.promises_hold()
    with capsys.disabled():
        print(f"\nkubernetes: {killed} of {boundaries} boundaries, {world.requests} requests, 0 failed")
    assert killed > 0.6 * boundaries / BOUNDARY_STEP


def _in_the_middle(
    world: KubernetesWorld, when: Callable[[], bool], down: Callable[[], None], up: Callable[[], None]
) -> str:
    """A rotation during which something goes away for ten seconds, once `when` is so."""
    process = world.start()
    try:
        wait_for("the middle", when, 60, 0.02, lambda: "rotate ended" if process.poll() is not None else "")
        down()
        time.sleep(10)  # a real outage has a length
    finally:
        up()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    return out


@pytest.mark.parametrize("part", ["apiserver", "etcd"])
def test_a_control_plane_that_is_gone_for_ten_seconds_is_waited_for(world: KubernetesWorld, part: str) -> None:
    def back() -> None:
        world.kube.restart(part)
        wait_for("apiserver", lambda: world.kube.call("GET", "/readyz"), 60)

    _in_the_middle(world, lambda: world.in_vault != world.first, lambda: world.kube.kill(part), back)
    world.promises_hold()


@pytest.mark.parametrize("how", ["killed", "sealed"])
def test_a_vault_that_is_gone_for_ten_seconds_is_waited_for(world: KubernetesWorld, how: str) -> None:
    def down() -> None:
        world.bao.seal() if how == "sealed" else world.bao.kill("bao")

    def up() -> None:
        world.bao.unseal() if how == "sealed" else world.bao.back()

    _in_the_middle(world, lambda: len(world.live) == 2, down, up)
    world.promises_hold()


@pytest.mark.parametrize(
    ("toxic", "attributes"),
    [("latency", {"latency": 400, "jitter": 200}), ("reset_peer", {"timeout": 50}), ("limit_data", {"bytes": 900})],
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
        world.playbook(vault=f"http://{vault}", kubeconfig=str(through))

        def down() -> None:
            for name in ("api", "vault"):
                proxy.toxic(name, toxic, **attributes)

        def up() -> None:
            for name in ("api", "vault"):
                proxy.heal(name)

        _in_the_middle(world, lambda: len(world.live) == 2, down, up)
    world.promises_hold()


class Reverting:
    """Something that puts the old value back into the Secret again and again, as a GitOps controller does."""

    def __init__(self, world: KubernetesWorld) -> None:
        self._world, self._stop = world, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        patch = json.dumps({"stringData": {KEY: self._world.first}})
        while not self._stop.wait(0.2):
            self._world.kube.kubectl(
                *("patch", "secret", SECRET, "-n", self._world.space.name, "-p", patch, "--field-manager=gitops")
            )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _verified(world: KubernetesWorld) -> subprocess.Popen[str]:
    """A rotation past its pivot, its old key in its grace."""
    world.playbook(grace="12s")
    process = world.start()

    def over() -> bool:
        with contextlib.suppress(sqlite3.Error), sqlite3.connect(world.folder / "state" / "journal.db") as journal:
            return bool(journal.execute("SELECT count(*) FROM debts WHERE open").fetchone()[0] == 1)
        return False

    wait_for("the pivot", over, 60, 0.05, lambda: "rotate ended" if process.poll() is not None else "")
    return process


def _status(world: KubernetesWorld) -> str:
    command = [*_installed("rotator"), "show", "app"]
    return subprocess.run(command, env=world.environment, cwd=world.folder, capture_output=True, text=True).stdout


def test_a_secret_that_is_put_back_stops_the_revocation_and_its_writer_is_named(world: KubernetesWorld) -> None:
    process = _verified(world)
    with Reverting(world):
        out, _ = process.communicate(timeout=120)
        code, _ = _due(world)
    assert process.returncode == code == 4, out
    assert "written by gitops" in _status(world) and world.first in world.live
    for traffic in world.traffic:
        assert not traffic.failures


def test_a_roll_back_during_grace_stops_the_revocation(world: KubernetesWorld) -> None:
    """What it was rolled back to may take its key from anywhere; restarted on purpose, it counts again."""
    process = _verified(world)
    key, name = world.in_vault, world.space.name
    world.kube.kubectl("rollout", "undo", "deployment/api", "-n", name)
    world.kube.rolled_out("deployment/api", namespace=name)
    out, _ = process.communicate(timeout=120)
    code, _ = _due(world)
    assert process.returncode == code == 4 and world.first in world.live, out
    assert "pod/api-" in _status(world) and "may still hold key_" in _status(world)
    world.kube.kubectl("rollout", "restart", "deployment/api", "-n", name)
    world.kube.rolled_out("deployment/api", namespace=name)
    resume = [*_installed("rotator"), "resume", "app", "--wait"]
    done = subprocess.run(resume, env=world.environment, cwd=world.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert world.pods_hold() == [key] * 3
    world.promises_hold()


def _due(world: KubernetesWorld) -> tuple[int, str]:
    command = [*_installed("rotate"), "--due"]
    done = subprocess.run(command, env=world.environment, cwd=world.folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_fifty_deployments_of_one_secret_are_restarted_in_waves_with_few_requests(
    tmp_path: Path, kube: Kube, capsys: pytest.CaptureFixture[str]
) -> None:
    """Discovered, ten at a time, watched by one watch for each kind. The API server counts what it was asked."""
    issuer_argv = [sys.executable, "-m", "rotator.demo.issuer", str(tmp_path / "issuer.port")]
    environment = {**os.environ, "DEMO_ADMIN_KEY": "sk-admin-of-fifty", "ROTATOR_HOME": str(tmp_path / "state")}
    with subprocess.Popen(issuer_argv, env=environment) as issuer:
        try:
            wait_for("the issuer", lambda: (tmp_path / "issuer.port").read_text(), 20)
            world = _Fifty(tmp_path, kube, int((tmp_path / "issuer.port").read_text()))
            begun = time.monotonic()
            done = subprocess.run(
                [*_installed("rotate"), "app", "--wait"], env=environment, cwd=tmp_path, capture_output=True, text=True
            )
            took = time.monotonic() - begun
            assert done.returncode == 0, done.stdout + done.stderr
            held = {
                kube.variable(one["metadata"]["name"], world.space.name, KEY) for one in kube.pods(world.space.name)
            }
            assert held == {world.space.data()[KEY]} != {world.first}
            asked = kube.requests_of("rotator", world.space.name)
            with capsys.disabled():
                print(f"\n50 deployments: {took:.0f} s, {asked.total()} requests, {asked.total() / 50:.1f} a workload")
            assert asked.total() <= 6 * 50, asked
            world.space.close()
        finally:
            issuer.terminate()


class _Fifty:
    def __init__(self, folder: Path, kube: Kube, issuer: int) -> None:
        connection = http.client.HTTPConnection(HOST, issuer, timeout=10)
        path = "/v1/organization/projects/proj_demo/service_accounts"
        connection.request("POST", path, '{"name": "by hand"}', {"authorization": "Bearer sk-admin-of-fifty"})
        self.first = str(json.loads(connection.getresponse().read())["api_key"]["value"])
        self.space = Space(kube, self.first)
        self.space.run(*(self.space.user(f"app{number:02}") for number in range(50)))
        (folder / "playbooks").mkdir()
        config, secret = self.space.kubeconfig, f"{self.space.name}/{SECRET}"
        playbook = {
            "generate": {
                "uses": "openai",
                "project": "proj_demo",
                "admin_key": {"env": "DEMO_ADMIN_KEY"},
                "base_url": f"http://127.0.0.1:{issuer}/v1",
            },
            "store": [{"uses": "kubernetes", "secret": secret, "key": KEY, "kubeconfig": config}],
            "restart": [{"uses": "kubernetes", "workloads": "discover", "kubeconfig": config}],
            "revoke": {"grace": "0s", "quiet": "0s", "watch": "0s"},
            "limits": {"step": "300s", "pass_interval": "50ms", "list_lag": "100ms"},
        }
        (folder / "playbooks" / "app.yaml").write_text(json.dumps(playbook))
