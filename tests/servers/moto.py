"""AWS by moto's server, with authorisation switched on: deleted keys are refused (inactive ones are
not: moto's gap).

python -m tests.servers.moto install      fetches it into the cache; CI does so by itself
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers.tools import free_port

VERSION = "5.2.5"
_CACHE = Path(os.environ.get("ROTATOR_TEST_CACHE") or Path.home() / ".cache" / "rotator-tests")
_HOME = _CACHE / f"moto-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
# Requests before signatures and policies are checked: those that make the administrator
_UNSIGNED = 3
_ALL = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
)
REGION = "eu-central-1"


def install() -> Path:
    """moto_server, installed into the cache if it is not there. Skips where it may not be."""
    server = _HOME / "bin" / "moto_server"
    if (_HOME / "complete").exists():
        return server
    if not os.environ.get("CI") and "install" not in sys.argv:
        pytest.skip("moto is not installed: python -m tests.servers.moto install")
    shutil.rmtree(_HOME, ignore_errors=True)
    venv.create(_HOME, with_pip=True)
    pip = [str(_HOME / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, f"moto[server,iam,secretsmanager,ssm,sts]=={VERSION}"], check=True)
    (_HOME / "complete").touch()
    return server


@dataclass
class Aws:
    """A running moto, and its administrator."""

    url: str
    access_key_id: str
    secret_access_key: str

    def client(self, service: str, access_key_id: str = "", secret_access_key: str = "") -> Any:
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=access_key_id or self.access_key_id,
            aws_secret_access_key=secret_access_key or self.secret_access_key,
        )

    def user(self, name: str) -> tuple[str, str]:
        """A user who may do everything, and an access key of theirs."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="all", PolicyDocument=_ALL)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextlib.contextmanager
def running() -> Iterator[Aws]:
    """Started, with an administrator, on a port of its own."""
    server = install()
    port = free_port()
    process = subprocess.Popen(
        [str(server), "-H", "127.0.0.1", "-p", str(port)],
        env={
            **os.environ,
            "INITIAL_NO_AUTH_ACTION_COUNT": str(_UNSIGNED),
            "MOTO_ECS_SERVICE_RUNNING": "1",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        found = Aws(f"http://127.0.0.1:{port}", "AKIAFIRSTFIRSTFIRST0", "first")
        _wait(found.url, process)
        iam = found.client("iam")
        iam.create_user(UserName="admin")
        iam.put_user_policy(UserName="admin", PolicyName="all", PolicyDocument=_ALL)
        made = iam.create_access_key(UserName="admin")["AccessKey"]
        yield Aws(found.url, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/moto-api/data.json", timeout=5).read()
            return
        assert process.poll() is None and time.monotonic() < end, "moto did not start"
        time.sleep(0.05)


if __name__ == "__main__":
    print(install())
