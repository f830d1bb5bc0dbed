"""A container engine behind ssh: what ssh is started with, and what its failures mean."""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from rotator import deadline, environment
from rotator.errors import AccessDenied, ConfigError, PermanentError, RotatorError, TransientError
from rotator.integrations.docker import client
from rotator.integrations.docker.client import EngineConnection

pytest.importorskip("docker")

_SSH = """#!{python}
import os, select, socket, sys
open({folder!r} + "/environ", "w").write("\\n".join(sorted(os.environ)))
open({folder!r} + "/words", "a").write(" ".join(sys.argv[1:]) + "\\n")
{then}
"""
_DIAL = """
engine = socket.socket(socket.AF_UNIX)
engine.connect({socket!r})
while True:
    ready, _, _ = select.select([0, engine], [], [])
    if 0 in ready:
        asked = os.read(0, 65536)
        if not asked: break
        engine.sendall(asked)
    if engine in ready:
        told = engine.recv(65536)
        if not told: break
        os.write(1, told)
"""
_CONTAINER = {
    "Id": "c1",
    "Name": "/web-1",
    "State": {"Running": True},
    "Config": {"Env": ["KEY=held there"], "Labels": {}},
}


class _Engine(BaseHTTPRequestHandler):
    """As much of an engine as an inspection asks; its clock is an hour ahead."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known: dict[str, Any] = {
            "version": {"ApiVersion": "1.43", "MinAPIVersion": "1.24"},
            "json": _CONTAINER,
            "info": {"SystemTime": "2099-01-01T00:00:00Z"},
        }
        told = json.dumps(known[self.path.rpartition("/")[2]]).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def address_string(self) -> str:
        return "here"

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its `ssh` comes first in PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def engine(folder: Path) -> Iterator[EngineConnection]:
    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    path = str(folder / "engine.sock")
    with Server(path, _Engine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ssh(folder, _DIAL.format(socket=path))
        yield EngineConnection(host="ssh://ops@build.example:2222")
        server.shutdown()


def ssh(folder: Path, then: str) -> None:
    program = folder / "ssh"
    program.write_text(_SSH.format(python=sys.executable, folder=str(folder), then=then))
    program.chmod(0o755)


def test_an_engine_behind_ssh_is_reached_as_docker_itself_does(
    engine: EngineConnection, folder: Path
) -> None:
    found = client.inspect(engine, "web-1")
    assert found is not None and found.variable("KEY") is not None
    words = (folder / "words").read_text().splitlines()
    assert "-l ops -p 2222 -- build.example docker system dial-stdio" in words[-1]
    assert found.skew > 3600, "another machine's clock is asked, though a socket here leads there"


def test_ssh_gets_none_of_rotators_credentials(
    engine: EngineConnection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.refer("OPENAI_ADMIN_KEY")
    for name in ("OPENAI_ADMIN_KEY", "ROTATOR_KEY", "VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "a credential")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    assert client.inspect(engine, "web-1") is not None
    given = (folder / "environ").read_text().splitlines()
    assert "SSH_AUTH_SOCK" in given
    assert not {name for name in given if name.startswith(("ROTATOR_", "AWS_", "OPENAI_"))}
    assert "VAULT_TOKEN" not in given


def test_the_engine_of_the_environment_is_reached_by_ssh_too(
    engine: EngineConnection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://build.example/run/user/1000/docker.sock")
    assert client.inspect(EngineConnection(), "web-1") is not None
    words = (folder / "words").read_text().splitlines()[-1]
    assert "-- build.example docker --host unix:///run/user/1000/docker.sock system" in words


@pytest.mark.parametrize(
    ("code", "said", "kind", "told"),
    [
        (255, "ops@h: Permission denied (publickey).", AccessDenied, "Permission denied"),
        (255, "ssh: connect to host h port 22: No route to host", TransientError, "No route"),
        (255, "Connection to h closed by remote host.", TransientError, "closed by"),
        (127, "sh: 1: docker: not found", PermanentError, "has no docker for ssh's user"),
        (1, "permission denied while trying to connect to the socket", AccessDenied, "permission"),
        (
            1,
            "Cannot connect to the Docker daemon. Is it running?",
            TransientError,
            "Cannot connect",
        ),
    ],
)
def test_what_ssh_said_is_told(
    folder: Path, code: int, said: str, kind: type[RotatorError], told: str
) -> None:
    ssh(folder, f"sys.stderr.write({said!r} + '\\n'); sys.exit({code})")
    with pytest.raises(RotatorError) as failed:
        client.inspect(EngineConnection(host="ssh://ops@h"), "web-1")
    assert type(failed.value) is kind and told in failed.value.message, failed.value.message


@pytest.mark.parametrize("address", ["ssh://", "ssh://ops@h:port"])
def test_an_address_without_a_host_is_a_mistake(address: str) -> None:
    with pytest.raises(ConfigError, match="names no host|no address"):
        client.inspect(EngineConnection(host=address), "web-1")


def test_an_ssh_that_hangs_ends_with_its_call(folder: Path) -> None:
    """And what it was to send is never sent after that."""
    ssh(
        folder,
        f"open({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))\nselect.select([], [], [])",
    )
    with (
        pytest.raises(TransientError),
        deadline.until(lambda: 2.0),
    ):
        client.inspect(EngineConnection(host="ssh://h"), "web-1")
    pid = int((folder / "pid").read_text())
    end = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
