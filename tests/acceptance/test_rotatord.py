"""rotatord.service under systemd as the first process: it rotates, is read again, stops, is watched,
and its failure is told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.installed import Host, host  # noqa: F401  (a fixture)
from tests.servers.issuers import ADMIN
from tests.servers.systemd import Systemd
from tests.servers.tools import Failed, wait_for

UNIT = "rotatord.service"
_UNITS = Path("/etc/systemd/system")
_PLAYBOOKS = Path("/etc/rotator/playbooks")
_DROP_IN = """[Service]
LoadCredential=openai-admin:/etc/rotator/openai-admin
ReadWritePaths=/srv/app
SupplementaryGroups=systemd-journal
"""
_RULE = """polkit.addRule(function (action, subject) {
  if (action.id == "org.freedesktop.systemd1.manage-units" && subject.user == "rotator" &&
      action.lookup("unit") == "app.service") {
    return polkit.Result.YES;
  }
});
"""


class Daemon:
    """The service, installed; one unit holds the key in its environment."""

    def __init__(self, host: Host) -> None:  # noqa: F811
        self.host = host
        self.first = host.key_by_hand()
        host.install()
        host.must(
            "useradd --system --home-dir /var/lib/rotator --shell /usr/sbin/nologin rotator"
            " && usermod --append --groups app rotator"
            " && install -d /etc/rotator /etc/rotator/playbooks"
            " && install -d -o rotator -g app -m 0750 /srv/app"
            f" && cp /srv/checkout/deploy/systemd/*.service {_UNITS}"
            " && install -m 0755 /srv/checkout/deploy/systemd/rotator-by-hand /usr/local/sbin/"
            " && openssl rand -base64 32 | install -m 0400 /dev/stdin /etc/rotator/rotator.key"
        )
        host.write(Path("/etc/rotator/openai-admin"), f"{ADMIN}\n", "400")
        host.write(Path("/etc/polkit-1/rules.d/50-rotator.rules"), _RULE)
        host.write(_UNITS / f"{UNIT}.d" / "here.conf", _DROP_IN)
        self._file("app", self.first)
        # It takes a moment to start, as services do: when its process began is known from the
        # moment before systemd was asked on, which on a busy machine is much earlier
        host.server.unit(
            "app.service",
            "/bin/sleep 1000",
            ExecStartPre="/bin/sleep 2",
            EnvironmentFile="/srv/app/app.env",
            User="app",
        )
        host.must("systemctl start app.service")

    def _file(self, name: str, key: str) -> None:
        path = Path(f"/srv/app/{name}.env")
        self.host.write(path, f"OPENAI_API_KEY={key}\n")
        self.host.must(f"chown rotator:app {path}")

    def playbook(self, name: str = "app", **more: Any) -> None:
        """`app` holds the first key; any other one gets a key and a file of its own."""
        if name != "app":
            self._file(name, self.host.key_by_hand())
        book = {
            "schedule": {"every": "30d"},
            "generate": {
                "uses": "openai",
                "project": "proj_abc",
                "base_url": f"{self.host.issuer}/v1",
                "admin_key": {"credential": "openai-admin"},
            },
            "store": [{"uses": "dotenv", "path": f"/srv/app/{name}.env", "key": "OPENAI_API_KEY"}],
            "restart": [{"uses": "systemd", "units": ["app.service"], "settle": 0.2}],
            "evidence": "started",
            "revoke": {"grace": "1h", "quiet": "0s"},
            **more,
        }
        self.host.write(_PLAYBOOKS / f"{name}.yaml", json.dumps(book))

    def drop_in(self, name: str, body: str) -> None:
        self.host.write(_UNITS / f"{UNIT}.d" / f"{name}.conf", body)
        self.host.must("systemctl daemon-reload")

    def start(self) -> None:
        self.host.must(f"systemctl start {UNIT}")

    def stop(self) -> None:
        self.host.must(f"systemctl stop {UNIT}")

    def until(self, what: str, condition: Callable[[], object]) -> None:
        """Within half a minute; else with its last words."""
        try:
            wait_for(what, condition, 30, 0.2)
        except Failed as error:
            raise AssertionError(f"{error}: {self.said()[-3000:]}") from error

    def shown(self, name: str) -> str:
        return self.host.must(f"systemctl show --property={name} --value {UNIT}").strip()

    def said(self) -> str:
        return self.host.must(f"journalctl --unit={UNIT} --output=cat --no-pager")

    def stored(self, name: str) -> str:
        return self.host.must(f"cat /srv/app/{name}.env").strip().partition("=")[2]

    @property
    def held(self) -> str:
        return self.host.server.environment("app.service")["OPENAI_API_KEY"]


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    """One of this module alone: what is installed there stays."""
    with Systemd(tmp_path_factory.mktemp("rotatord")) as found:
        yield found


@pytest.fixture(scope="module")
def daemon(host: Host) -> Daemon:  # noqa: F811
    return Daemon(host)


@pytest.fixture(autouse=True)
def _nothing_is_left(daemon: Daemon) -> Iterator[None]:
    yield
    daemon.host.run(f"systemctl stop {UNIT}; systemctl reset-failed {UNIT}")
    daemon.host.must(
        f"cd {_UNITS}/{UNIT}.d && find . -name '*.conf' ! -name here.conf -delete"
        f" && rm -f /etc/rotator/rotator.toml {_PLAYBOOKS}/* && systemctl daemon-reload"
    )


def test_it_is_shut_off(daemon: Daemon) -> None:
    """Its exposure is below 4 of 10, by systemd's own measure, and systemd finds no mistake."""
    files = f"/srv/checkout/deploy/systemd/{UNIT}"
    found = daemon.host.run(f"systemd-analyze security --offline=true --threshold=40 {files}")
    assert found.returncode == 0, found.stdout
    checked = daemon.host.run(f"systemd-analyze verify --man=no {_UNITS}/{UNIT}")
    assert checked.returncode == 0 and UNIT not in checked.stderr, checked.stderr


