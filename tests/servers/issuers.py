"""Small real HTTP servers that answer as OpenRouter's and Dakora's key APIs are documented to."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ADMIN = "admin-credential-for-tests"


class _Issuer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keys: dict[str, dict[str, Any]]

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: Any = None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")

    @property
    def route(self) -> list[str]:
        return urlsplit(self.path).path.strip("/").split("/")

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)


class OpenRouter(_Issuer):
    """GET/POST /keys, PATCH/DELETE /keys/{hash}, GET /key."""

    def _who(self) -> str:
        return (self.headers.get("authorization") or "").removeprefix("Bearer ")

    def do_GET(self) -> None:
        if self.route == ["key"]:
            good = any(k["secret"] == self._who() and not k["disabled"] for k in self.keys.values())
            return self.answer(
                200 if good else 401,
                {"data": {}} if good else {"error": {"message": "No auth", "code": 401}},
            )
        if self._who() != ADMIN:
            return self.answer(401, {"error": {"message": "bad management key"}})
        now = f"{datetime.now(UTC):%FT%TZ}"
        shown = [
            k
            for k in self.keys.values()
            if not k["disabled"] or self.query.get("include_disabled") == ["true"]
        ]
        if self.query.get("include_expired") != ["true"]:
            shown = [k for k in shown if not k["expires_at"] or k["expires_at"] > now]
        start = int(self.query.get("offset", ["0"])[0])
        return self.answer(
            200,
            {
                "data": [
                    {n: v for n, v in k.items() if n != "secret"}
                    for k in shown[start : start + 100]
                ]
            },
        )

    def do_POST(self) -> None:
        secret, digest, body = (
            f"sk-or-v1-{secrets.token_hex(32)}",
            secrets.token_hex(16),
            self.body(),
        )
        if not re.fullmatch(
            r"[0-9-]{10}T[0-9:]{8}Z", body.get("expires_at") or "2027-01-01T00:00:00Z"
        ):
            return self.answer(400, {"error": {"message": "expires_at: UTC, with seconds"}})
        self.keys[digest] = {
            "hash": digest,
            "name": body["name"],
            "label": f"{secret[:12]}...{secret[-3:]}",
            "disabled": False,
            "created_at": "2026-11-01T10:00:00Z",
            "secret": secret,
            **{
                name: body.get(name)
                for name in ("limit", "limit_reset", "include_byok_in_limit", "expires_at")
            },
        }
        return self.answer(201, {"key": secret, "data": self.keys[digest]})

    def do_PATCH(self) -> None:
        self.keys[self.route[-1]].update(self.body())
        self.answer(200, {"data": {}})

    def do_DELETE(self) -> None:
        gone = self.keys.pop(self.route[-1], None)
        self.answer(200 if gone else 404, {"deleted": bool(gone)})


class Dakora(_Issuer):
    """/api/projects/{p}/api-keys with X-API-Key; at most four keys; naive UTC times."""

    def do_GET(self) -> None:
        who = self.headers.get("x-api-key")
        if who != ADMIN and all(k["key"] != who for k in self.keys.values()):
            return self.answer(401, {"detail": "Invalid API key"})
        listed = [
            {
                "id": i,
                "name": k["name"],
                "key_preview": f"{k['key'][:8]}...{k['key'][-4:]}",
                "expires_at": None,
                "created_at": "2026-11-01T10:00:00",
                "last_used_at": None,
            }
            for i, k in self.keys.items()
        ]
        return self.answer(200, {"keys": listed, "count": len(listed), "limit": 4})

    def do_POST(self) -> None:
        if len(self.keys) >= 4:
            return self.answer(400, {"detail": "API key limit exceeded"})
        key_id, key = secrets.token_hex(8), f"dkr_{secrets.token_urlsafe(24)}"
        self.keys[key_id] = {"name": self.body()["name"], "key": key}
        return self.answer(
            201,
            {
                "id": key_id,
                "name": self.keys[key_id]["name"],
                "key": key,
                "key_prefix": key[:8],
                "created_at": "2026-11-01T10:00:00",
                "expires_at": None,
            },
        )

    def do_DELETE(self) -> None:
        gone = self.keys.pop(self.route[-1], None)
        self.answer(204 if gone else 404)


@contextlib.contextmanager
def serving(kind: type[_Issuer]) -> Iterator[str]:
    """The server's address, while it runs."""
    handler = type(kind.__name__, (kind,), {"keys": getattr(kind, "keys", {})})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
