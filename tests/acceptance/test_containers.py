"""A key → a .env → containers of a real engine, by `--env-file` and by Compose, under traffic,
killed at boundaries.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.demo.consumer import key_in
from tests.acceptance import kills
from tests.acceptance.issued import Issued, serves
from tests.servers import images
from tests.servers.engine import Engine, compose_2, compose_file
from tests.servers.tools import HOST, free_port, wait_for

RANDOM_KILLS = int(os.environ.get("ROTATOR_CONTAINER_KILLS", "3"))
KEY = "OPENAI_API_KEY"


class ContainerWorld(Issued):
    """Two containers that use the key, a balancer before them, traffic through it."""

    def __init__(self, folder: Path, engine: Engine, by: str) -> None:
        super().__init__(folder)
        self.engine, self.by = engine, by
        self.environment["DOCKER_HOST"] = engine.host
        (folder / ".env").write_text(f"# the service\n{KEY}={self.first}\nLOG=info\n")
        self.names = [f"app-{n}-{folder.name}".lower().replace("_", "-") for n in (1, 2)]
        self.ports = [free_port(), free_port()]
        for port in self.ports:
            engine.outward(port)
        self.program = (
            "docker-compose" if by == "compose 1" else str(compose_2()) if by == "compose 2" else ""
        )
        inside = engine.inward(self.issuer)
        restart = self._containers(inside) if by == "docker" else self._services(inside)
        for port in self.ports:
            wait_for("both containers", lambda port=port: serves(f"http://{HOST}:{port}"), 30)
        service = self.balance(self.ports)
        self.write_playbook(
            {
                "description": "the key of a service in two containers",
                "store": {"uses": "dotenv", "path": str(folder / ".env"), "key": KEY},
                "restart": restart,
                "evidence": "read",
                "verify": [
                    {"uses": "provider"},
                    {"uses": "http", "url": f"{service}/", "expect": {"status": 200}},
                ],
                "limits": {"step": "20s", "pass_interval": "50ms", "list_lag": "100ms"},
            }
        )
        self.serve([service], per_second=30)

    def _containers(self, inside: str) -> dict[str, Any]:
        file = str(self.folder / ".env")
        for name, port in zip(self.names, self.ports, strict=True):
            self.engine.run(
                name,
                *(
                    "--env-file",
                    file,
                    "-p",
                    f"127.0.0.1:{port}:8080",
                    "-v",
                    f"{self.folder}/app:/app:ro",
                ),
                *("--stop-signal", "TERM", "--health-interval", "300ms", "--health-retries", "30"),
                *("--health-start-period", "60s"),  # a start on a busy machine is slow, not sick
                *("--health-cmd", "bash -c '</dev/tcp/127.0.0.1/8080'"),
                command=[images.python(), "/app/consumer.py", inside],
            )
        settings = {"containers": self.names, "env_file": file, "env": KEY, "settle": 0.5}
        return {"uses": "docker", **settings}

    def _services(self, inside: str) -> dict[str, Any]:
        health = {
            "test": ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/8080"],
            "interval": "300ms",
            "retries": 30,
            "start_period": "60s",
        }
        common = {
            "env_file": ".env",
            "stop_signal": "SIGTERM",
            "healthcheck": health,
            "command": [images.python(), "/app/consumer.py", inside],
        }
        services = {
            name: {
                **common,
                "ports": [f"127.0.0.1:{port}:8080"],
                "volumes": [f"{self.folder}/app:/app:ro"],
            }
            for name, port in zip(self.names, self.ports, strict=True)
        }
        (self.folder / "docker-compose.yml").write_text(compose_file(services))
        self.engine.compose(self.program, self.folder, "up", "-d")
        file, env = str(self.folder / "docker-compose.yml"), KEY
        settings = {
            "services": self.names,
            "file": file,
            "env": env,
            "settle": 0.5,
            "command": [self.program],
        }
        return {"uses": "compose", **settings}

    @property
    def running(self) -> dict[str, str]:
        """Each running container of ours, and the key that its first process was started with."""
        found = [
            each.name
            for each in self.engine.api.containers.list()
            if self.names[0][5:] in each.name
        ]
        return {name: self.engine.variable(name, KEY) for name in sorted(found)}

    def promises_hold(self) -> None:
        """One live key; the file and both containers have it; nobody noticed; no container is left
        over.
        """
        stored = key_in(self.folder / ".env")
        assert self.live == [stored] and list(self.running.values()) == [stored, stored]
        everything = self.engine.api.containers.list(all=True)
        assert sum(self.names[0][5:] in each.name for each in everything) == 2, (
            "a container is left over"
        )
        self.nobody_noticed()

    def close(self) -> None:
        super().close()
        for each in self.engine.api.containers.list(all=True):
            if self.names[0][5:] in each.name:
                each.remove(force=True)


@pytest.fixture(params=["docker", "compose 1", "compose 2"])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, engine: Engine
) -> Iterator[ContainerWorld]:
    found = ContainerWorld(tmp_path, engine, request.param)
    yield found
    found.close()


def test_a_key_goes_into_both_containers_and_nobody_notices(world: ContainerWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()
    assert world.first not in world.live and world.requests > 20


def test_a_key_that_the_containers_cannot_work_with_is_undone(world: ContainerWorld) -> None:
    """The first container ends at its start: the second is not touched, the old key stays, the new
    one is destroyed.
    """
    world.only.write_text(world.first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert world.live == [world.first]
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_containers_survive_a_kill_of_rotate_at_any_boundary(
    world: ContainerWorld,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = world.survives_kills()
    kills.survive_at_instants(world, world.killed_after, RANDOM_KILLS, 6.0)
    record_property("kills", kills.told(world.by, seen))
    with capsys.disabled():
        print(
            f"\n{kills.told(world.by, seen)}; {RANDOM_KILLS} instants; {world.requests} requests, 0"
            " failed"
        )
