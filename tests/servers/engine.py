"""A container engine (Debian's docker.io) in a box: no bridge, firewall rule or container of the
machine is touched.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.servers import images
from tests.servers.server import Server
from tests.servers.tools import CACHE, ENV, HOST, Failed, apt, go_build, may_install, run, wait_for

IMAGE = "rotator-app:1"
_GATEWAY = "172.17.0.1"
_COMPOSE_2 = "v2.40.3"


class Engine(Server):
    """Its image: IMAGE, into which the machine's /usr is mounted."""

    root = True

    @classmethod
    def install(cls) -> None:
        if not may_install():  # minutes, and root: `make test` is for Python alone
            pytest.skip(
                "containers are tested with an engine of their own: CI=1 make test, as root"
            )
        tools = ("dockerd", "docker", "docker-compose", "iptables", "ip", "nsenter")
        apt("docker.io", "docker-compose", "iptables", "iproute2", tools=tools)

    def up(self) -> dict[str, Any]:
        socket = self.dir / "docker.sock"
        if len(str(socket)) > 100:
            raise Failed(f"{socket}: too long for a unix socket")
        self.host = f"unix://{socket}"
        self.first = self.box()
        options: list[Any] = ["--data-root", self.dir / "data", "--exec-root", self.dir / "exec"]
        options += [
            "--pidfile",
            self.dir / "own-pid",
            "--cgroup-parent",
            self.cgroup(),
            "--userland-proxy=false",
        ]
        options += ["--shutdown-timeout", "1", "-H", self.host, "--log-level", "warn"]
        self.spawn("dockerd", ["dockerd", *options], box=self.first, grace=8)
        wait_for("dockerd", self.answers, 60, 0.05, self.ended)
        self.load(images.empty(IMAGE))
        return {"DOCKER_HOST": self.host, "IMAGE": IMAGE}

    @property
    def api(self) -> Any:
        """A client of the package docker."""
        import docker

        return docker.DockerClient(base_url=self.host, timeout=60, version="1.41")

    def answers(self) -> bool:
        try:
            return bool(self.api.ping())
        except Exception as error:
            raise Failed(str(error)) from error

    def cli(self, *arguments: str, **more: Any) -> str:
        """Debian's docker command, as a person types it."""
        return run(["/usr/bin/docker", "-H", self.host, *arguments], **more)

    def run(self, name: str, *options: str, command: Sequence[str] = ("sleep", "1000")) -> None:
        """`docker run -d`, with the machine's programs in it."""
        volumes = [word for mount in images.mounts() for word in ("-v", mount)]
        self.cli(
            "run",
            "-d",
            "--name",
            name,
            "--stop-signal",
            "KILL",
            *volumes,
            *options,
            IMAGE,
            *command,
        )

    def compose(self, program: str | Path, folder: Path, *arguments: str) -> str:
        return run(
            [program, *arguments],
            cwd=folder,
            env={**ENV, "DOCKER_HOST": self.host, "COMPOSE_IGNORE_ORPHANS": "1"},
        )

    def inspect(self, name: str) -> Any:
        return self.api.api.inspect_container(name)

    def variable(self, name: str, variable: str) -> str:
        """What the first process of a running container was started with."""
        words = self.cli("exec", name, "sh", "-c", "tr '\\0' '\\n' </proc/1/environ").splitlines()
        return next(word.partition("=")[2] for word in words if word.startswith(f"{variable}="))

    def load(self, image: bytes) -> None:
        self.api.images.load(image)

    def swarm(self) -> None:
        """With swarm mode on; ports are published in mode host, as a small machine has no ipvs."""
        self.cli("swarm", "init", "--listen-addr", f"{HOST}:2377", "--advertise-addr", HOST)

    def service(self, name: str, *options: str, command: Sequence[str] = ("sleep", "1000")) -> None:
        """`docker service create`, with the machine's programs in it; returns when it has
        converged.
        """
        mounts = [
            f"type=bind,source={one.split(':')[0]},target={one.split(':')[0]},readonly"
            for one in images.mounts()
        ]
        volumes = [word for mount in mounts for word in ("--mount", mount)]
        patient = [
            "--stop-grace-period",
            "2s",
            "--update-monitor",
            "1s",
            "--rollback-monitor",
            "1s",
            "--no-resolve-image",
        ]
        self.cli(
            "service", "create", "-q", "--name", name, *patient, *volumes, *options, IMAGE, *command
        )

    def in_tasks(self, service: str, *command: str) -> list[str]:
        """What a command says in each running container of a service."""
        found = self.cli(
            "ps", "-q", "--filter", f"label=com.docker.swarm.service.name={service}"
        ).split()
        return [self.cli("exec", one, *command).strip() for one in found]

    def end_task(self, service: str, slot: int) -> None:
        """Kill the container of one of a service's tasks."""
        name = f"{service}.{slot}."
        self.cli("kill", *self.cli("ps", "-q", "--filter", f"name={name}").split())

    def outward(self, port: int) -> None:
        """The machine's 127.0.0.1:PORT leads to the port that a container publishes."""
        self.forward(f"out-{port}", "self", f"{HOST}:{port}", str(self.first), f"{HOST}:{port}")

    def inward(self, port: int) -> str:
        """The address at which containers reach the machine's 127.0.0.1:PORT."""
        self.forward(f"in-{port}", str(self.first), f"{_GATEWAY}:{port}", "self", f"{HOST}:{port}")
        return f"{_GATEWAY}:{port}"

    def after(self) -> None:
        shutil.rmtree(
            self.dir / "exec", ignore_errors=True
        )  # the engine's mounts went with the box


def compose_file(services: dict[str, dict[str, Any]]) -> str:
    """A Compose file, of a version that both generations read."""
    common = {
        "image": IMAGE,
        "volumes": images.mounts(),
        "stop_signal": "SIGKILL",
        "command": ["sleep", "1000"],
    }
    found = {name: {**common, **more} for name, more in services.items()}
    for name, more in services.items():
        found[name]["volumes"] = [*images.mounts(), *more.get("volumes", ())]
    return json.dumps({"version": "3.7", "services": found})


def compose_2() -> Path:
    """Compose 2 as a program, built with Go; Debian's docker-compose is of the first generation."""
    if not may_install() and not any(CACHE.glob("compose-*/.complete")):
        pytest.skip("Compose 2 is not built: python -m tests.servers compose install")
    version = f"-X github.com/docker/compose/v2/internal.Version={_COMPOSE_2}"
    return go_build("compose", "github.com/docker/compose/v2/cmd", version)
