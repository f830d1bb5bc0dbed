"""A machine with several services and a daemon that rotates their keys, under traffic."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rotator.demo.world import Traffic, _installed
from tests.acceptance.issued import Issued
from tests.servers.tools import asked, free_port, wait_for


class Machine(Issued):
    """`services` of them, each with a .env, a process, a playbook that is due each minute, and
    traffic.
    """

    def __init__(self, folder: Path, services: int) -> None:
        super().__init__(folder)
        self.names = [f"service-{number}" for number in range(services)]
        self.log = folder / "daemon.log"
        self.address = f"127.0.0.1:{free_port()}"
        self._services = []
        self.daemon: subprocess.Popen[bytes] | None = None
        for name in self.names:
            home = folder / "app" / name
            home.mkdir()
            key = self.first if name == self.names[0] else self.made_by_hand(f"by hand {name}")
            (home / ".env").write_text(f"OPENAI_API_KEY={key}\n")
            (home / ".env").chmod(0o600)
            argv = [str(home / ".env"), str(home / "pid"), f"http://127.0.0.1:{self.issuer}"]
            self._services.append(
                subprocess.Popen(
                    [sys.executable, "-m", "rotator.demo.consumer", *argv, str(home / "port")],
                    cwd=home,
                    env=self.environment,
                    stderr=(home / "log").open("ab"),
                )
            )
        for name in self.names:
            self.playbook(name)
            wait_for(name, lambda: self._port(name))  # noqa: B023
            traffic = Traffic(f"http://127.0.0.1:{self._port(name)}", per_second=10)
            traffic.start(1)
            self.traffic.append(traffic)

    def playbook(self, name: str, **more: Any) -> None:
        home, url = self.folder / "app" / name, f"http://127.0.0.1:{self.issuer}"
        book = {
            "schedule": {"every": "1m"},
            "generate": {
                "uses": "openai",
                "project": "proj_demo",
                "admin_key": {"env": "DEMO_ADMIN_KEY"},
                "base_url": f"{url}/v1",
            },
            "store": [{"uses": "dotenv", "path": f"{home}/.env", "key": "OPENAI_API_KEY"}],
            "restart": [
                {
                    "uses": "process",
                    "pid_file": f"{home}/pid",
                    "signal": "HUP",
                    "env": "OPENAI_API_KEY",
                }
            ],
            "evidence": "read",
            "revoke": {"grace": "0s", "quiet": "0s", "watch": "0s"},
            "limits": {"step": "20s", "pass_interval": "50ms", "list_lag": "100ms"},
            **more,
        }
        self.written(name, json.dumps(book))

    def written(self, name: str, text: str) -> None:
        """A playbook's file is replaced, as an editor or a deployment does it."""
        new = self.folder / "playbooks" / f".{name}.new"
        new.write_text(text)
        new.rename(self.folder / "playbooks" / f"{name}.yaml")

    def start_daemon(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        words = [*_installed("rotator"), "daemon", *(arguments or ("--listen", self.address))]
        self.daemon = subprocess.Popen(
            words,
            env={**self.environment, "ROTATOR_LOG_FORMAT": "json", **environment},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log.open("ab"),
        )
        return self.daemon

    def wait_until_ready(self) -> None:
        wait_for("the daemon", lambda: self.ask("/readyz")[0] == 200, 30, alive=self._died)

    def _died(self) -> str:
        ended = self.daemon is None or self.daemon.poll() is not None
        return f"it ended: {self.log.read_text()[-2000:]}" if ended else ""

    def stop_daemon(self, number: int = signal.SIGTERM) -> float:
        """Seconds until it has ended, with 0 where it was asked to."""
        assert self.daemon is not None
        begun = time.monotonic()
        self.daemon.send_signal(number)
        code = self.daemon.wait(60)
        assert code == (0 if number == signal.SIGTERM else -number), self.log.read_text()[-2000:]
        return time.monotonic() - begun

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        """0 where nobody listens."""
        return asked(self.address, method, path)

    def metric(self, line: str) -> float | None:
        """The value of a series, named as it stands there; None where there is no such one."""
        found = [one for one in self.ask("/metrics")[1].splitlines() if one.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else None

    def rotations(self) -> list[tuple[str, float, str]]:
        """Playbook, beginning and outcome of each that ended."""
        return self._journal(
            "SELECT playbook, began, outcome FROM rotations WHERE NOT active ORDER BY began"
        )

    def unfinished(self) -> int:
        [(number,)] = self._journal(
            "SELECT (SELECT count(*) FROM rotations WHERE active)"
            " + (SELECT count(*) FROM debts WHERE open)"
        )
        return int(number)

    def _journal(self, query: str) -> list[Any]:
        path = self.folder / "state" / "journal.db"
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as journal:
            try:
                return journal.execute(query).fetchall()
            except sqlite3.OperationalError:  # it is just being made
                return []

    def a_minute_passes(self, name: str) -> None:
        """For the schedule of one playbook alone: it is due."""
        path = self.folder / "state" / "journal.db"
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as journal, journal:
            journal.execute(
                "UPDATE playbooks SET counts_from = counts_from - 60, due = NULL WHERE name = ?",
                (name,),
            )

    def stored(self, name: str) -> str:
        text = (self.folder / "app" / name / ".env").read_text()
        return text.strip().partition("=")[2]

    def promises_hold(self) -> None:
        """One live key a service, in its .env; every request was answered."""
        assert sorted(self.live) == sorted(self.stored(name) for name in self.names)
        self.nobody_noticed()

    def _port(self, name: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.folder / "app" / name / "port").read_text())
        return 0

    def close(self) -> None:
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait()
        for traffic in self.traffic:
            traffic.stop()
        for name in self.names:
            self.command_to_end(self.folder / "app" / name / "pid")
        for service in self._services:
            service.wait(20)
        super().close()

    def command_to_end(self, pid_file: Path) -> None:
        with contextlib.suppress(OSError, ValueError, ProcessLookupError):
            os.kill(int(pid_file.read_text()), signal.SIGTERM)


@contextlib.contextmanager
def machine(folder: Path, services: int) -> Iterator[Machine]:
    found = Machine(folder, services)
    try:
        yield found
    finally:
        found.close()
