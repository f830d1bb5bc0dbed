"""The install page, done as it stands on a systemd of its own: what it says is refused, and what
lets it work.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_systemd import DOCS as SYSTEMD_PAGE
from tests.docs.test_docs import BLOCK, DOCS, commands
from tests.servers.issuers import ADMIN
from tests.servers.systemd import Systemd
from tests.servers.tools import wait_for

PAGE = DOCS / "install.md"
_FILES = {
    Path(found[1]): body
    for _, body in BLOCK.findall(PAGE.read_text())
    if (found := re.match(r"# (/.+)\n", body))
}
_PLAYBOOK, _CREDENTIAL = Path("/etc/rotator/playbooks/openai-prod.yaml"), "here.conf"
# What needs a package index, here: the same program, from this checkout.
_PROGRAM = """#!/bin/sh
export PYTHONPATH=/srv/checkout:{packages} LD_LIBRARY_PATH=/srv/python/lib
exec {python} -c 'from rotator.cli.entry import {name}; {name}()' "$@"
"""
_BEFORE = """
touch /etc/group /etc/shadow
mkdir -p /etc/pam.d /etc/sudoers.d /srv /opt/rotator/bin /etc/systemd/system/rotator.service.d
mount -t tmpfs tmpfs /usr/local/sbin
for one in auth account session; do echo $one required pam_permit.so; done >/etc/pam.d/sudo
printf 'root ALL=(ALL) ALL\\n@includedir /etc/sudoers.d\\n' >/etc/sudoers; chmod 440 /etc/sudoers
useradd --system --user-group app
systemctl mask --runtime systemd-networkd-wait-online.service
"""


class Host:
    """The host on which the page is followed, by root."""

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

    def admin(
        self, method: str, path: str, body: dict[str, object] | None = None
    ) -> dict[str, object]:
        headers = {"authorization": f"Bearer {ADMIN}", "content-type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        asked = urllib.request.Request(f"{self.issuer}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked) as answer:
            return dict(json.load(answer))

    @property
    def live(self) -> list[str]:
        found = self.admin("GET", "/_state")["live"]
        assert isinstance(found, list)
        return [key["value"] for key in found]


@pytest.fixture
def host(systemd: Systemd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    port = tmp_path / "port"
    environment = {**os.environ, "DEMO_ADMIN_KEY": ADMIN}
    with subprocess.Popen(
        [sys.executable, "-m", "rotator.demo.issuer", str(port)], env=environment
    ) as process:
        wait_for("the issuer", lambda: port.exists() and port.read_text(), 20)
        systemd.inward(int(port.read_text()))
        yield Host(systemd, f"http://127.0.0.1:{port.read_text()}")
        process.kill()


def test_the_page_leads_to_a_unit_that_rotates(host: Host) -> None:
    made = host.admin(
        "POST", "/v1/organization/projects/proj_abc/service_accounts", {"name": "made by hand"}
    )
    old = dict(made["api_key"])["value"]  # type: ignore[call-overload]
    host.must(_BEFORE)
    for name in ("rotate", "rotator"):
        packages = f"/srv/checkout/.venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        python = f"/srv/python/bin/python{sys.version_info[0]}.{sys.version_info[1]}"
        host.write(
            Path("/opt/rotator/bin") / name,
            _PROGRAM.format(python=python, packages=packages, name=name),
            "755",
        )
    host.write(Path("/srv/app.env"), f"PORT=80\nOPENAI_API_KEY={old}\n")
    host.server.unit(
        "app.service", "/bin/sleep 1000", EnvironmentFile="/etc/app/app.env", User="app"
    )

    lines = commands(PAGE)
    by_hand = lines.index("systemctl daemon-reload")
    for line in lines[:by_hand]:
        if line.startswith(("python3 -m venv", "/opt/rotator/bin/pip")):
            continue
        host.must(f"cd /srv/checkout && {line}", f"{ADMIN}\n" if "openai-admin" in line else "")
    host.must("systemctl start app.service")
    host.write(
        _PLAYBOOK,
        _FILES[_PLAYBOOK].replace("  project:", f"  base_url: {host.issuer}/v1\n  project:"),
    )

    # What the table says, before each of its lines is in a drop-in.
    look = "systemctl daemon-reload && rotator-by-hand rotate openai-prod --dry-run"
    done = host.run(look)
    assert done.returncode == 6 and "the unit has no credential openai-admin" in done.stdout, done
    for path in _FILES:
        if path.name == _CREDENTIAL:
            host.write(path, _FILES[path])
    done = host.run(look)
    assert done.returncode == 6 and "its file system is read-only for rotator" in done.stdout, done
    assert (
        "ReadWritePaths=/etc/app" in done.stdout
        and "sudo does nothing where new privileges" in done.stdout
    ), done
    assert host.run("systemctl start rotator.service").returncode == 1, "the unit says the same"
    assert host.live == [old], "nothing was made"

    for path, body in _FILES.items():
        if path not in (_PLAYBOOK,) and path.name != _CREDENTIAL:
            host.write(path, body, "440" if path.parent.name == "sudoers.d" else "644")
    for line in lines[by_hand:]:
        done = host.run(line)
        assert done.returncode == 0, (
            f"{line}: {done.stdout}{done.stderr}{host.run('journalctl -u rotator -n 30').stdout}"
        )
    held = host.must("cat /etc/app/app.env")
    assert held.startswith("PORT=80\nOPENAI_API_KEY=sk-svcacct-") and old not in held
    new = held.split("OPENAI_API_KEY=")[1].strip()
    assert sorted(host.live) == sorted([old, new]), "the old key has its grace"
    assert host.server.environment("app.service")["OPENAI_API_KEY"] == new
    assert host.must("stat -c '%U:%G %a' /etc/app/app.env").strip() == "rotator:app 640"
    assert host.must("stat -c '%U %a' /var/lib/rotator").strip() == "rotator 700"
    assert host.must("systemctl is-active rotator.timer").strip() == "active"
    assert host.run("rotator-by-hand rotator revoke openai-prod").returncode == 0 and host.live == [
        new
    ]
    assert host.run("rotator-by-hand rotate nope").returncode == 2, "the exit code is rotate's own"
    assert host.run("rotator-by-hand sh").returncode == 2


def test_the_rules_for_sudo_are_those_of_the_systemd_page() -> None:
    """A test runs with exactly those of the other page; these are the same for one unit on this
    machine.
    """
    there = SYSTEMD_PAGE.read_text()
    for line in _FILES[Path("/etc/sudoers.d/rotator")].splitlines()[1:]:
        assert line.split("^")[0] in there
