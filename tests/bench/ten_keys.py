"""Ten keys of one workload on a real Kubernetes and Vault: `rotate` of all at once, beside the shell
script for each of them in turn.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rotator.demo.world import _installed
from tests.acceptance.test_kubernetes import KubernetesWorld
from tests.bench import cluster
from tests.servers import manifests
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_space import KEY, SECRET

_ROUNDS = 3
_AIM = 0.2  # x the script
NAMES = [KEY, *(f"{KEY}_{number}" for number in range(1, 10))]


class TenKeys(KubernetesWorld):
    """The pods take ten keys from one Secret, of which Vault holds each as well."""

    def _pods(self, issuer: str) -> None:
        values = {name: self.made_by_hand(name) for name in NAMES if name != KEY}
        values = {KEY: self.first, "other": "1", **values}
        self.kube.apply(manifests.secret(SECRET, self.space.name, **values))
        self.bao.put(self.space.name, **values)
        app, name = str(self.folder / "app"), self.space.name
        environment = [manifests.from_secret(SECRET, key) for key in NAMES]
        spec = manifests.consumer(issuer, app, environment)
        self.space.run(
            manifests.workload("Deployment", "api", name, spec, 3),
            manifests.workload("Deployment", "worker", name, spec, 1),
        )
        self.kube.apply(manifests.service("api", name), manifests.service("worker", name))

    def playbook(self, vault: str = "", kubeconfig: str = "", calm: float = 40.0) -> None:
        super().playbook(vault, kubeconfig, calm)
        one = self.folder / "playbooks" / "app.yaml"
        usual = json.loads(one.read_text())
        usual["limits"] = {"step": "240s"}  # passes and pauses as everybody has them
        one.unlink()
        for name in NAMES:
            stores = [{**store, "key": name} for store in usual["store"]]
            text = json.dumps({**usual, "store": stores})
            (self.folder / "playbooks" / f"{name.lower()}.yaml").write_text(text)

    def rotate_all(self) -> None:
        done = subprocess.run(
            [*_installed("rotate"), *(name.lower() for name in NAMES), "--wait"],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def rolled_out(self) -> int:
        """How often its pods were made anew."""
        return int(self.kube.get("deployment", "api", self.space.name)["metadata"]["generation"])

    def is_in_order(self) -> None:
        data = self.space.data()
        held = {name: data[name] for name in NAMES}
        assert sorted(self.live) == sorted(held.values())
        stored = self.bao.get(self.space.name)
        assert {name: stored[name] for name in NAMES} == held


def ten_keys() -> None:
    """Ten keys of one workload, each way in a world of its own."""
    from tests.bench.cases import line

    with ExitStack() as stack:
        if (started := cluster.servers(stack)) is None:
            return
        folder, kube, bao = started
        hand, rotator = (_world(folder / name, kube, bao) for name in ("hand", "rotator"))
        for world in (hand, rotator):
            stack.callback(world.close)
        one_by_one = [_timed(lambda: _each_by_hand(hand)) for _ in range(_ROUNDS)]
        before, together = rotator.rolled_out, []
        for _ in range(_ROUNDS):
            together.append(_timed(rotator.rotate_all))
            rotator.is_in_order()
        roll_outs = (rotator.rolled_out - before) / _ROUNDS
    script, ours = statistics.median(one_by_one), statistics.median(together)
    line("the careful script, ten times", f"{script:.1f} s", "10 roll-outs")
    told = f"{ours / script:.2f} x the script ({_AIM:g}); {roll_outs:.1f} roll-outs"
    line("`rotate` of all ten", f"{ours:.1f} s", told)


def _world(folder: Path, kube: Kube, bao: Bao) -> TenKeys:
    folder.mkdir()
    world = TenKeys(folder, kube, bao)
    for traffic in world.traffic:
        traffic.stop()  # only the rotations are measured
    return world


def _each_by_hand(world: TenKeys) -> None:
    for name in NAMES:
        cluster.by_hand(world, KEY=name, CAREFUL="1")
    world.is_in_order()


def _timed(act: Callable[[], None]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun
