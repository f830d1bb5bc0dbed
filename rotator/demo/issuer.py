"""A local issuer of keys, as its own process: an OpenAI-like admin API and inference API, with
faults on request.

    python -m rotator.demo.issuer PORT_FILE     the administrator's key comes from $DEMO_ADMIN_KEY

Faults (PUT /_faults, JSON): `refuse_new` (keys made from now on are refused), `lose_create` (the
next n creates happen, their answers are lost), `delay_create` (seconds before the next creates
happen), `echo` (errors repeat the key).
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Key:
    id: str
    name: str
    account: str
    value: str
    created_at: float
    last_used_at: float | None = None
    refused: bool = False
    destroyed: bool = False


@dataclass
class Keys:
    """Everything the issuer knows."""

    keys: dict[str, Key] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Any] = field(default_factory=dict)
    refused_calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def create(self, name: str, account: str = "") -> Key:
        with self.lock:
            number = next(self.count)
            account = account or f"svc_{number}"
            self.accounts.setdefault(account, name)
            value = f"sk-svcacct-{secrets.token_urlsafe(36)}"
            key = Key(
                f"key_{number}{secrets.token_hex(3)}",
                name,
                account,
                value,
                time.time(),
                refused=bool(self.faults.get("refuse_new")),
            )
            self.keys[key.id] = key
            return key

    def use(self, value: str) -> Key | None:
        with self.lock:
            key = next(
                (key for key in self.keys.values() if key.value == value and not key.destroyed),
                None,
            )
            if key is None or key.refused:
                self.refused_calls += 1
                return None
            key.last_used_at = time.time()
            return key

    def fault(self, name: str) -> bool:
        """Whether a counted fault strikes now."""
        with self.lock:
            left = int(self.faults.get(name) or 0)
            if left > 0:
                self.faults[name] = left - 1
            return left > 0

    @property
    def live(self) -> list[Key]:
        return [key for key in self.keys.values() if not key.destroyed]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    known: Keys
    admin: str

    def log_message(self, *_: Any) -> None:
        """Quiet: what matters is in /_state."""

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("openai-organization", "org-demo")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _error(self, status: int, message: str) -> None:
        self._answer(
            status,
            {
                "error": {
                    "message": message,
                    "code": "invalid_api_key" if status == 401 else "error",
                }
            },
        )

    def _bearer(self) -> str:
        return (self.headers.get("authorization") or "").removeprefix("Bearer ")

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("content-length") or 0)
        found = json.loads(self.rfile.read(length) or b"{}")
        return found if isinstance(found, dict) else {}

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/_state":
            return self._answer(200, self._state())
        if url.path == "/v1/models":
            return self._inference()
        if url.path.startswith("/v1/organization/projects/") and url.path.endswith("/api_keys"):
            return self._admin(lambda: self._list(parse_qs(url.query)))
        return self._error(404, "no such thing")

    def do_POST(self) -> None:
        body, path = self._body(), urlsplit(self.path).path
        if path == "/v1/chat/completions":
            return self._inference()
        parts = path.strip("/").split("/")
        if parts[-1] == "service_accounts":
            return self._admin(lambda: self._create(str(body.get("name")), ""))
        if len(parts) > 2 and parts[-1] == "api_keys" and parts[-3] == "service_accounts":
            return self._admin(lambda: self._create(str(body.get("name")), parts[-2]))
        return self._error(404, "no such thing")

    def do_PUT(self) -> None:
        self.known.faults.update(self._body())
        self._answer(200, self.known.faults)

    def do_DELETE(self) -> None:
        parts = urlsplit(self.path).path.strip("/").split("/")
        self._admin(lambda: self._delete(parts[-2], parts[-1]))

    def _admin(self, act: Any) -> None:
        if self._bearer() != self.admin:
            echo = f": {self._bearer()}" if self.known.faults.get("echo") else ""
            return self._error(401, f"Incorrect admin key provided{echo}")
        act()
        return None

    def _inference(self) -> None:
        value = self._bearer()
        if self.known.use(value) is None:
            shown = value if self.known.faults.get("echo") else f"{value[:6]}***"
            return self._error(401, f"Incorrect API key provided: {shown}")
        return self._answer(
            200,
            {
                "object": "list",
                "data": [{"id": "small-1"}, {"id": "large-1"}],
                "choices": [{"message": {"role": "assistant", "content": "hello"}}],
            },
        )

    def _create(self, name: str, account: str) -> None:
        time.sleep(float(self.known.faults.get("delay_create") or 0))
        key = self.known.create(name, account)
        if self.known.fault("lose_create"):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        found = {
            "object": "key",
            "id": key.id,
            "value": key.value,
            "name": name,
            "created_at": int(key.created_at),
        }
        self._answer(
            200,
            (
                found
                if account
                else {
                    "object": "account",
                    "id": key.account,
                    "name": name,
                    "api_key": found,
                    "created_at": int(key.created_at),
                }
            ),
        )

    def _list(self, query: dict[str, list[str]]) -> None:
        limit, after = int(query.get("limit", ["20"])[0]), query.get("after", [""])[0]
        live = self.known.live
        start = next((i + 1 for i, key in enumerate(live) if key.id == after), 0)
        page = live[start : start + limit]
        self._answer(
            200,
            {
                "object": "list",
                "data": [self._shown(key) for key in page],
                "last_id": page[-1].id if page else None,
                "has_more": start + limit < len(live),
            },
        )

    def _shown(self, key: Key) -> dict[str, Any]:
        account = {"id": key.account, "name": self.known.accounts.get(key.account, "")}
        return {
            "id": key.id,
            "name": key.name,
            "redacted_value": f"{key.value[:6]}...{key.value[-4:]}",
            "created_at": int(key.created_at),
            "last_used_at": int(key.last_used_at) if key.last_used_at else None,
            "owner": {"type": "service_account", "service_account": account},
        }

    def _delete(self, kind: str, name: str) -> None:
        live = self.known.live
        gone = [
            key for key in live if (key.account if kind == "service_accounts" else key.id) == name
        ]
        for key in gone:
            key.destroyed = True
        if not gone:
            return self._error(404, "no such key")
        return self._answer(200, {"id": name, "deleted": True})

    def _state(self) -> dict[str, Any]:
        return {
            "live": [
                {"id": key.id, "name": key.name, "value": key.value, "refused": key.refused}
                for key in self.known.live
            ],
            "made": len(self.known.keys),
            "ever": [key.value for key in self.known.keys.values()],
            "refused_calls": self.known.refused_calls,
        }


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    Handler.known, Handler.admin = Keys(), os.environ["DEMO_ADMIN_KEY"]
    server = Server(("127.0.0.1", 0), Handler)
    target = Path(sys.argv[1])
    beside = target.with_name(target.name + ".new")
    beside.write_text(str(server.server_address[1]))
    beside.rename(target)
    server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