def test_it_rotates_the_key_of_a_unit_and_commands_work_beside_it(daemon: Daemon) -> None:
    """It counts as started once it has looked what is due; then it needs nobody."""
    daemon.playbook()
    daemon.start()
    assert daemon.shown("ActiveState") == "active"
    assert daemon.shown("StatusText").startswith("1 playbooks")
    daemon.until("the new key", lambda: daemon.held != daemon.first)
    new = daemon.held
    daemon.until("the end", lambda: "ended" in daemon.said())
    assert sorted(daemon.host.live) == sorted([daemon.first, new]), "the old key has its grace"
    done = daemon.host.run("rotator-by-hand rotator revoke app")
    assert done.returncode == 0, done.stdout + done.stderr
    assert daemon.host.live == [new]
    doctor = daemon.host.run("rotator-by-hand rotator doctor").stdout
    assert "the daemon looked what is due" in doctor, doctor


def test_a_reload_reads_all_playbooks_and_says_what_is_wrong(daemon: Daemon) -> None:
    """systemd counts it as done once the signal is sent: what came of it shows a moment later."""
    daemon.playbook()
    daemon.start()
    before, pid = daemon.said(), daemon.shown("MainPID")
    daemon.host.must(f"systemctl reload {UNIT}")
    daemon.until("all are read", lambda: "playbooks read" in daemon.said().removeprefix(before))
    assert "Reloaded" in daemon.said().removeprefix(before)
    broken = _PLAYBOOKS / "broken.yaml"
    daemon.host.write(broken, "generate: {uses: openai\n")
    daemon.host.must(f"systemctl reload {UNIT}")
    daemon.until("the mistake", lambda: f"{broken}:2:1" in daemon.said().removeprefix(before))
    daemon.until("the status", lambda: "1 mistakes" in daemon.shown("StatusText"))
    assert daemon.shown("ActiveState") == "active" and daemon.shown("MainPID") == pid


def test_a_stop_waits_for_the_program_that_runs(daemon: Daemon) -> None:
    """systemd tells the daemon alone: the program ends in its time, and the unit with success."""
    script = "touch /srv/app/begun; sleep 3; touch /srv/app/over"
    daemon.playbook(
        "slow",
        restart=[{"uses": "command", "run": ["sh", "-c", script]}],
        evidence="none",
    )
    daemon.start()
    begun = "test -e /srv/app/begun"
    daemon.until("the program", lambda: daemon.host.run(begun).returncode == 0)
    assert daemon.host.run("test -e /srv/app/over").returncode == 1
    daemon.stop()
    assert daemon.host.run("test -e /srv/app/over").returncode == 0
    assert (daemon.shown("Result"), daemon.shown("ActiveState")) == ("success", "inactive")


def test_the_watchdog_starts_one_that_stands_still_anew(daemon: Daemon) -> None:
    daemon.playbook()
    daemon.drop_in("watched", "[Service]\nWatchdogSec=5\nRestartSec=100ms\n")
    daemon.start()
    pid = daemon.shown("MainPID")
    time.sleep(6)
    assert daemon.shown("MainPID") == pid, "one that turns is left alone"
    daemon.host.must(f"systemctl kill --kill-whom=main --signal=STOP {UNIT}")
    daemon.until(
        "another one",
        lambda: daemon.shown("MainPID") not in ("0", pid) and daemon.shown("SubState") == "running",
    )
    assert "Watchdog timeout" in daemon.said() and daemon.shown("NRestarts") == "1"


def test_what_no_further_try_puts_right_is_told_once(daemon: Daemon) -> None:
    """A mistake in its settings: it stays down, and the program of OnFailure= is called."""
    told = Path("/run/told")
    daemon.host.write(Path("/etc/rotator/failed"), f'echo "$1" >>{told}\n')
    daemon.host.write(Path("/etc/rotator/rotator.toml"), 'hoem = "/nowhere"\n')
    daemon.drop_in("soon", "[Service]\nRestartSec=100ms\n")
    assert daemon.host.run(f"systemctl start {UNIT}").returncode == 1
    daemon.until("the call", lambda: daemon.host.run(f"test -s {told}").returncode == 0)
    time.sleep(1)
    assert daemon.host.must(f"cat {told}") == f"{UNIT}\n"
    assert (daemon.shown("ActiveState"), daemon.shown("NRestarts")) == ("failed", "0")
    assert "unknown setting 'hoem'" in daemon.said()


def test_a_leak_is_answered_beside_it(daemon: Daemon) -> None:
    """While it rotates that very key: it gets the order, the command follows, the key dies."""
    script = "touch /srv/app/turned; sleep 3"
    daemon.playbook(
        "leaked", restart=[{"uses": "command", "run": ["sh", "-c", script]}], evidence="none"
    )
    leaked = daemon.stored("leaked")
    daemon.start()
    daemon.until("it rotates", lambda: daemon.host.run("test -e /srv/app/turned").returncode == 0)
    assert leaked in daemon.host.live
    done = daemon.host.run("rotator-by-hand rotate leaked --compromised --reason test")
    assert done.returncode == 0 and "is dead, proven" in done.stdout, done.stdout + done.stderr
    assert leaked not in daemon.host.live and daemon.stored("leaked") in daemon.host.live
    assert daemon.shown("ActiveState") == "active"
