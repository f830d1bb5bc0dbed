"""A service that takes several keys from one .env file, and uses each of them for each request.

    python -m tests.acceptance.many_keys ENV_FILE PID_FILE ISSUER_URL PORT_FILE

On SIGHUP a successor takes over, as that of `rotator.demo.consumer` does; each adds a line to
`starts` beside the pid file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from rotator.demo.consumer import SIGNALS, Server, ask, listen, publish, relieve, serve

KEY = "KEY_"  # what the names of its variables begin with


class Handler(BaseHTTPRequestHandler):
    issuer: str

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        works = all(ask(self.issuer, key) == 200 for key in keys(os.environ).values())
        self.send_response(200 if works else 502)
        self.send_header("content-length", "0")
        self.end_headers()


def keys(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(KEY)}


def _environment(env_file: Path, listening: int, parent: int) -> dict[str, str]:
    lines = (line.partition("=") for line in env_file.read_text().splitlines())
    read = {name: value.strip("'\"") for name, _, value in lines}
    more = {"DEMO_LISTEN_FD": str(listening), "DEMO_PARENT": str(parent)}
    return {**os.environ, **read, **more}


def main() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    env_file, pid_file, issuer, port_file = sys.argv[1:]
    argv = [sys.executable, "-m", "tests.acceptance.many_keys", *sys.argv[1:]]
    listening = listen()
    if "DEMO_PARENT" not in os.environ:  # so that its environment shows what it began with
        os.set_inheritable(listening.fileno(), True)
        os.execve(argv[0], argv, _environment(Path(env_file), listening.fileno(), 0))  # noqa: S606
    Handler.issuer = issuer
    with (Path(pid_file).parent / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")

    def successor() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            env=_environment(Path(env_file), listening.fileno(), os.getpid()),
            pass_fds=(listening.fileno(),),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )

    def take_over() -> None:
        publish(Path(port_file), str(listening.getsockname()[1]))
        publish(Path(pid_file), str(os.getpid()))
        relieve(int(os.environ["DEMO_PARENT"]))

    server = Server(listening)
    server.RequestHandlerClass = Handler
    serve(server, successor, take_over)


if __name__ == "__main__":
    main()
