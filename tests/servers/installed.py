"""A host with systemd and an issuer that it reaches; rotator is in /opt/rotator as `pip install`
leaves it, from this checkout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.issuers import ADMIN
from tests.servers.systemd import Systemd
from tests.servers.tools import wait_for

# What needs a package index, here: the same program, from this checkout.
_PROGRAM = """#!/bin/sh
export PYTHONPATH=/srv/checkout:{packages} LD_LIBRARY_PATH=/srv/python/lib
exec {python} -c 'from rotator.cli.entry import {name}; {name}()' "$@"
"""
_BEFORE = """
touch /etc/group /etc/shadow
mkdir -p /etc/pam.d /etc/sudoers.d /srv /opt/rotator/bin
mkdir -p /etc/systemd/system/rotator.service.d /etc/systemd/system/rotatord.service.d
mount -t tmpfs tmpfs /usr/local/sbin
for one in auth account session; do echo $one required pam_permit.so; done >/etc/pam.d/sudo
printf 'root ALL=(ALL) ALL\\n@includedir /etc/sudoers.d\\n' >/etc/sudoers; chmod 440 /etc/sudoers
useradd --system --user-group app
systemctl mask --runtime systemd-networkd-wait-online.service
"""


class Host:
    """What is run there is run by root."""

    def __init__(self, server: Systemd, issuer: str) -> None:
        self.server, self.issuer = server, issuer

    def run(self, line: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = self.server.inside(
            "env", "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "sh", "-c", line
        )
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120)

    def must(self, line: str, stdin: str = "") -> str:
        done = self.run(line, stdin)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: Path, body: str, mode: str = "644") -> None:
        self.must(f"install -D -m {mode} /dev/stdin {path}", body)

    def install(self) -> None:
        """A user `app`, sudo, and the two commands."""
        self.must(_BEFORE)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        for name in ("rotate", "rotator"):
            program = _PROGRAM.format(
                python=f"/srv/python/bin/{version}",
                packages=f"/srv/checkout/.venv/lib/{version}/site-packages",
                name=name,
            )
            self.write(Path("/opt/rotator/bin") / name, program, "755")

    def key_by_hand(self) -> str:
        """Of the project proj_abc."""
        made = self.admin(
            "POST", "/v1/organization/projects/proj_abc/service_accounts", {"name": "made by hand"}
        )
        return str(made["api_key"]["value"])

    def admin(self, method: str, path: str, body: dict[str, object] | None = None) -> Any:
        headers = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(f"{self.issuer}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            return json.load(answer)

    @property
    def live(self) -> list[str]:
        return [key["value"] for key in self.admin("GET", "/_state")["live"]]


@pytest.fixture(scope="module")
def host(systemd: Systemd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    port = tmp_path_factory.mktemp("issuer") / "port"
    environment = {**os.environ, "DEMO_ADMIN_KEY": ADMIN}
    with subprocess.Popen(
        [sys.executable, "-m", "rotator.demo.issuer", str(port)], env=environment
    ) as process:
        wait_for("the issuer", lambda: port.exists() and port.read_text(), 20)
        systemd.inward(int(port.read_text()))
        yield Host(systemd, f"http://127.0.0.1:{port.read_text()}")
        process.kill()
