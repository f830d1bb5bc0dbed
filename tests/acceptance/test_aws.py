"""An IAM access key → Secrets Manager and a .env → a process that calls STS through boto3, under
traffic.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rotator.demo.world import Traffic, _installed
from rotator.integrations.files import dotenv_syntax
from tests.acceptance import kills
from tests.servers import moto

# What a lost create left is known by difference alone: deactivated and waited for before it is
# destroyed.
RECOVERED_BY_DIFFERENCE = tuple(
    f"before generate > {place}" for place in ("before recover", "before debt suspect")
)

_PLAYBOOK = """\
description: the service's access key
generate:
  uses: aws-iam
  user: app
  region: {region}
  endpoint_url: {url}
  usage_lag: 0
  propagation: 0
store:
  - uses: aws-secrets-manager
    secret: app/aws
    region: {region}
    endpoint_url: {url}
    keys: {{access_key_id: access_key_id, secret_access_key: secret_access_key}}
  - uses: dotenv
    path: "{folder}/.env"
    keys: {{AWS_ACCESS_KEY_ID: access_key_id, AWS_SECRET_ACCESS_KEY: secret_access_key, AWS_DEFAULT_REGION: region}}
restart:
  - {{uses: process, pid_file: "{folder}/consumer.pid", signal: HUP, env: AWS_SECRET_ACCESS_KEY}}
evidence: read
verify:
  - uses: provider
  - {{uses: http, url: "{consumer}/", expect: {{status: 200}}}}
revoke: {{grace: 0s, quiet: 0s, soak: 1s, watch: 0s}}
limits: {{step: 60s, pass_interval: 50ms, list_lag: 100ms}}
"""


class AwsWorld:
    """Everything real but AWS itself, which is moto with authorisation switched on."""

    printed = ""  # what the last command said, told where a test fails

    def __init__(self, folder: Path, aws: moto.Aws) -> None:
        self.folder, self.aws = folder, aws
        self.first = aws.user("app")
        held = {
            "access_key_id": self.first[0],
            "secret_access_key": self.first[1],
            "owner": "team-a",
        }
        aws.client("secretsmanager").create_secret(Name="app/aws", SecretString=json.dumps(held))
        (folder / ".env").write_text(
            "# of the"
            f" app\nAWS_ACCESS_KEY_ID={self.first[0]}\nAWS_SECRET_ACCESS_KEY='{self.first[1]}'\n"
            f"AWS_DEFAULT_REGION={moto.REGION}\nLOG=info\n"
        )
        (folder / ".env").chmod(0o600)
        self.environment = {
            **os.environ,
            **aws.environment,
            "ROTATOR_HOME": str(folder / "state"),
            "ROTATOR_PLAYBOOKS": str(folder / "playbooks"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        arguments = [str(folder / name) for name in (".env", "consumer.pid", "consumer.port")]
        own = {
            k: v
            for k, v in self.environment.items()
            if not k.startswith("AWS_") or k == "AWS_ENDPOINT_URL"
        }
        subprocess.run(
            [sys.executable, "-m", "tests.acceptance.aws_consumer", *arguments],
            env=own,
            check=True,
            stderr=(folder / "consumer.log").open("ab"),
        )
        _wait_for((folder / "consumer.pid").exists)
        self.consumer = f"http://127.0.0.1:{(folder / 'consumer.port').read_text()}"
        (folder / "playbooks").mkdir()
        text = _PLAYBOOK.format(
            url=aws.url, region=moto.REGION, folder=folder, consumer=self.consumer
        )
        (folder / "playbooks" / "app.yaml").write_text(text)
        self.traffic = Traffic(self.consumer, per_second=20)

    def rotate(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*_installed("rotate"), "app", "--wait", *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=180,
        )
        self.printed = f"rotate app ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def run(self, **environment: str) -> tuple[int, str]:
        done = self.rotate(**environment)
        assert len(self.keys) <= 2, "IAM allows two keys, ours and one more"
        return done.returncode, done.stdout + done.stderr

    @property
    def keys(self) -> dict[str, str]:
        found = self.aws.client("iam").list_access_keys(UserName="app")["AccessKeyMetadata"]
        return {item["AccessKeyId"]: item["Status"] for item in found}

    @property
    def in_env(self) -> tuple[str, str]:
        content = (self.folder / ".env").read_bytes()
        found = [
            dotenv_syntax.get(content, f"AWS_{name}") or ""
            for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY")
        ]
        return found[0], found[1]

    @property
    def in_secrets_manager(self) -> dict[str, str]:
        client = self.aws.client("secretsmanager")
        held: dict[str, str] = json.loads(
            client.get_secret_value(SecretId="app/aws", VersionStage="AWSCURRENT")["SecretString"]
        )
        return held

    def accepted(self, key: tuple[str, str]) -> bool:
        from botocore.exceptions import ClientError

        try:
            self.aws.client("sts", *key).get_caller_identity()
        except ClientError:
            return False
        return True

    def promises_hold(self) -> None:
        """Exactly one key; both stores and the serving process have it; nobody noticed."""
        key_id, secret = self.in_env
        assert self.keys == {key_id: "Active"}
        assert self.in_secrets_manager == {
            "access_key_id": key_id,
            "secret_access_key": secret,
            "owner": "team-a",
        }
        pid = (self.folder / "consumer.pid").read_text()
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert f"AWS_SECRET_ACCESS_KEY={secret}".encode() in environment
        assert not self.traffic.failures, self.traffic.failures[:3]

    def close(self) -> None:
        self.traffic.stop()
        os.kill(int((self.folder / "consumer.pid").read_text()), signal.SIGTERM)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[AwsWorld]:
    pytest.importorskip("boto3", reason="the extra 'aws' is not installed")
    with moto.running() as aws:
        found = AwsWorld(tmp_path, aws)
        found.traffic.start()
        yield found
        found.close()


def test_an_access_key_goes_all_the_way_and_nobody_notices(world: AwsWorld) -> None:
    done = world.rotate()
    assert done.returncode == 0, done.stdout + done.stderr
    world.promises_hold()
    assert not world.accepted(world.first) and world.accepted(world.in_env)
    assert world.traffic.requests > 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_access_key_survives_a_kill_at_any_boundary(
    world: AwsWorld,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Never a third key, never a foreign one touched, one of ours at the end."""
    foreign = world.aws.user("somebody else")
    if kills.EVERYWHERE:
        seen = kills.survive_everywhere(world, 1)
    else:
        seen = kills.survive(world, (*kills.OF_A_PROVIDER, "before write", "before restart"))
    seen += kills.survive(world, RECOVERED_BY_DIFFERENCE)
    record_property("kills", kills.told("difference", seen))
    with capsys.disabled():
        print(f"\n{kills.told('difference', seen)}; {world.traffic.requests} STS calls, 0 failed")
    assert world.accepted(foreign)


