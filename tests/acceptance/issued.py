"""What worlds with a real issuer of keys have in common: the issuer, the installed command, traffic
to services.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rotator.demo.world import Traffic, _installed
from tests.acceptance import kills
from tests.servers.tools import HOST, wait_for

CONSUMER = Path(__file__).with_name("container_consumer.py")


class Balancer(BaseHTTPRequestHandler):
    """In front of both containers; one that does not take a request is passed over, as nginx's
    next_upstream does.
    """

    backends: list[int]
    turn = 0

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        type(self).turn += 1
        ordered = [
            self.backends[(self.turn + i) % len(self.backends)] for i in range(len(self.backends))
        ]
        for port in ordered:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            try:
                connection.request("GET", "/")
                status = connection.getresponse().status
                break
            except (OSError, http.client.HTTPException):
                status = 503
            finally:
                connection.close()
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()


class Issued:
    """A folder with state, playbooks and the service's program; an issuer with a first key, made by
    hand.
    """

    printed = ""  # what the last command said, told where a test fails

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin_key = f"sk-admin-{secrets.token_urlsafe(24)}"
        self.environment = {
            **os.environ,
            "DEMO_ADMIN_KEY": self.admin_key,
            "ROTATOR_HOME": str(folder / "state"),
            "ROTATOR_PLAYBOOKS": str(folder / "playbooks"),
        }
        argv = [sys.executable, "-m", "rotator.demo.issuer", str(folder / "issuer.port")]
        self.issuer_process = subprocess.Popen(argv, env=self.environment, cwd=folder)
        wait_for(
            "the issuer",
            lambda: (folder / "issuer.port").exists() and (folder / "issuer.port").read_text(),
        )
        self.issuer = int((folder / "issuer.port").read_text())
        self.first = self.made_by_hand("made by hand")
        self.traffic: list[Traffic] = []
        self._balancers: list[ThreadingHTTPServer] = []
        for name in ("playbooks", "app"):
            (folder / name).mkdir()
        (folder / "app" / "consumer.py").write_text(CONSUMER.read_text())
        self.only = (
            folder / "app" / "only"
        )  # a service that finds it works with the key in it alone

    def write_playbook(self, data: dict[str, Any]) -> None:
        generate = {
            "uses": "openai",
            "project": "proj_demo",
            "admin_key": {"env": "DEMO_ADMIN_KEY"},
            "base_url": f"http://127.0.0.1:{self.issuer}/v1",
        }
        usual = {
            "generate": generate,
            "revoke": {"grace": "0s", "quiet": "0s", "watch": "0s"},
            "limits": {"step": "60s", "pass_interval": "50ms", "list_lag": "100ms"},
        }
        (self.folder / "playbooks" / "app.yaml").write_text(json.dumps({**usual, **data}))

    def serve(self, addresses: Iterable[str], per_second: int = 20) -> None:
        """Traffic to each of these, once it answers."""
        self.traffic = [Traffic(address, per_second=per_second) for address in addresses]
        for traffic in self.traffic:
            wait_for("the service", lambda url=traffic.url: serves(url), 30)
        for traffic in self.traffic:
            traffic.start(2)

    def balance(self, backends: Sequence[int]) -> str:
        """The address of a balancer before these ports."""
        balancer = ThreadingHTTPServer(
            (HOST, 0), type("Here", (Balancer,), {"backends": list(backends)})
        )
        balancer.daemon_threads = True
        threading.Thread(target=balancer.serve_forever, daemon=True).start()
        self._balancers.append(balancer)
        return f"http://{HOST}:{balancer.server_port}"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(HOST, self.issuer, timeout=10)
        headers = {"authorization": f"Bearer {self.admin_key}"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        return json.loads(connection.getresponse().read())

    def made_by_hand(self, name: str) -> str:
        """The value of a new key that rotator did not make."""
        path = "/v1/organization/projects/proj_demo/service_accounts"
        return str(self.admin("POST", path, {"name": name})["api_key"]["value"])

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_installed("rotate"), "app", *(arguments or ("--wait",))],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def rotate(self, *arguments: str, **environment: str) -> tuple[int, str]:
        process = self.start(*arguments, **environment)
        out, _ = process.communicate(timeout=300)
        self.printed = f"rotate app ended with {process.returncode}\n{out}"
        return process.returncode, out

    def in_grace(self, seconds: int = 12) -> subprocess.Popen[str]:
        """`rotate app --wait`, past its pivot, the old key in its grace."""
        path = self.folder / "playbooks" / "app.yaml"
        playbook = json.loads(path.read_text())
        playbook["revoke"]["grace"] = f"{seconds}s"
        path.write_text(json.dumps(playbook))
        process = self.start()

        def over() -> bool:
            with (
                contextlib.suppress(sqlite3.Error),
                sqlite3.connect(self.folder / "state" / "journal.db") as journal,
            ):
                return bool(
                    journal.execute("SELECT count(*) FROM debts WHERE open").fetchone()[0] == 1
                )
            return False

        wait_for(
            "the pivot",
            over,
            60,
            0.05,
            lambda: "rotate ended" if process.poll() is not None else "",
        )
        return process

    def command(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another of the installed commands."""
        done = subprocess.run(
            [*_installed(script), *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.printed = (
            f"{script} {' '.join(arguments)} ended with"
            f" {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done

    def run(self, **environment: str) -> tuple[int, str]:
        return self.rotate(**environment)

    def promises_hold(self) -> None:
        """One live key; stores and consumers have it; nobody noticed."""
        raise NotImplementedError

    def went_back(self) -> None:
        """A rotation was undone: the key of before is in force everywhere."""
        self.promises_hold()

    def survives_kills(self) -> Counter[str]:
        """Killed at each place that depends on the world, on the way back, too; in full at every
        one there is.
        """
        if kills.EVERYWHERE:
            seen = kills.survive_everywhere(self, 1)
        else:
            seen = kills.survive(self, kills.OF_A_WORLD, self.carried_on)
        self.only.write_text(self.live[0])  # no other key works for its services
        seen += kills.survive(self, kills.GOING_BACK, self._gone_back)
        self.only.unlink()
        self.carried_on()
        return seen

    def killed_after(self, seconds: float) -> None:
        """`rotate app --wait`, SIGKILLed then, wherever it is."""
        process = self.start()
        time.sleep(seconds)
        process.kill()
        process.communicate()

    def carried_on(self) -> None:
        kills.carry_on(self)

    def _gone_back(self) -> None:
        code, out = self.rotate()
        assert code == 3, out
        assert self.live == [self.only.read_text()]
        self.went_back()

    @property
    def live(self) -> list[str]:
        return [key["value"] for key in self.admin("GET", "/_state")["live"]]

    @property
    def requests(self) -> int:
        return sum(traffic.requests for traffic in self.traffic)

    def nobody_noticed(self) -> None:
        for traffic in self.traffic:
            assert not traffic.failures, traffic.failures[:3]

    def close(self) -> None:
        for traffic in self.traffic:
            traffic.stop()
        for balancer in self._balancers:
            balancer.shutdown()
            balancer.server_close()
        self.issuer_process.terminate()
        self.issuer_process.wait(10)


def serves(address: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
