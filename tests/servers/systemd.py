"""systemd as the first process of a container that shares the machine's /usr; reached by ssh on
127.0.0.1.

Files of `shared` are in /srv/shared inside, this checkout in /srv/checkout, Python in
/srv/python (elsewhere it may be closed to other users); unit files are written by `unit`.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.server import OWN_PORTS, Server
from tests.servers.tools import (
    ENV,
    HERE,
    HOST,
    apt,
    children,
    free_port,
    may_install,
    proc_start,
    run,
    wait_for,
)

_MASKED = (
    "systemd-logind.service",
    "systemd-timesyncd.service",
    "docker.socket",
    "systemd-firstboot.service",
)
_MASKED += ("ssh.socket", "ssh.service")
_SSHD = """\
Port 2022
ListenAddress 127.0.0.1
HostKey /srv/ssh/host
AuthorizedKeysFile /srv/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
UsePAM no
PidFile none
StrictModes no
PrintMotd no
UseDNS no
"""
_SSHD_UNIT = """\
[Unit]
After=basic.target
[Service]
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755
ExecStartPre=/bin/sh -c 'grep -qs ^sshd: /etc/passwd || echo sshd:x:74:65534::/run/sshd:/usr/sbin/nologin >>/etc/passwd'
ExecStartPre=/bin/sh -c 'touch /etc/shadow; sed -i s/^root:[^:]*:/root:*:/ /etc/shadow'
ExecStart=/usr/sbin/sshd -D -e -f /srv/ssh/sshd_config
KillMode=process
"""


class Systemd(Server):
    """`config` is ssh's configuration for it, in which it is called `name`."""

    root = True
    name = "unit-host"

    @classmethod
    def install(cls) -> None:
        if not may_install():  # root: `make test` is for Python alone
            pytest.skip("systemd is tested in a container of its own: CI=1 make test, as root")
        tools = (
            "systemd-nspawn",
            "dbus-daemon",
            "sshd",
            "ssh-keygen",
            "/lib/systemd/systemd",
            "nsenter",
            "sudo",
            "/usr/lib/polkit-1/polkitd",
        )
        packages = (
            "systemd",
            "systemd-container",
            "dbus",
            "openssh-server",
            "openssh-client",
            "sudo",
            "polkitd",
        )
        apt(*packages, tools=tools)

    def up(self) -> dict[str, Any]:
        self.shared, self.config, self.port = (
            self.dir / "srv",
            self.dir / "ssh" / "config",
            free_port(),
        )
        for name in ("srv", "units", "ssh"):
            (self.dir / name).mkdir(exist_ok=True)
        self.dir.chmod(0o755)
        self._keys()
        (self.dir / "units" / "test-sshd.service").write_text(_SSHD_UNIT)
        self._boot()
        run(["nsenter", "-t", self.leader, "-n", "--", "sh", "-c", OWN_PORTS])
        run(self.inside("systemctl", "start", "test-sshd.service"))
        self.forward("ssh", "self", f"{HOST}:{self.port}", str(self.leader), f"{HOST}:2022")
        wait_for("ssh", lambda: self.ssh("true") or True, 20, 0.1, self.ended)
        return {"SSH_CONFIG": self.config}

    def _keys(self) -> None:
        folder = self.dir / "ssh"
        for name in ("host", "client"):
            if not (folder / name).exists():
                run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name]
                )
        (folder / "sshd_config").write_text(_SSHD)
        shutil.copy(folder / "client.pub", folder / "authorized_keys")
        known = " ".join((folder / "host.pub").read_text().split()[:2])
        (folder / "known_hosts").write_text(f"[{HOST}]:{self.port} {known}\n")
        self.config.write_text(
            f"Host {self.name} {self.name}-too\n HostName {HOST}\n Port {self.port}\n User root\n"
            f" IdentityFile {folder}/client\n IdentitiesOnly yes\n UserKnownHostsFile"
            f" {folder}/known_hosts\n StrictHostKeyChecking yes\n"
        )

    def _boot(self) -> None:
        machine = "rotator-" + hashlib.sha256(str(self.dir).encode()).hexdigest()[:10]
        folders = {"srv": "shared", "units": "units", "ssh": "ssh"}
        binds = [f"--bind={self.dir}/{name}:/srv/{inside}" for name, inside in folders.items()]
        binds += [
            f"--bind-ro={HERE.parents[1]}:/srv/checkout",
            f"--bind-ro={sys.base_prefix}:/srv/python",
        ]
        options = ["-q", "-D", "/", "--volatile=yes", "-M", machine, "--register=no", "--keep-unit"]
        options += [
            "--private-network",
            *binds,
            "--setenv=SYSTEMD_UNIT_PATH=/srv/units:",
            "--console=pipe",
        ]
        if not Path(sys.base_prefix).is_relative_to("/usr"):
            options += [f"--bind-ro={sys.base_prefix}"]
        options += ["--boot", "systemd.unit=basic.target"]
        options += [f"systemd.mask={name}" for name in _MASKED]
        self.spawn("nspawn", ["systemd-nspawn", *options], grace=15)
        part = self._part("nspawn")

        def booted() -> bool:
            inner = children(part.pid)
            if not inner:
                return False
            part.inner, part.inner_start, part.signal = (
                inner[0],
                proc_start(inner[0]),
                signal.SIGRTMIN + 4,
            )
            asked = subprocess.run(
                self.inside("systemctl", "is-system-running"),
                env=ENV,
                capture_output=True,
                text=True,
            )
            return asked.stdout.strip() in ("running", "degraded")

        wait_for("systemd", booted, 60, 0.05, self.ended)
        self.leader = part.inner
        self._save()

    def inside(self, *argv: str) -> list[str]:
        """The command line of a command in the container."""
        leader = str(self._part("nspawn").inner)
        return ["nsenter", "-t", leader, "-m", "-u", "-i", "-n", "-p", "--", *argv]

    def ssh(self, script: str) -> str:
        return run(["ssh", "-F", self.config, "-o", "BatchMode=yes", self.name, script])

    @contextmanager
    def user(self, name: str, sudoers: str) -> Iterator[Path]:
        """For a while, a user who may do by sudo what these rules say; ssh's configuration that
        reaches the host so.
        """
        home = f"/home/{name}"
        self.ssh(
            f"echo {name}:x:1500:1500::{home}:/bin/sh >>/etc/passwd; mkdir -p {home} /etc/pam.d"
        )
        self.ssh(
            "for one in auth account session; do echo $one required pam_permit.so; done"
            " >/etc/pam.d/sudo"
        )
        (self.shared / "sudoers").write_text(sudoers)
        self.ssh("install -m 440 /srv/shared/sudoers /etc/sudoers && visudo -cf /etc/sudoers")
        config = self.dir / "ssh" / f"config-{name}"
        config.write_text(self.config.read_text().replace("User root", f"User {name}"))
        try:
            yield config
        finally:
            self.ssh(f"sed -i /^{name}:/d /etc/passwd; rm -r {home} /etc/sudoers")

    def systemctl(self, *arguments: str) -> str:
        return run(self.inside("systemctl", *arguments))

    def unit(self, name: str, start: str, **settings: str) -> None:
        """A service of this command; settings as `EnvironmentFile="…"`."""
        lines = [f"{key}={value}" for key, value in {"ExecStart": start, **settings}.items()]
        (self.dir / "units" / name).write_text("\n".join(["[Service]", *lines, ""]))
        self.systemctl("daemon-reload")

    def environment(self, unit: str) -> dict[str, str]:
        """What its main process was started with."""
        pid = self.systemctl("show", "-p", "MainPID", "--value", unit).strip()
        words = run(self.inside("cat", f"/proc/{pid}/environ")).split("\0")
        return dict(word.split("=", 1) for word in words if "=" in word)

    def inward(self, port: int) -> None:
        """Units reach the machine's 127.0.0.1:PORT at the same address."""
        self.forward(f"in-{port}", str(self.leader), f"{HOST}:{port}", "self", f"{HOST}:{port}")

    def outward(self, port: int) -> None:
        """The machine's 127.0.0.1:PORT leads to the units' own."""
        self.forward(f"out-{port}", "self", f"{HOST}:{port}", str(self.leader), f"{HOST}:{port}")