def test_a_lost_answer_to_create_access_key_leaves_one_key(world: AwsWorld) -> None:
    """Killed after IAM made the key and before the journal knows: found by difference, deactivated,
    then destroyed.
    """
    code, out = kills.killed_at("before generate", world)
    assert code == -signal.SIGKILL and len(world.keys) == 2, out
    kills.carry_on(world)


def test_a_second_key_of_somebody_else_is_refused_before_the_start(world: AwsWorld) -> None:
    """The quota is full, and the other key is not rotator's: named with its age and last use,
    nothing changed.
    """
    other = world.aws.client("iam").create_access_key(UserName="app")["AccessKey"]["AccessKeyId"]
    before = world.keys
    done = world.rotate()
    assert done.returncode == 6 and other in done.stderr and "never used" in done.stderr, (
        done.stderr
    )
    assert world.keys == before


def test_the_very_key_that_signs_can_be_rotated(world: AwsWorld) -> None:
    """Its credentials are read anew at each call, from where the store puts them."""
    read = [sys.executable, "-c", _READ, str(world.folder / ".env")]
    text = (world.folder / "playbooks" / "app.yaml").read_text()
    signing = json.dumps(
        {
            name: {"command": [*read, f"AWS_{name.upper()}"]}
            for name in ("access_key_id", "secret_access_key")
        }
    )
    (world.folder / "playbooks" / "app.yaml").write_text(
        text.replace("  user: app\n", f"  user: app\n  credentials: {signing}\n")
    )
    done = world.rotate()
    assert done.returncode == 0, done.stdout + done.stderr
    world.promises_hold()


def test_a_signing_key_fixed_in_the_environment_is_not_rotated_away(world: AwsWorld) -> None:
    before = world.keys
    own = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), world.first, strict=True))
    done = world.rotate(**own)
    assert done.returncode == 6 and "credentials:" in done.stderr, done.stderr
    assert world.keys == before


def test_a_lost_journal_is_made_up_for_by_adopting_the_key_that_the_stores_hold(
    world: AwsWorld,
) -> None:
    """Its id stands beside its value, in the .env: nobody has to look it up."""
    assert world.rotate().returncode == 0
    shutil.rmtree(world.folder / "state")
    adopt = [*_installed("rotator"), "adopt", "app"]
    done = subprocess.run(
        adopt, env=world.environment, cwd=world.folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and world.in_env[0] in done.stdout, done.stdout + done.stderr
    assert world.rotate().returncode == 0
    world.promises_hold()


_READ = """
import sys
for line in open(sys.argv[1]):
    name, _, value = line.strip().partition("=")
    if name == sys.argv[2]: print(value.strip("'"))
"""


def _wait_for(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)
