"""A rotation end to end on a real Kubernetes and Vault, beside a shell script of the same five steps."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rotator.service import Request, Service
from rotator.settings import Settings
from tests.acceptance.test_kubernetes import KubernetesWorld
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_space import KEY, SECRET
from tests.servers.tools import HOST

_ROUNDS = 7
_BY_HAND = Path(__file__).with_name("by_hand.sh")


def cluster() -> None:
    """A key into Vault and a Secret, four pods restarted, the old key revoked; each way in a world of its own."""
    from tests.bench.cases import line

    folder = Path(tempfile.mkdtemp(prefix="rotator-bench-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        try:
            kube = stack.enter_context(Kube(folder / "kube"))
            bao = stack.enter_context(Bao(folder / "bao"))
        except pytest.skip.Exception as why:
            print(f"  not measured: {why}")
            return
        worlds = [_world(folder / name, kube, bao) for name in ("hand", "careful", "command", "daemon")]
        for world in worlds:
            stack.callback(world.close)
        hand, careful, command, daemon = worlds
        service = _service(daemon)
        stack.callback(service.close)
        ways: dict[str, Callable[[], None]] = {
            "by hand": lambda: _by_hand(hand),
            "by hand, old pods waited for": lambda: _by_hand(careful, CAREFUL="1"),
            "`rotate`": lambda: _rotate(command),
            "in the daemon": lambda: _in_process(service),
        }
        wall: dict[str, list[float]] = {name: [] for name in ways}
        busy: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(_ROUNDS + 1):
            for name, act in ways.items():
                begun, used = time.perf_counter(), _used()
                act()
                if number:  # the first round fills caches
                    wall[name].append(time.perf_counter() - begun)
                    busy[name].append(_used() - used)
    base, worked = statistics.median(wall["by hand"]), statistics.median(busy["by hand"])
    for name, aim in zip(wall, ("", "", " (1.1)", " (1.0)"), strict=True):
        took, cpu = statistics.median(wall[name]), statistics.median(busy[name])
        line(name, f"{took:.2f} s", f"{took / base:.2f} x{aim}; CPU {cpu:.2f} s, {cpu / worked:.1f} x")


def _world(folder: Path, kube: Kube, bao: Bao) -> KubernetesWorld:
    folder.mkdir()
    world = KubernetesWorld(folder, kube, bao)
    for traffic in world.traffic:
        traffic.stop()  # only the rotation is measured
    return world


def _used() -> float:
    """CPU seconds of this process and of those it has waited for."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def _by_hand(world: KubernetesWorld, **more: str) -> None:
    kubectl = f"{world.kube.dir}/kubectl --kubeconfig {world.space.kubeconfig}"
    given = {
        "ISSUER": f"http://{HOST}:{world.issuer}",
        "ADMIN_KEY": world.admin_key,
        "VAULT": world.bao.url,
        "VAULT_TOKEN": world.bao.root_token,
        "SPACE": world.space.name,
        "SECRET": SECRET,
        "KEY": KEY,
        "KUBECTL": kubectl,
        "SERVICES": " ".join(world.addresses.values()),
    }
    subprocess.run([str(_BY_HAND)], env={**os.environ, **given, **more}, check=True)
    assert len(world.live) == 1


def _rotate(world: KubernetesWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out


def _service(world: KubernetesWorld) -> Service:
    os.environ["DEMO_ADMIN_KEY"] = world.admin_key
    return Service(Settings(world.folder / "state", playbooks=(world.folder / "playbooks",)), "bench")


def _in_process(service: Service) -> None:
    report = service.rotate("app", Request(wait=True))
    assert report.code == 0, report
