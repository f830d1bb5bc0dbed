"""A key → a .env → containers of a real engine, by `--env-file` and by Compose, under traffic, killed at boundaries."""

from __future__ import annotations

import http.client
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rotator.demo.consumer import key_in
from rotator.demo.world import Traffic, _installed
from tests.servers import images
from tests.servers.engine import Engine, compose_2, compose_file
from tests.servers.tools import free_port, wait_for

BOUNDARY_STEP = int(os.environ.get("ROTATOR_CONTAINER_KILL_EVERY", "24"))  # 1 = every boundary
RANDOM_KILLS = int(os.environ.get("ROTATOR_CONTAINER_KILLS", "3"))
SEED = int(os.environ.get("ROTATOR_FIRST_SEED", "1"))
_ADMIN = "DEMO_ADMIN_KEY"

_PLAYBOOK = """\
description: the key of a service in two containers
generate:
  uses: openai
  project: proj_demo
  admin_key: {{env: DEMO_ADMIN_KEY}}
  base_url: {issuer}/v1
store:
  - {{uses: dotenv, path: "{folder}/.env", key: OPENAI_API_KEY}}
restart:
  - {restart}
evidence: read
verify:
  - uses: provider
  - {{uses: http, url: "{service}/", expect: {{status: 200}}}}
revoke: {{grace: 0s, quiet: 0s, watch: 0s}}
limits: {{step: 20s, pass_interval: 50ms, list_lag: 100ms}}
"""


class Balancer(BaseHTTPRequestHandler):
    """In front of both containers; one that does not take a request is passed over, as nginx's next_upstream does."""

    backends: list[int]
    turn = 0

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        type(self).turn += 1
        ordered = [self.backends[(self.turn + i) % len(self.backends)] for i in range(len(self.backends))]
        for port in ordered:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/")
                status = connection.getresponse().status
                break
            except (OSError, http.client.HTTPException):
                status = 503
            finally:
                connection.close()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


