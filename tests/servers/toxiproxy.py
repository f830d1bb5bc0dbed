"""Toxiproxy: delays, cuts and resets TCP connections, as told."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.servers.server import Server
from tests.servers.tools import CACHE, HOST, free_port, go_build, may_install, wait_for


class Toxiproxy(Server):
    """`env` has TOXIPROXY_URL."""

    @classmethod
    def install(cls) -> Path:
        if not may_install() and not any(CACHE.glob("toxiproxy-*/.complete")):
            pytest.skip("toxiproxy is not built: python -m tests.servers toxiproxy install")
        return go_build("toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server")

    def up(self) -> dict[str, Any]:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.spawn("toxiproxy", [self.install(), "-host", HOST, "-port", port])
        wait_for(
            "toxiproxy", lambda: self._call("GET", "proxies") is not None, 20, 0.02, self.ended
        )
        return {"TOXIPROXY_URL": self.url}

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def proxy(self, name: str, upstream: str) -> str:
        """A new address that leads to `upstream` (HOST:PORT)."""
        listen = f"{HOST}:{free_port()}"
        self._call("POST", "proxies", {"name": name, "listen": listen, "upstream": upstream})
        return listen

    def toxic(self, name: str, kind: str, **attributes: Any) -> None:
        """From now on, answers through this proxy suffer it: latency, reset_peer, limit_data,
        timeout, …
        """
        self._call(
            "POST", f"proxies/{name}/toxics", {"name": kind, "type": kind, "attributes": attributes}
        )

    def heal(self, name: str) -> None:
        for toxic in self._call("GET", f"proxies/{name}/toxics"):
            self._call("DELETE", f"proxies/{name}/toxics/{toxic['name']}")
