"""A service that signs its calls with an IAM access key from a .env file, through boto3.

    python -m tests.acceptance.aws_consumer ENV_FILE PID_FILE PORT_FILE

On SIGHUP a successor starts on the same listening socket with the file's present key in its
environment; once its own call to STS works it takes over, and the old process finishes its requests
and leaves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from rotator.demo.consumer import SIGNALS, Server, listen, publish, relieve, serve
from rotator.integrations.files import dotenv_syntax

NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
_config = Config(retries={"total_max_attempts": 1})


def calls() -> bool:
    """One call to STS, as an application makes it: keys and region from the environment."""
    try:
        boto3.client("sts", config=_config).get_caller_identity()
    except (BotoCoreError, ClientError) as error:
        print(f"consumer: {error}", file=sys.stderr, flush=True)
        return False
    return True


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self.send_response(200 if calls() else 502)
        self.send_header("content-length", "0")
        self.end_headers()


class AwsServer(Server):
    def finish_request(self, request: Any, client_address: Any) -> None:
        Handler(request, client_address, self)


def _start(listening: Any, parent: int) -> subprocess.Popen[bytes]:
    content = Path(sys.argv[1]).read_bytes()
    held = {name: dotenv_syntax.get(content, name) or "" for name in NAMES}
    environment = {
        **os.environ,
        **held,
        "DEMO_LISTEN_FD": str(listening.fileno()),
        "DEMO_PARENT": str(parent),
    }
    os.set_inheritable(listening.fileno(), True)
    command = [sys.executable, "-m", "tests.acceptance.aws_consumer", *sys.argv[1:]]
    return subprocess.Popen(
        command, env=environment, pass_fds=(listening.fileno(),), start_new_session=True
    )


def main() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # inherited from the thread that started us
    listening = listen()
    if "DEMO_PARENT" not in os.environ:
        _start(listening, 0)
        return
    if not calls():
        sys.exit("consumer: AWS refuses my key")

    def take_over() -> None:
        publish(Path(sys.argv[3]), str(listening.getsockname()[1]))
        publish(Path(sys.argv[2]), str(os.getpid()))
        relieve(int(os.environ["DEMO_PARENT"]))

    serve(AwsServer(listening), lambda: _start(listening, os.getpid()), take_over)


if __name__ == "__main__":
    main()
