"""A service that uses the key: reads it from a .env file when it starts, restarts itself without
dropping a request.

    python -m rotator.demo.consumer ENV_FILE PID_FILE ISSUER_URL PORT_FILE

On SIGHUP it starts a successor on the same listening socket, with the key in its environment; the
successor tries the key, writes the pid file and asks the old process to finish its requests and
leave. A successor that cannot work ends, and the old process goes on. A file CRASH beside the pid
file names the one key that it does not crash with.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

VARIABLE = "OPENAI_API_KEY"
SIGNALS = {signal.SIGHUP, signal.SIGTERM}


def key_in(path: Path) -> str:
    """The variable's value in a .env file, as simple as services do it."""
    for line in path.read_text().splitlines():
        name, _, value = line.partition("=")
        if name.strip().removeprefix("export ").strip() == VARIABLE:
            return value.strip().strip("'\"")
    return ""


class Handler(BaseHTTPRequestHandler):
    issuer: str

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        """Answer by asking the issuer with our key."""
        status = ask(self.issuer, os.environ[VARIABLE])
        body = json.dumps({"pid": os.getpid(), "upstream": status}).encode()
        self.send_response(200 if status == 200 else 502)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def ask(issuer: str, key: str) -> int:
    where = urlsplit(issuer)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request(
            "POST",
            "/v1/chat/completions",
            json.dumps({"message": "hello"}),
            {"authorization": f"Bearer {key}", "content-type": "application/json"},
        )
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, listening: socket.socket) -> None:
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening


def listen() -> socket.socket:
    if "DEMO_LISTEN_FD" in os.environ:
        found = socket.socket(fileno=int(os.environ["DEMO_LISTEN_FD"]))
    else:
        found = socket.create_server(("127.0.0.1", 0), backlog=256)
    found.setblocking(False)  # two processes accept from it for a moment
    return found


def _start(
    arguments: list[str], env_file: Path, listening: socket.socket
) -> subprocess.Popen[bytes]:
    """A copy of this program with the file's present key in its environment, and our socket."""
    environment = {
        **os.environ,
        VARIABLE: key_in(env_file),
        "DEMO_LISTEN_FD": str(listening.fileno()),
        "DEMO_PARENT": str(os.getpid()),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "rotator.demo.consumer", *arguments],
        env=environment,
        pass_fds=(listening.fileno(),),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )


def serve(
    server: ThreadingHTTPServer,
    restart: Callable[[], subprocess.Popen[bytes]],
    ready: Callable[[], None],
) -> None:
    """Serve until SIGTERM; `restart` on SIGHUP. `ready` is called when a signal would be attended
    to.

    The signals wait for a thread of their own. A handler would run inside whatever the accepting
    thread is doing; one that came while that thread held a lock of `threading` and started a thread
    itself stopped both for good, with a request already accepted.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # before any thread starts: they inherit it
    threading.Thread(target=_attend, args=(server, restart), daemon=True).start()
    ready()
    server.serve_forever(poll_interval=0.05)
    server.server_close()


def _attend(server: ThreadingHTTPServer, restart: Callable[[], subprocess.Popen[bytes]]) -> None:
    children: list[subprocess.Popen[bytes]] = []
    while signal.sigwait(SIGNALS) == signal.SIGHUP:
        for child in children:  # one that is still starting must not come up beside the next one
            if child.poll() is None:
                child.terminate()
        children.append(restart())
    server.shutdown()


def main() -> None:
    signal.pthread_sigmask(
        signal.SIG_UNBLOCK, SIGNALS
    )  # a successor inherits the mask of the thread that started it
    env_file, pid_file, issuer, port_file = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        sys.argv[3],
        Path(sys.argv[4]),
    )
    listening = listen()
    if "DEMO_PARENT" not in os.environ:
        _become(env_file, listening)
    crash = pid_file.parent / "CRASH"
    if crash.exists() and crash.read_text() != os.environ[VARIABLE]:
        sys.exit("demo consumer: crashing at start, as asked")
    if ask(issuer, os.environ[VARIABLE]) != 200:
        sys.exit("demo consumer: the issuer refuses my key")
    Handler.issuer = issuer

    def take_over() -> None:
        publish(port_file, str(listening.getsockname()[1]))
        publish(pid_file, str(os.getpid()))
        relieve(int(os.environ["DEMO_PARENT"]))

    serve(Server(listening), lambda: _start(sys.argv[1:], env_file, listening), take_over)


def _become(env_file: Path, listening: socket.socket) -> None:
    """Start over with the key in the environment, so that /proc shows which one this process was
    started with.
    """
    os.set_inheritable(listening.fileno(), True)
    environment = {
        **os.environ,
        VARIABLE: key_in(env_file),
        "DEMO_LISTEN_FD": str(listening.fileno()),
        "DEMO_PARENT": "0",
    }
    again = [sys.executable, "-m", "rotator.demo.consumer", *sys.argv[1:]]
    os.execve(sys.executable, again, environment)  # noqa: S606


def relieve(parent: int) -> None:
    """Ask the process that this one succeeds to finish and leave; 0 is none."""
    if parent:
        os.kill(parent, signal.SIGTERM)


def publish(path: Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.rename(path)


if __name__ == "__main__":
    main()
