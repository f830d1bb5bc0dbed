"""A key → Vault and a Swarm secret → a service of two tasks that read it from a file, under
traffic.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance import kills
from tests.acceptance.issued import Issued
from tests.servers import images
from tests.servers.bao import Bao
from tests.servers.engine import Engine
from tests.servers.tools import free_port, port_before, wait_for

KEY = "OPENAI_API_KEY"


class SwarmWorld(Issued):
    """Two tasks on the host's network of the engine's box, each on a port of its own, a balancer
    before them.
    """

    def __init__(self, folder: Path, engine: Engine, bao: Bao) -> None:
        super().__init__(folder)
        self.engine, self.bao, self.name = engine, bao, f"app{free_port()}"
        bao.put(self.name, **{KEY: self.first, "other": "1"})
        (folder / "token").write_text(bao.root_token)
        engine.cli("secret", "create", self.name, "-", input=self.first, stdin=None)
        inside = f"127.0.0.1:{self.issuer}"
        engine.forward(f"in-{self.name}", str(engine.first), inside, "self", inside)
        first_port = port_before(2)
        ports = [first_port + slot for slot in (1, 2)]
        for port in ports:
            engine.outward(port)
        engine.service(
            self.name,
            *(
                "--network",
                "host",
                "--replicas",
                "2",
                "--secret",
                f"source={self.name},target=openai",
            ),
            *(
                "--env",
                f"{KEY}_FILE=/run/secrets/openai",
                "--env",
                "SLOT={{.Task.Slot}}",
                "--env",
                f"PORT={first_port}",
            ),
            *("--mount", f"type=bind,source={folder}/app,target=/app,readonly"),
            *(
                "--health-cmd",
                f"bash -c '</dev/tcp/127.0.0.1/$(({first_port} + SLOT))'",
                "--health-interval",
                "300ms",
            ),
            *(
                "--health-retries",
                "30",
                "--health-start-period",
                "60s",
            ),  # a start on a busy machine is slow, not sick
            *("--update-failure-action", "rollback", "--update-max-failure-ratio", "0"),
            *(
                "--update-delay",
                "1s",
            ),  # without, the next task may be stopped before the first one's failure is seen
            command=[images.python(), "/app/consumer.py", inside],
        )
        service = self.balance(ports)
        self.write_playbook(
            {
                "description": "the key of a service in a swarm",
                "store": [
                    {
                        "uses": "vault",
                        "path": f"secret/{self.name}",
                        "key": KEY,
                        "address": bao.url,
                        "auth": {"file": str(folder / "token")},
                        "create": True,
                    },
                    {"uses": "swarm", "secret": self.name, "host": engine.host},
                ],
                "restart": [{"uses": "swarm", "services": "discover", "host": engine.host}],
                "verify": [
                    {"uses": "provider"},
                    {"uses": "http", "url": f"{service}/", "expect": {"status": 200}},
                ],
            }
        )
        self.serve([service])

    def promises_hold(self, left: int | None = 1) -> None:
        """One live key; Vault, the newest secret and both tasks have it; no other secret is left;
        nobody noticed.
        """
        key = self.bao.get(self.name)[KEY]
        assert self.live == [key]
        assert self.engine.in_tasks(self.name, "cat", "/run/secrets/openai") == [key] * 2
        names = [
            one
            for one in self.engine.cli("secret", "ls", "--format", "{{.Name}}").split()
            if self.name in one
        ]
        assert left is None or len(names) == left, names
        self.nobody_noticed()

    def went_back(self) -> None:
        self.promises_hold(left=None)  # those of the keys that are dead go with the next rotation

    def carried_on(self) -> None:
        """An engine may fail to start a container by its own race; the service rolls back, so do
        we; then again.
        """
        code, out = self.rotate()
        if code == 3 and "device or resource busy" in out:
            code, out = self.rotate()
        assert code == 0, out
        self.promises_hold()

    def close(self) -> None:
        super().close()
        self.engine.cli("service", "rm", self.name)


@pytest.fixture
def world(tmp_path: Path, swarm: Engine, bao: Bao) -> Iterator[SwarmWorld]:
    found = SwarmWorld(tmp_path, swarm, bao)
    yield found
    found.close()


def test_a_key_goes_to_vault_and_into_both_tasks_and_nobody_notices(world: SwarmWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()
    assert world.first not in world.live and world.requests > 20


def test_a_key_that_the_tasks_cannot_work_with_is_undone(world: SwarmWorld) -> None:
    """The service rolls itself back; rotator tells why, gives it the old key, and destroys the new
    one.
    """
    world.only.write_text(world.first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert world.live == [world.first]
    world.promises_hold(
        left=3
    )  # the first, the one with the dead key, the one that holds the first key again
    world.only.unlink()
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()


def test_a_roll_back_during_grace_stops_the_revocation(world: SwarmWorld) -> None:
    """Its new tasks start with the secret of before; given the newest one again, they count."""
    process = world.in_grace()
    world.engine.cli("service", "rollback", world.name)
    out, _ = process.communicate(timeout=120)
    due = world.command("rotate", "--due")
    assert process.returncode == due.returncode == 4 and world.first in world.live, out
    told = world.command("rotator", "show", "app").stdout
    assert f"{world.name}.1 with {world.name} may still hold key_" in told, told
    world.engine.cli("service", "rollback", world.name)
    done = world.command("rotator", "resume", "app", "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    world.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_kill_of_rotate_at_any_boundary_is_survived(
    world: SwarmWorld,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = kills.told("swarm", world.survives_kills())
    record_property("kills", seen)
    with capsys.disabled():
        print(f"\n{seen}; {world.requests} requests, 0 failed")


def test_an_engine_that_is_gone_for_ten_seconds_is_waited_for(world: SwarmWorld) -> None:
    """dockerd is killed once the new secret is there, and with it, here, its tasks: they come back
    with the new key.
    """
    process = world.start()
    seen = f"{world.name}-r1"
    wait_for("the secret", lambda: seen in world.engine.cli("secret", "ls"), 60, 0.05)
    world.engine.kill("dockerd")
    time.sleep(10)
    (world.engine.dir / "own-pid").unlink(missing_ok=True)
    world.engine.restart("dockerd")
    wait_for("dockerd", world.engine.answers, 60, 0.1)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    key = world.bao.get(world.name)[KEY]
    assert (
        world.live == [key]
        and world.engine.in_tasks(world.name, "cat", "/run/secrets/openai") == [key] * 2
    )
