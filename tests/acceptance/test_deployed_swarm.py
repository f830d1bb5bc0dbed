"""deploy/swarm for real: an image of this checkout as a service of a swarm, with its secrets, its
playbook as a config, and its journal on a volume; and deploy/compose for a trial.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.deployed import DEPLOY, EXAMPLES, NAME, Deployed
from tests.docs.test_docs import DOCS, blocks
from tests.servers import release
from tests.servers.engine import Engine, compose_2
from tests.servers.tools import ENV, Failed, run, wait_for

pytestmark = pytest.mark.timeout(1800)  # the first one may have to wait until the image is built
PYTHON = "/opt/rotator/bin/python"
LONG = 600  # seconds: a busy machine is slow, not wrong
_HEALTHY = "import socket; socket.create_connection(('127.0.0.1', 8080), 5)"


class SwarmStacks(Deployed):
    """The stack of paracle-api, and rotator's."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder)
        self.engine = engine
        self.inside = engine.inward(self.issuer)
        self._secret("openai_key", self.first)
        self._secret("rotator_key", self.sealing_key)
        self._secret("openai_admin", self.admin_key)
        node = engine.cli("node", "ls", "-q").strip()
        engine.cli("node", "update", "--label-add", "rotator=journal", node)
        self.deploy("paracle", EXAMPLES / "swarm" / "paracle-api.yaml", self._consumer)
        book = self.playbook_of("swarm", self.inside, schedule={"every": "1m"})
        (folder / "playbook.yaml").write_text(book)
        self.deploy("rotator", DEPLOY / "swarm" / "rotator.yaml", self._by_this_socket)

    def _secret(self, name: str, value: str) -> None:
        self.engine.cli("secret", "create", name, "-", input=value, stdin=None)

    def _consumer(self, stack: dict[str, Any]) -> None:
        """The service of the tests in the place of the one that nobody has."""
        stack["services"]["api"] |= {
            "image": release.IMAGE,
            "entrypoint": [PYTHON, "/app/consumer.py", self.inside],
            "volumes": [f"{self.folder}/app:/app:ro"],
        }
        stack["services"]["api"]["healthcheck"]["test"] = ["CMD", PYTHON, "-c", _HEALTHY]

    def _by_this_socket(self, stack: dict[str, Any]) -> None:
        (socket,) = [
            one for one in stack["services"]["rotator"]["volumes"] if one["type"] == "bind"
        ]
        socket["source"] = self.engine.host.removeprefix("unix://")

    def deploy(self, name: str, file: Path, change: Any) -> None:
        stack = yaml.safe_load(file.read_text())
        change(stack)
        (self.folder / f"{name}.yaml").write_text(json.dumps(stack))
        group = str(Path(self.engine.host.removeprefix("unix://")).stat().st_gid)
        self.engine.cli(
            "stack",
            "deploy",
            "--resolve-image",
            "never",
            "--compose-file",
            str(self.folder / f"{name}.yaml"),
            name,
            env={**ENV, "DOCKER_GID": group},
        )

    def tasks(self, service: str) -> list[str]:
        """Containers of it that run and are healthy."""
        chosen = ["--filter", f"label=com.docker.swarm.service.name={service}"]
        return self.engine.cli("ps", "-q", "--filter", "health=healthy", *chosen).split()

    def rotator(self, *words: str) -> str:
        (task,) = self.tasks("rotator_rotator")
        return self.engine.cli("exec", task, *words)

    @property
    def held(self) -> list[str]:
        """What each task of paracle-api may read."""
        with_key = self.tasks("paracle_api")
        return [self.engine.cli("exec", one, "cat", "/run/secrets/openai_key") for one in with_key]

    def words(self) -> str:
        """Why no task of rotator is well, told where it is waited for in vain."""
        said = self.engine.cli("service", "ps", "--no-trunc", "rotator_rotator")
        try:
            return said + self.engine.cli("service", "logs", "--tail", "30", "rotator_rotator")
        except Failed as error:
            return f"{said}{error}"

    def close(self) -> None:
        self.engine.cli("stack", "rm", "rotator", "paracle")
        super().close()


@pytest.fixture
def stacks(tmp_path: Path, swarm: Engine) -> Iterator[SwarmStacks]:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    swarm.cli("load", "-i", str(release.archive()))
    found = SwarmStacks(tmp_path, swarm)
    yield found
    found.close()


