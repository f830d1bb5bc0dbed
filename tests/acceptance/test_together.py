"""Several keys of one service, under traffic: ten that are due together restart it once, by the
daemon; those of a pool go one after the other.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator.clients import procfs
from rotator.demo.world import Traffic, _installed
from rotator.secret import Secret
from tests.acceptance.daemons import Machine
from tests.acceptance.many_keys import KEY
from tests.servers.tools import wait_for

KEYS = 10


class Service(Machine):
    """One process that takes several keys from its .env, and requests that need all of them."""

    def __init__(self, folder: Path, keys: int) -> None:
        super().__init__(folder, 0)
        self.home = folder / "app" / "many"
        self.home.mkdir()
        self.variables = [f"{KEY}{number}" for number in range(keys)]
        values = [self.first, *(self.made_by_hand(name) for name in self.variables[1:])]
        lines = zip(self.variables, values, strict=True)
        (self.home / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines))
        (self.home / ".env").chmod(0o600)
        argv = [str(self.home / ".env"), str(self.home / "pid"), f"http://127.0.0.1:{self.issuer}"]
        self._services.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.acceptance.many_keys", *argv, f"{self.home}/port"],
                env={**self.environment, "PYTHONPATH": str(Path.cwd())},
                stderr=(self.home / "log").open("ab"),
            )
        )
        wait_for("the service", lambda: self._port("many"), 30)
        self.traffic = [Traffic(f"http://127.0.0.1:{self._port('many')}", per_second=3)]
        self.traffic[0].start(1)

    def due(self) -> None:
        """Each key was never rotated: its playbook is due at once."""
        for name in self.variables:
            self.playbook(
                name.lower(),
                schedule={"every": "1d"},
                store=[{"uses": "dotenv", "path": f"{self.home}/.env", "key": name}],
                restart=[
                    {
                        "uses": "process",
                        "pid_file": f"{self.home}/pid",
                        "signal": "HUP",
                        "env": name,
                    }
                ],
                limits={
                    "step": "120s",
                    "together": "60s",  # however slow this machine is
                    "pass_interval": "50ms",
                    "list_lag": "100ms",
                },
            )

    @property
    def starts(self) -> int:
        return len((self.home / "starts").read_text().splitlines())

    @property
    def in_store(self) -> dict[str, str]:
        lines = (self.home / ".env").read_text().splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    @property
    def in_process(self) -> dict[str, str]:
        """What its environment shows."""
        pid = int((self.home / "pid").read_text())
        shown = {name: procfs.variable(pid, name) for name in self.variables}
        return {name: it.reveal() for name, it in shown.items() if isinstance(it, Secret)}

    def close(self) -> None:
        self.command_to_end(self.home / "pid")
        super().close()


@contextlib.contextmanager
def serving(folder: Path, keys: int) -> Iterator[Service]:
    found = Service(folder, keys)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.slow
def test_ten_keys_of_one_service_that_are_due_together_restart_it_once(tmp_path: Path) -> None:
    with serving(tmp_path, KEYS) as service:
        _due_together(service)


def _due_together(service: Service) -> None:
    before = service.in_store
    assert service.starts == 1
    service.due()
    service.start_daemon()
    wait_for("ten rotations", lambda: len(service.rotations()) == KEYS, 300, alive=service._died)
    wait_for("the old keys", lambda: not service.unfinished(), 120, alive=service._died)
    assert {outcome for _, _, outcome in service.rotations()} == {"verified"}
    assert service.starts == 2, "one restart for all"
    assert service.in_process == service.in_store
    assert not set(before.values()) & set(service.in_store.values())
    assert sorted(service.live) == sorted(service.in_store.values())
    assert service.requests > 0
    service.nobody_noticed()


@pytest.mark.slow
def test_the_keys_of_a_pool_go_one_after_the_other_and_the_rest_keeps_serving(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, 3) as service:
        before = service.in_store
        service.playbook(
            "gateway",
            pool=service.variables,
            store=[{"uses": "dotenv", "path": f"{service.home}/.env", "key": "{member}"}],
            restart=[
                {
                    "uses": "process",
                    "pid_file": f"{service.home}/pid",
                    "signal": "HUP",
                    "env": "{member}",
                }
            ],
        )
        environment = {**service.environment, "COLUMNS": "200"}
        done = subprocess.run(
            [*_installed("rotate"), "gateway", "--wait"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        rotations = service.rotations()
        assert {name for name, _, _ in rotations} == {f"gateway-key_{n}" for n in range(3)}
        assert {outcome for _, _, outcome in rotations} == {"verified"}
        ended = service._journal("SELECT ended FROM rotations ORDER BY began")
        for (end,), (_, began, _) in zip(ended, rotations[1:], strict=False):
            assert end <= began, "one at a time"
        assert service.in_process == service.in_store
        assert not set(before.values()) & set(service.in_store.values())
        assert sorted(service.live) == sorted(service.in_store.values())
        assert service.requests > 0
        service.nobody_noticed()
