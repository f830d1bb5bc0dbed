"""The demo's little world: an issuer, a consumer, traffic, a playbook; all of this machine, all
real.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PLAYBOOK = """\
description: the key of a demo service
generate:
  uses: openai
  project: proj_demo
  admin_key: {{env: DEMO_ADMIN_KEY}}
  base_url: {issuer}/v1
store:
  - {{uses: dotenv, path: "{folder}/.env", key: OPENAI_API_KEY}}
restart:
  - {{uses: process, pid_file: "{folder}/consumer.pid", signal: HUP, env: OPENAI_API_KEY}}
evidence: read
verify:
  - uses: provider
  - {{uses: http, url: "{consumer}/", expect: {{status: 200, body: ["upstream == `200`"]}}}}
revoke: {{grace: 0s, quiet: 0s, watch: 0s}}
limits: {{step: {step}, pass_interval: 100ms, list_lag: 1s}}
"""


def _installed(verb: str) -> list[str]:
    """The installed command beside this Python: `rotate`, or `rotator` for the other verbs."""
    script = Path(sys.executable).with_name("rotate" if verb == "rotate" else "rotator")
    return (
        [str(script)]
        if script.exists()
        else [sys.executable, "-m", "rotator", *(["rotate"] * (verb == "rotate"))]
    )


@dataclass
class Traffic:
    """Requests to the consumer, at a steady pace, from start to stop; every failure is kept."""

    url: str
    per_second: int = 60
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, workers: int = 4) -> None:
        for _ in range(workers):
            thread = threading.Thread(
                target=self._run, args=(workers / self.per_second,), daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def _run(self, pause: float) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            problem = self._one()
            with self._lock:
                self.requests += 1
                if problem:
                    self.failures.append(problem)
            self._stop.wait(max(0.0, pause - (time.monotonic() - begun)))

    def _one(self) -> str:
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            return "" if answer.status == 200 else f"status {answer.status}"
        except OSError as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


# Settings of whoever calls it, an image's for instance, that would lead elsewhere or print more
_UNSET = (
    "ROTATOR_CONFIG",
    "ROTATOR_DATABASE_URL",
    "ROTATOR_KEY",
    "ROTATOR_KEY_FILE",
    "ROTATOR_KEY_COMMAND",
    "ROTATOR_SEAL_WITH",
    "ROTATOR_AUDIT_STREAM",
    "ROTATOR_AUDIT_EXPORT",
)


class DemoWorld:
    """Starts everything in a folder, and ends what it started."""

    def __init__(self, folder: Path, step: str = "2s", stays: bool = False) -> None:
        """`stays`: it outlives this process, and has no playbook yet."""
        self.folder, self.stays = folder, stays
        self.environment = {
            **os.environ,
            "DEMO_ADMIN_KEY": f"sk-admin-{secrets.token_urlsafe(24)}",
            "ROTATOR_HOME": str(folder / "state"),
            "ROTATOR_PLAYBOOKS": str(folder / "playbooks"),
            **dict.fromkeys(_UNSET, ""),
            "ROTATOR_EPHEMERAL": "true",
        }
        self._issuer = self._process("rotator.demo.issuer", str(folder / "issuer.port"))
        self.issuer = f"http://127.0.0.1:{self._number(folder / 'issuer.port')}"
        first = self.admin(
            "POST", "/v1/organization/projects/proj_demo/service_accounts", {"name": "made by hand"}
        )
        (folder / ".env").write_text(
            f"# the demo service\nOPENAI_API_KEY={first['api_key']['value']}\nLOG=info\n"
        )
        (folder / ".env").chmod(0o600)
        self._process(
            "rotator.demo.consumer",
            str(folder / ".env"),
            str(folder / "consumer.pid"),
            self.issuer,
            str(folder / "consumer.port"),
        )
        self.consumer = f"http://127.0.0.1:{self._number(folder / 'consumer.port')}"
        self._number(folder / "consumer.pid")
        self.traffic = Traffic(self.consumer)
        if stays:
            self._leave_what_init_looks_for()
        else:
            (folder / "playbooks").mkdir(exist_ok=True)
            self.write_playbook(step)

    def _leave_what_init_looks_for(self) -> None:
        """The address and the project beside the key, the administrator's credential in a file of
        its own, and a journal that is this world's.
        """
        with (self.folder / ".env").open("a") as file:
            file.write(f"OPENAI_BASE_URL={self.issuer}/v1\nOPENAI_PROJECT_ID=proj_demo\n")
        admin = self.folder / "openai-admin"
        admin.touch(mode=0o600)
        admin.write_text(self.environment["DEMO_ADMIN_KEY"])
        (self.folder / "rotator.toml").write_text(f'home = "{self.folder / "state"}"\n')
        (self.folder / "issuer.pid").write_text(str(self._issuer.pid))

    def write_playbook(self, step: str = "2s") -> None:
        text = _PLAYBOOK.format(
            issuer=self.issuer, consumer=self.consumer, folder=self.folder, step=step
        )
        (self.folder / "playbooks" / "demo.yaml").write_text(text)

    def _process(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self.folder / "services.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=log if self.stays else None,
            stderr=log,
            start_new_session=self.stays,
        )

    def _number(self, path: Path) -> int:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                return int(path.read_text())
            time.sleep(0.02)
        raise RuntimeError(
            f"the demo's service did not start: {(self.folder / 'services.log').read_text()[-400:]}"
        )

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A call to the issuer with the administrator's key (or its control paths)."""
        where = urlsplit(self.issuer)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
        try:
            connection.request(
                method,
                path,
                json.dumps(body) if body is not None else None,
                {"authorization": f"Bearer {self.environment['DEMO_ADMIN_KEY']}"},
            )
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def rotator(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*_installed(arguments[0]), *arguments[arguments[0] == "rotate" :]],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )

    def start_rotate(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_installed("rotate"), "demo", "--wait"],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    # --- what is so now ---
    @property
    def live_keys(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.admin("GET", "/_state")["live"]
        return found

    @property
    def stored_key(self) -> str:
        from rotator.demo.consumer import key_in

        return key_in(self.folder / ".env")

    @property
    def consumer_pid(self) -> int:
        return int((self.folder / "consumer.pid").read_text())

    @property
    def consumer_key(self) -> str:
        """The key that the serving process was started with."""
        environment = Path(f"/proc/{self.consumer_pid}/environ").read_bytes().split(b"\0")
        return next(
            e.partition(b"=")[2].decode() for e in environment if e.startswith(b"OPENAI_API_KEY=")
        )

    def close(self) -> None:
        self.traffic.stop()
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.consumer_pid, signal.SIGTERM)
        self._issuer.terminate()
        self._issuer.wait(10)
