"""An issuer that does harm to some requests, or is silent, and what rotator does beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rotator.demo.world import _installed
from tests.acceptance.issued import Issued

Fault = Callable[[BaseHTTPRequestHandler], None]


def down(handler: BaseHTTPRequestHandler) -> None:
    body = b'{"error": {"message": "down"}}'
    handler.send_response(503)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"1\r\n \r\n")
            time.sleep(0.5)


class Nasty(Issued):
    """An issuer behind a server that does harm to some requests, by method; a .env, and a program
    that restarts.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.faults: dict[str, Fault] = {}
        self.between = ThreadingHTTPServer(("127.0.0.1", 0), _between(self))
        self.between.daemon_threads = True
        threading.Thread(target=self.between.serve_forever, daemon=True).start()
        self.env = folder / "app" / ".env"
        self.env.write_text(f"OPENAI_API_KEY={self.first}\n")
        self.env.chmod(0o600)
        self.restart("true")

    def restart(self, script: str) -> None:
        program = self.folder / "restart.sh"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def book(self, step: str, timeout: int = 60, **revoke: str) -> None:
        url = f"http://127.0.0.1:{self.between.server_port}/v1"
        generate = {
            "uses": "openai",
            "project": "proj_demo",
            "admin_key": {"env": "DEMO_ADMIN_KEY"},
            "base_url": url,
        }
        run = [str(self.folder / "restart.sh")]
        self.write_playbook(
            {
                "generate": generate,
                "store": [{"uses": "dotenv", "path": str(self.env), "key": "OPENAI_API_KEY"}],
                "restart": [
                    {"uses": "command", "run": run, "ready": ["/bin/true"], "timeout": timeout}
                ],
                "evidence": "answers",
                "revoke": {"grace": "0s", "quiet": "0s", "soak": "0s", "watch": "0s", **revoke},
                "limits": {"step": step, "passes": 1, "pass_interval": "100ms", "list_lag": "1s"},
            }
        )

    @property
    def stored(self) -> str:
        return self.env.read_text().strip().partition("=")[2]

    @property
    def live(self) -> list[str]:
        found = self.admin("GET", "/v1/organization/projects/proj_demo/api_keys?limit=100")["data"]
        return [str(key["id"]) for key in found]

    def ends(self, *argv: str, within: float) -> subprocess.CompletedProcess[str]:
        """The installed command, which must end in that time."""
        words = [*_installed(argv[0]), *argv[1:]]
        return subprocess.run(
            words,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
        )

    def close(self) -> None:
        self.between.shutdown()
        super().close()


def _between(world: Nasty) -> type[BaseHTTPRequestHandler]:
    class Between(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fault = world.faults.get(self.command)
            if fault is not None:
                self.close_connection = True
                fault(self)
                return
            onward = http.client.HTTPConnection("127.0.0.1", world.issuer, timeout=20)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() != "host"
            }
            onward.request(self.command, self.path, body or None, headers)
            answer = onward.getresponse()
            said = answer.read()
            self.send_response(answer.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_DELETE = handle_one

    return Between


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """The URL of a provider that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


def beside_silent(
    world: Nasty, tag: str, good: int, hanging: int, url_of_silent: str, **more: Any
) -> list[str]:
    """Playbooks that never rotated, those of a silent provider before the good ones in the order of
    names; the names of the good ones, as their .env files bear them.
    """
    names = [f"good-{tag}{number}" for number in range(good)]
    (world.folder / "playbooks" / "app.yaml").unlink(missing_ok=True)
    for file, url, these in (
        (f"a-{tag}", url_of_silent, [f"h{number}" for number in range(hanging)]),
        (f"b-{tag}", f"http://127.0.0.1:{world.issuer}/v1", names),
    ):
        if not these:
            continue
        for name in these:
            key = world.made_by_hand(f"by hand {name}")
            path = world.folder / "app" / f"{name}.env"
            path.write_text(f"OPENAI_API_KEY={key}\n")
            path.chmod(0o600)
        book = {
            "generate": {
                "uses": "openai",
                "project": "proj_demo",
                "admin_key": {"env": "DEMO_ADMIN_KEY"},
                "base_url": url,
            },
            "store": [
                {
                    "uses": "dotenv",
                    "path": f"{world.folder}/app/{{name}}.env",
                    "key": "OPENAI_API_KEY",
                }
            ],
            "restart": [{"uses": "none", "within": 0.1}],
            "evidence": "none",
            "revoke": {"grace": "1h", "quiet": "0s"},
            "limits": {"passes": 1, "list_lag": "1s", "step": "60s"},
            "for_each": [{"name": name} for name in these],
            **more,
        }
        (world.folder / "playbooks" / f"{file}.yaml").write_text(json.dumps(book))
    return names


def first_end(world: Nasty, tag: str, hanging: int, url_of_silent: str) -> float:
    """Seconds until the first good one of four has its new key, behind the silent ones."""
    schedule = {"every": "30d"}
    names = beside_silent(world, tag, 4, hanging, url_of_silent, schedule=schedule)
    first = {name: (world.folder / "app" / f"{name}.env").read_text() for name in names}
    begun = time.monotonic()
    running = subprocess.Popen(
        [*_installed("rotate"), "--due"],
        env=world.environment,
        cwd=world.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while all(
            (world.folder / "app" / f"{name}.env").read_text() == first[name] for name in names
        ):
            assert time.monotonic() - begun < 60 and running.poll() is None
            time.sleep(0.02)
        return time.monotonic() - begun
    finally:
        running.kill()
        running.wait()
        for file in (world.folder / "playbooks").glob("?-*.yaml"):
            file.unlink()
