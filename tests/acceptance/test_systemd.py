"""A key → an EnvironmentFile and a file for LoadCredential → units of systemd over ssh, under
traffic.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator.demo.consumer import key_in
from tests.acceptance import kills
from tests.acceptance.issued import Issued
from tests.servers import images, moto
from tests.servers.systemd import Systemd
from tests.servers.tools import free_port, port_before

KEY = "OPENAI_API_KEY"


class SystemdWorld(Issued):
    """Two instances with the key in their environment, two with a credential; a balancer before
    each pair.
    """

    def __init__(self, folder: Path, server: Systemd) -> None:
        super().__init__(folder)
        self.server, self.name = server, f"app{free_port()}"
        self.env, self.file = server.shared / f"{self.name}.env", server.shared / f"{self.name}.key"
        self.env.write_text(f"# of the service\n{KEY}={self.first}\nLOG=info\n")
        self.file.write_text(self.first)
        program = server.shared / self.name
        program.mkdir()
        (program / "consumer.py").write_text((folder / "app" / "consumer.py").read_text())
        self.only = program / "only"
        server.inward(self.issuer)
        start = f"{images.python()} /srv/shared/{self.name}/consumer.py 127.0.0.1:{self.issuer}"
        only = f"ONLY=/srv/shared/{self.name}/only"
        by_environment = self._pair(
            "env", start, only, EnvironmentFile=f"/srv/shared/{self.env.name}"
        )
        file = f"/bin/sh -c 'export {KEY}_FILE=$CREDENTIALS_DIRECTORY/openai; exec {start}'"
        by_file = self._pair(
            "file", file, only, LoadCredential=f"openai:/srv/shared/{self.file.name}"
        )
        self.there = {"host": server.name, "ssh_config": str(self._one_connection())}
        common = {"uses": "systemd", "settle": 0.5, **self.there}
        calls = [
            {"uses": "http", "url": f"{url}/", "expect": {"status": 200}}
            for url in (by_environment, by_file)
        ]
        self.write_playbook(
            {
                "description": "the key of services on a host",
                "store": self.stores(),
                "restart": [
                    {**common, "units": [f"{self.name}-env@*.service"], "env": KEY},
                    {**common, "units": [f"{self.name}-file@*.service"]},
                ],
                "verify": [{"uses": "provider"}, *calls],
            }
        )
        self.serve([by_environment, by_file])

    def _one_connection(self) -> Path:
        """ssh's configuration as docs/systemd.md has it: one connection for all, which outlives a
        killed `rotate`.
        """
        self.sockets = Path(tempfile.mkdtemp(prefix="ssh"))  # a socket's path is short
        config = self.folder / "ssh_config"
        kept = f"ControlMaster auto\nControlPath {self.sockets}/%p\nControlPersist 60\n"
        config.write_text(f"{self.server.config.read_text()}\nHost *\n{kept}")
        return config

    def stores(self) -> list[dict[str, object]]:
        return [
            {"uses": "dotenv", "path": f"/srv/shared/{self.env.name}", "key": KEY, **self.there},
            {"uses": "file", "path": f"/srv/shared/{self.file.name}", **self.there},
        ]

    def _pair(self, kind: str, start: str, only: str, **settings: str) -> str:
        """Two instances on ports of their own, and a balancer; its address.

        They tell systemd when they listen: on a busy machine that takes longer than any `settle`.
        """
        base = port_before(2)
        ports = [base + slot for slot in (1, 2)]
        variables = f"{only} PORT={base} SLOT=%i"
        settings |= {"Type": "notify", "NotifyAccess": "all"}
        self.server.unit(f"{self.name}-{kind}@.service", start, Environment=variables, **settings)
        for slot, port in enumerate(ports, 1):
            self.server.systemctl("start", f"{self.name}-{kind}@{slot}.service")
            self.server.outward(port)
        return self.balance(ports)

    @property
    def held(self) -> list[str]:
        """What each instance by environment was started with."""
        return [self.server.environment(f"{self.name}-env@{slot}.service")[KEY] for slot in (1, 2)]

    def promises_hold(self) -> None:
        """One live key; both files and the running processes have it; nobody noticed."""
        key = key_in(self.env)
        assert self.live == [key] == [self.file.read_text().strip()] and self.held == [key] * 2
        assert self.env.read_text().startswith(
            "# of the service\n"
        ) and self.env.read_text().endswith("LOG=info\n")
        self.nobody_noticed()

    def close(self) -> None:
        super().close()
        self.server.systemctl("stop", f"{self.name}-*")
        subprocess.run(
            ["ssh", "-F", self.there["ssh_config"], "-O", "exit", self.server.name],
            capture_output=True,
        )
        shutil.rmtree(self.sockets)


class CloudWorld(SystemdWorld):
    """The key is in a JSON secret of AWS, too."""

    def __init__(self, folder: Path, server: Systemd, aws: moto.Aws) -> None:
        self.aws = aws
        super().__init__(folder, server)

    def stores(self) -> list[dict[str, object]]:
        client, secret = self.aws.client("secretsmanager"), f"app/{self.name}"
        client.create_secret(
            Name=secret, SecretString=json.dumps({"owner": "team-a", KEY: self.first})
        )
        self.environment |= self.aws.environment
        return [{"uses": "aws-secrets-manager", "secret": secret, "key": KEY}, *super().stores()]

    def promises_hold(self) -> None:
        super().promises_hold()
        # the stage is named: without, moto goes by the version that was put first
        client, secret = self.aws.client("secretsmanager"), f"app/{self.name}"
        found = client.get_secret_value(SecretId=secret, VersionStage="AWSCURRENT")["SecretString"]
        assert json.loads(found) == {"owner": "team-a", KEY: self.live[0]}


@pytest.fixture
def cloud(tmp_path: Path, systemd: Systemd, aws: moto.Aws) -> Iterator[CloudWorld]:
    found = CloudWorld(tmp_path, systemd, aws)
    yield found
    found.close()


@pytest.fixture
def world(tmp_path: Path, systemd: Systemd) -> Iterator[SystemdWorld]:
    found = SystemdWorld(tmp_path, systemd)
    yield found
    found.close()


def test_a_key_goes_into_all_units_and_nobody_notices(world: SystemdWorld) -> None:
    code, out = world.rotate()
    assert code == 0, out
    world.promises_hold()
    assert world.first not in world.live and world.requests > 40


def test_a_key_that_the_units_cannot_work_with_is_undone(world: SystemdWorld) -> None:
    """The first instance ends: its own words are told, the second one has served on, the new key is
    destroyed.
    """
    world.only.write_text(world.first)
    code, out = world.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert world.live == [world.first]
    world.promises_hold()


def test_a_key_goes_into_secrets_manager_files_and_units_and_nobody_notices(
    cloud: CloudWorld,
) -> None:
    code, out = cloud.rotate()
    assert code == 0, out
    cloud.promises_hold()
    assert cloud.first not in cloud.live and cloud.requests > 40


def test_a_key_that_units_cannot_work_with_leaves_secrets_manager_with_the_old_one(
    cloud: CloudWorld,
) -> None:
    cloud.only.write_text(cloud.first)
    code, out = cloud.rotate()
    assert code == 3 and "I cannot work with this key" in out, out
    assert cloud.live == [cloud.first]
    cloud.promises_hold()


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("where", ["world", "cloud"])
def test_a_kill_of_rotate_at_any_boundary_is_survived(
    where: str,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    found: SystemdWorld = request.getfixturevalue(where)
    seen = kills.told(f"systemd {where}", found.survives_kills())
    record_property("kills", seen)
    with capsys.disabled():
        print(f"\n{seen}; {found.requests} requests, 0 failed")