class ContainerWorld:
    """An issuer, two containers that use its key, a balancer before them, traffic through it."""

    def __init__(self, folder: Path, engine: Engine, by: str) -> None:
        self.folder, self.engine, self.by = folder, engine, by
        self.admin_key = f"sk-admin-{secrets.token_urlsafe(24)}"
        self.environment = {
            **os.environ,
            _ADMIN: self.admin_key,
            "ROTATOR_HOME": str(folder / "state"),
            "ROTATOR_PLAYBOOKS": str(folder / "playbooks"),
            "DOCKER_HOST": engine.host,
        }
        argv = [sys.executable, "-m", "rotator.demo.issuer", str(folder / "issuer.port")]
        self.issuer_process = subprocess.Popen(argv, env=self.environment, cwd=folder)
        wait_for("the issuer", lambda: (folder / "issuer.port").exists() and (folder / "issuer.port").read_text())
        self.issuer = int((folder / "issuer.port").read_text())
        inside = engine.inward(self.issuer)
        made = self.admin("POST", "/v1/organization/projects/proj_demo/service_accounts", {"name": "made by hand"})
        (folder / ".env").write_text(f"# the service\nOPENAI_API_KEY={made['api_key']['value']}\nLOG=info\n")
        self.names = [f"app-{n}-{folder.name}".lower().replace("_", "-") for n in (1, 2)]
        self.ports = [free_port(), free_port()]
        for port in self.ports:
            engine.outward(port)
        (folder / "app").mkdir()
        source = Path(__file__).with_name("container_consumer.py").read_text()
        (folder / "app" / "consumer.py").write_text(source)
        self.program = "docker-compose" if by == "compose 1" else str(compose_2()) if by == "compose 2" else ""
        restart = self._containers(inside) if by == "docker" else self._services(inside)
        handler = type("Here", (Balancer,), {"backends": self.ports})
        self.balancer = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.balancer.daemon_threads = True
        threading.Thread(target=self.balancer.serve_forever, daemon=True).start()
        self.service = f"http://127.0.0.1:{self.balancer.server_port}"
        (folder / "playbooks").mkdir()
        text = _PLAYBOOK.format(
            issuer=f"http://127.0.0.1:{self.issuer}", folder=folder, service=self.service, restart=json.dumps(restart)
        )
        (folder / "playbooks" / "app.yaml").write_text(text)
        wait_for("both containers", lambda: all(self._serves(port) for port in self.ports), 30)
        self.traffic = Traffic(self.service, per_second=30)
        self.traffic.start()

    def _containers(self, inside: str) -> dict[str, Any]:
        file = str(self.folder / ".env")
        for name, port in zip(self.names, self.ports, strict=True):
            self.engine.run(
                name,
                *("--env-file", file, "-p", f"127.0.0.1:{port}:8080", "-v", f"{self.folder}/app:/app:ro"),
                *("--stop-signal", "TERM", "--health-interval", "300ms"),
                *("--health-cmd", "bash -c '</dev/tcp/127.0.0.1/8080'"),
                command=[images.python(), "/app/consumer.py", inside],
            )
        settings = {"containers": self.names, "env_file": file, "env": "OPENAI_API_KEY", "settle": 0.5}
        return {"uses": "docker", **settings}

    def _services(self, inside: str) -> dict[str, Any]:
        health = {"test": ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/8080"], "interval": "300ms"}
        common = {
            "env_file": ".env",
            "stop_signal": "SIGTERM",
            "healthcheck": health,
            "command": [images.python(), "/app/consumer.py", inside],
        }
        services = {
            name: {**common, "ports": [f"127.0.0.1:{port}:8080"], "volumes": [f"{self.folder}/app:/app:ro"]}
            for name, port in zip(self.names, self.ports, strict=True)
        }
        (self.folder / "docker-compose.yml").write_text(compose_file(services))
        self.engine.compose(self.program, self.folder, "up", "-d")
        file, env = str(self.folder / "docker-compose.yml"), "OPENAI_API_KEY"
        settings = {"services": self.names, "file": file, "env": env, "settle": 0.5, "command": [self.program]}
        return {"uses": "compose", **settings}

    def _serves(self, port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.issuer, timeout=10)
        headers = {"authorization": f"Bearer {self.admin_key}"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        return json.loads(connection.getresponse().read())

    def start(self, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_installed("rotate"), "app", "--wait"],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def rotate(self, **environment: str) -> tuple[int, str]:
        process = self.start(**environment)
        out, _ = process.communicate(timeout=180)
        return process.returncode, out

    @property
    def running(self) -> dict[str, str]:
        """Each running container of ours, and the key that its first process was started with."""
        found = [each.name for each in self.engine.api.containers.list() if self.names[0][5:] in each.name]
        return {name: self.engine.variable(name, "OPENAI_API_KEY") for name in sorted(found)}

    def promises_hold(self) -> None:
        """One live key; the file and both containers have it; nobody noticed; no container is left over."""
        stored = key_in(self.folder / ".env")
        assert [key["value"] for key in self.admin("GET", "/_state")["live"]] == [stored]
        assert list(self.running.values()) == [stored, stored]
        everything = self.engine.api.containers.list(all=True)
        assert sum(self.names[0][5:] in each.name for each in everything) == 2, "a container is left over"
        assert not self.traffic.failures, self.traffic.failures[:3]

    def close(self) -> None:
        self.traffic.stop()
        self.balancer.shutdown()
        self.balancer.server_close()
        self.issuer_process.terminate()
        self.issuer_process.wait(10)
        for each in self.engine.api.containers.list(all=True):
            if self.names[0][5:] in each.name:
                each.remove(force=True)


@pytest.fixture(params=["docker", "compose 1", "compose 2"])
def world(request: pytest.FixtureRequest, tmp_path: Path, engine: Engine) -> Iterator[ContainerWorld]:
    found = ContainerWorld(tmp_path, engine, request.param)
    yield found
    found.close()


def test_a_key_goes_into_both_containers_and_nobody_notices(world: ContainerWorld) -> None:
    first = key_in(world.folder / ".env")
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()
    assert key_in(world.folder / ".env") != first and world.traffic.requests > 20


def test_a_key_that_the_containers_cannot_work_with_is_undone(world: ContainerWorld) -> None:
    """The first container ends at its start: the second is not touched, the old key stays, the new one is destroyed."""
    first = key_in(world.folder / ".env")
    (world.folder / "app" / "only").write_text(first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert key_in(world.folder / ".env") == first
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_containers_survive_a_kill_of_rotate_at_any_boundary(
    world: ContainerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    counting = {
        "PYTHONPATH": str(Path(__file__).parent / "killer"),
        "COUNT_BOUNDARIES": str(world.folder / "boundaries"),
    }
    assert world.rotate(KILL_AT_BOUNDARY="10000", **counting)[0] == 0
    boundaries, killed, rng = int((world.folder / "boundaries").read_text()), 0, random.Random(SEED)
    for boundary in range(1 + SEED % BOUNDARY_STEP, boundaries + 1, BOUNDARY_STEP):
        killed += world.rotate(KILL_AT_BOUNDARY=str(boundary), **counting)[0] == -signal.SIGKILL
        _carried_on(world)
    for _ in range(RANDOM_KILLS):
        process = world.start()
        time.sleep(rng.uniform(0.3, 6.0))
        process.kill()
        process.communicate()
        _carried_on(world)
    with capsys.disabled():
        print(
            f"\n{world.by}: {killed} of {boundaries} boundaries and {RANDOM_KILLS} random instants, "
            f"{world.traffic.requests} requests, 0 failed"
        )
    assert killed > 0.7 * boundaries / BOUNDARY_STEP


def _carried_on(world: ContainerWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()