def test_the_stack_rotates_by_a_command_in_its_task_and_by_its_clock(stacks: SwarmStacks) -> None:
    """Its journal outlives the task, which ends in order."""
    wait_for("paracle-api", lambda: len(stacks.tasks("paracle_api")) == 2, LONG, 0.5)
    try:
        wait_for("rotator", lambda: len(stacks.tasks("rotator_rotator")) == 1, LONG, 0.5)
    except Failed as error:
        raise AssertionError(stacks.words()) from error
    (account,) = stacks.admin("GET", "/_state")["live"]
    stacks.rotator("rotator", "adopt", NAME, "--id", account["id"])
    (line,) = [
        one
        for text in blocks(DOCS / "swarm.md", "sh")
        for one in text.splitlines()
        if one.startswith("docker exec")
    ]
    environment = {**ENV, "DOCKER_HOST": stacks.engine.host, "PATH": f"/usr/bin:{ENV['PATH']}"}
    said = run(["sh", "-ec", line.replace("openai-prod", NAME)], env=environment)
    assert "is dead, proven" in said and stacks.first not in stacks.live, said
    wait_for("both tasks", lambda: stacks.held == stacks.live * 2, LONG, 0.5)

    by_hand = stacks.live
    wait_for("the clock's rotation", lambda: by_hand[0] not in stacks.live, LONG, 0.5)
    wait_for("its end", lambda: stacks.held == stacks.live * 2, LONG, 0.5)

    (task,) = stacks.tasks("rotator_rotator")
    stacks.engine.cli("service", "update", "--force", "--quiet", "rotator_rotator")
    wait_for(
        "the next task", lambda: stacks.tasks("rotator_rotator") not in ([], [task]), LONG, 0.5
    )
    assert stacks.engine.inspect(task)["State"]["ExitCode"] == 0
    history = json.loads(stacks.rotator("rotator", "history", NAME, "--json"))
    outcomes = [one["outcome"] for one in history["rotations"]]
    assert outcomes.count("verified") >= 2, "the next task has the journal of the one before"


def test_the_trial_by_compose_comes_up_healthy_and_refuses_no_volume(
    tmp_path: Path, engine: Engine
) -> None:
    """With Compose as a person has it; the same image without a volume does not begin."""
    engine.cli("load", "-i", str(release.archive()))
    folder = tmp_path / "compose"
    for name in ("playbooks", "secrets"):
        (folder / name).mkdir(parents=True)
    (folder / "secrets" / "rotator.key").write_text("A" * 43 + "=")
    os.chown(folder / "secrets" / "rotator.key", 10001, 10001)
    (folder / "secrets" / "rotator.key").chmod(0o400)
    book = yaml.safe_load((EXAMPLES / "kubernetes" / "paracle-api-playbook.yaml").read_text())
    del book["schedule"]  # it is only read here
    (folder / "playbooks" / f"{NAME}.yaml").write_text(json.dumps(book))
    text = (DEPLOY / "compose" / "docker-compose.yml").read_text()
    (folder / "docker-compose.yml").write_text(text)
    compose = compose_2()
    engine.compose(compose, folder, "up", "-d")
    try:
        name = engine.compose(compose, folder, "ps", "-q").split()[-1]
        wait_for(
            "its health",
            lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy",
            LONG,
            0.5,
        )
        told = engine.compose(compose, folder, "exec", "-T", "rotator", "rotator", "status")
        assert NAME in told
    finally:
        engine.compose(compose, folder, "down", "--volumes")
    with pytest.raises(Failed, match="would be lost with this container"):
        engine.cli("run", "--rm", release.IMAGE, "rotate", "--due")


def test_the_image_says_what_it_is_and_has_what_playbooks_call(engine: Engine) -> None:
    """Its version, no root, ssh; with Docker's and Compose's programs in the variant."""
    for name in (release.IMAGE, release.WITH_DOCKER):
        engine.cli("load", "-i", str(release.archive(name)))
    (found,) = json.loads(engine.cli("image", "inspect", release.IMAGE))
    config = found["Config"]
    version = engine.cli("run", "--rm", release.IMAGE, "--version").split()[-1]
    assert config["Labels"]["org.opencontainers.image.version"] == version == "0.1.0"
    assert config["User"] == "10001:10001" and not config.get("Volumes")
    assert "/livez" in " ".join(config["Healthcheck"]["Test"])
    inside = ["run", "--rm", "--read-only", "--entrypoint"]
    assert "OpenSSH" in engine.cli(*inside, "ssh", release.IMAGE, "-V")
    with pytest.raises(Failed):
        engine.cli(*inside, "docker", release.IMAGE, "--version")
    assert "Docker version" in engine.cli(*inside, "docker", release.WITH_DOCKER, "--version")
    assert "v2." in engine.cli(*inside, "docker", release.WITH_DOCKER, "compose", "version")
    demo = engine.cli("run", "--rm", "--read-only", "--tmpfs", "/tmp", release.IMAGE, "demo")
    assert "0 failed" in demo, demo
