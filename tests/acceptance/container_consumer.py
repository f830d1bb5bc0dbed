"""A service in a container: its key comes from its environment, or a file; it tries it when it
starts, or ends.

python container_consumer.py ISSUER_ADDRESS      listens on 8080, or PORT + SLOT; needs nothing but Python

Where systemd started it as Type=notify it says when it listens. On SIGTERM it stops taking
connections and finishes what it has begun, as a service behind a load balancer does. A file /app/only (or ONLY) names the one key that it works with, if it is there.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILE = os.environ.get("OPENAI_API_KEY_FILE")
KEY = Path(FILE).read_text().strip() if FILE else os.environ["OPENAI_API_KEY"]


def ask() -> int:
    connection = http.client.HTTPConnection(sys.argv[1], timeout=10)
    try:
        connection.request("POST", "/v1/chat/completions", "{}", {"authorization": f"Bearer {KEY}"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        status = ask()
        self.send_response(200 if status == 200 else 502)
        self.send_header("content-length", "0")
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 256


only = Path(os.environ.get("ONLY", "/app/only"))
if only.exists() and only.read_text() != KEY:
    sys.exit("I cannot work with this key")
if ask() != 200:
    sys.exit("the issuer refuses my key")
server = Server(
    ("0.0.0.0", int(os.environ.get("PORT", "8080")) + int(os.environ.get("SLOT", "0"))), Handler
)


def leave() -> None:
    signal.sigwait(
        {signal.SIGTERM}
    )  # not a handler: it would run inside what the accepting thread is doing
    server.shutdown()


signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
threading.Thread(target=leave, daemon=True).start()
if notified := os.environ.get("NOTIFY_SOCKET"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", notified.replace("@", "\0", 1))
server.serve_forever(poll_interval=0.05)
server.server_close()
