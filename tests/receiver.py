"""Who receives notices: an HTTP server that verifies webhooks by another implementation than ours,
and a mail server.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEADLINE = 60.0  # seconds


@dataclass
class Received:
    """One request. `verified`: by the secret of the receiver."""

    path: str
    headers: dict[str, str]
    body: bytes
    verified: bool

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]

    @property
    def kind(self) -> str:
        return str(self.data["kind"])


@dataclass
class Receiver:
    """`answers` are the statuses of the next requests, then 204; a negative one is no answer."""

    secret: str = SECRET
    answers: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.leaving = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.received.append(
                    Received(self.path, headers, body, receiver._verifies(headers, body))
                )
                status = receiver.answers.pop(0) if receiver.answers else 204
                if status < 0:
                    receiver.leaving.wait()
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def _verifies(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook/T0ken-in-the-address"

    @property
    def kinds(self) -> list[str]:
        return [one.kind for one in self.received]

    def close(self) -> None:
        self.leaving.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    found = Receiver()
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def mail_server() -> Iterator[tuple[int, list[Message]]]:
    """Its port, and what it has received."""
    from aiosmtpd.controller import Controller

    mails: list[Message] = []

    class Keeps:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
            mails.append(message_from_bytes(envelope.content))
            return "250 OK"

    class OnAnyPort(Controller):
        def _trigger_server(self) -> None:
            self.port = self.server.sockets[0].getsockname()[1]
            super()._trigger_server()

    controller = OnAnyPort(Keeps(), hostname="127.0.0.1", port=0)
    controller.start()
    try:
        yield controller.port, mails
    finally:
        controller.stop()


def until(what: Callable[[], object]) -> None:
    """Wait for it."""
    end = time.monotonic() + DEADLINE
    while not what():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)
