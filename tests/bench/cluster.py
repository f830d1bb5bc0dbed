"""A rotation end to end on a real Kubernetes and Vault, beside its floor and a shell script of the
same five steps.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import ssl
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from rotator.settings import Settings
from rotator.usecases.service import Request, Service
from tests.acceptance.test_kubernetes import KubernetesWorld
from tests.bench.floor import STEPS, Timeline, until_gone
from tests.servers.bao import Bao
from tests.servers.kube import Kube
from tests.servers.kube_space import KEY, SECRET
from tests.servers.tools import HOST

_ROUNDS = 7
_BY_HAND = Path(__file__).with_name("by_hand.sh")


def cluster() -> None:
    """A key into Vault and a Secret, four pods restarted, the old key revoked; each way in a world
    of its own.
    """
    with ExitStack() as stack:
        if (started := servers(stack)) is None:
            return
        folder, kube, bao = started
        worlds = [
            _world(folder / name, kube, bao) for name in ("hand", "careful", "command", "daemon")
        ]
        for world in worlds:
            stack.callback(world.close)
        hand, careful, command, daemon = worlds
        service = _service(daemon)
        stack.callback(service.close)
        timelines: list[Timeline] = []
        ways: dict[str, Callable[[], None]] = {
            _HASTY: lambda: by_hand(hand),
            _CAREFUL: lambda: by_hand(careful, CAREFUL="1"),
            "`rotate`": lambda: _rotate(command),
            "in one process": lambda: timelines.append(_in_process(service, daemon)),
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
            assert all(len(world.live) == 1 for world in worlds)
    _tell(wall, busy, timelines[1:])


_HASTY, _CAREFUL = "by hand", "by hand, old pods waited for, the old key seen dead"
_AIMS = {
    "`rotate`": (1.15, 1.0),
    "in one process": (1.05, 1.0),
}  # x the floor, x the careful script


def _tell(
    wall: dict[str, list[float]], busy: dict[str, list[float]], timelines: list[Timeline]
) -> None:
    from tests.bench.cases import line

    parts = {
        part: statistics.median(one.floor()[part] for one in timelines)
        for part in timelines[0].floor()
    }
    floor = sum(parts.values())
    line(
        "the floor: the slowest calls in a row",
        f"{floor:.2f} s",
        ", ".join(f"{p} {s:.2f}" for p, s in parts.items()),
    )
    beside, worked = statistics.median(wall[_CAREFUL]), statistics.median(busy[_CAREFUL])
    for name in wall:
        took, cpu = statistics.median(wall[name]), statistics.median(busy[name])
        of_floor, of_script = (f" ({aim:g})" for aim in _AIMS[name]) if name in _AIMS else ("", "")
        ratio = (
            f"{took / floor:.2f} x the floor{of_floor}, {took / beside:.2f} x the careful"
            f" script{of_script}"
        )
        line(name, f"{took:.2f} s", f"{ratio}; CPU {cpu:.2f} s, {cpu / worked:.1f} x")
    for step in STEPS:
        own = statistics.median(one.above()[step] for one in timelines)
        line(f"  {step}, above its part of the floor", f"{own * 1000:.0f} ms")


def servers(stack: ExitStack) -> tuple[Path, Kube, Bao] | None:
    """A folder for worlds, Kubernetes and a Vault; None, and why is told, where these are not."""
    folder = Path(tempfile.mkdtemp(prefix="rotator-bench-"))
    folder.chmod(0o755)
    try:
        return (
            folder,
            stack.enter_context(Kube(folder / "kube")),
            stack.enter_context(Bao(folder / "bao")),
        )
    except pytest.skip.Exception as why:
        print(f"  not measured: {why}")
        return None


def _world(folder: Path, kube: Kube, bao: Bao) -> KubernetesWorld:
    folder.mkdir()
    world = KubernetesWorld(folder, kube, bao)
    for traffic in world.traffic:
        traffic.stop()  # only the rotation is measured
    path = folder / "playbooks" / "app.yaml"
    playbook = json.loads(path.read_text())
    playbook["limits"] = {"step": "240s"}  # passes and pauses as everybody has them
    path.write_text(json.dumps(playbook))
    return world


def _used() -> float:
    """CPU seconds of this process and of those it has waited for."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def by_hand(world: KubernetesWorld, **more: str) -> None:
    """One run of the shell script, with these variables."""
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


def _rotate(world: KubernetesWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out


def _service(world: KubernetesWorld) -> Service:
    os.environ["DEMO_ADMIN_KEY"] = world.admin_key
    return Service(
        Settings(world.folder / "state", playbooks=(world.folder / "playbooks",)), "bench"
    )


def _in_process(service: Service, world: KubernetesWorld) -> Timeline:
    timeline = Timeline()
    service.observe = timeline
    looking = until_gone(timeline, _pods(world))
    timeline.begun = time.perf_counter()
    report = service.rotate("app", Request(wait=True))
    timeline.ended = time.perf_counter()
    assert report.code == 0, report
    looking.join(60)
    return timeline


def _pods(world: KubernetesWorld) -> Callable[[], set[str]]:
    """Asks which pods of the world still run, over one connection: as little work as can be beside
    what is measured.
    """
    trusted = ssl.create_default_context(cafile=str(world.kube.dir / "ca.crt"))
    connection = http.client.HTTPSConnection(HOST, world.kube.port, timeout=10, context=trusted)

    def ask() -> set[str]:
        path, headers = (
            f"/api/v1/namespaces/{world.space.name}/pods",
            {"authorization": f"Bearer {world.kube.token}"},
        )
        connection.request("GET", path, headers=headers)
        pods = json.loads(connection.getresponse().read())["items"]
        return {
            pod["metadata"]["uid"]
            for pod in pods
            if pod["status"].get("phase") not in ("Succeeded", "Failed")
        }

    return ask
