"""OpenBao, which speaks Vault's API: KV version 2 at secret/.

Killed, it comes back sealed with all that it held.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.servers.server import Server
from tests.servers.tools import CACHE, HOST, Failed, free_port, go_build, may_install, wait_for

_VERSION = "2.4.0"


class Bao(Server):
    """`env` has VAULT_ADDR and VAULT_TOKEN (root's)."""

    root_token = ""

    @classmethod
    def install(cls) -> Path:
        if not may_install() and not any(CACHE.glob("bao-*/.complete")):
            pytest.skip("OpenBao is not built: python -m tests.servers bao install")
        names = (
            f"-X github.com/openbao/openbao/version.{name}={_VERSION}"
            for name in ("fullVersion", "Version")
        )
        return go_build("bao", ".", " ".join(names))

    def up(self) -> dict[str, Any]:
        self.url = f"http://{HOST}:{free_port()}"
        config = {
            "storage": {"file": {"path": str(self.dir / "data")}},
            "listener": {"tcp": {"address": self.url.removeprefix("http://"), "tls_disable": True}},
            "api_addr": self.url,
        }
        (self.dir / "bao.json").write_text(json.dumps(config))
        clean = {name: "" for name in os.environ if name.startswith(("VAULT_", "BAO_"))}
        argv = [self.install(), "server", f"-config={self.dir}/bao.json"]
        self.spawn("bao", argv, env={**clean, "HOME": str(self.dir)})
        wait_for("bao", lambda: self.call("GET", "sys/init"), 30, 0.02, self.ended)
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self.root_token, self._unseal_key = made["root_token"], made["keys"][0]
        self.unseal()
        self.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
        wait_for(
            "secret/", lambda: self.put("ready", a="b"), 10, 0.05
        )  # the mount is upgraded in the background
        return {"VAULT_ADDR": self.url, "VAULT_TOKEN": self.root_token}

    def call(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """A request to Vault's HTTP API; its answer as JSON. Raises Failed."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Vault-Token": token or self.root_token}
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read() or b"{}") or True
        except urllib.error.HTTPError as error:
            raise Failed(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error

    def seal(self) -> None:
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        self.call("PUT", "sys/unseal", {"key": self._unseal_key})
        wait_for("unsealed", lambda: self.call("GET", "sys/health"), 10)

    def back(self) -> None:
        """Started again after a kill, and unsealed."""
        self.restart("bao")
        wait_for("bao", lambda: self.call("GET", "sys/init"), 30, 0.02, self.ended)
        self.unseal()

    # --- what tests set up ---
    def put(self, path: str, **fields: str) -> int:
        """A new version of the secret at secret/PATH."""
        return int(self.call("POST", f"secret/data/{path}", {"data": fields})["data"]["version"])

    def get(self, path: str) -> dict[str, str]:
        found: dict[str, str] = self.call("GET", f"secret/data/{path}")["data"]["data"]
        return found

    def metadata(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"secret/metadata/{path}")["data"]
        return found

    def token(self, policy: str, **options: Any) -> str:
        """A token that may do what this policy (HCL) says."""
        name = f"policy{free_port()}"
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": policy})
        made = self.call(
            "POST", "auth/token/create", {"policies": [name], "no_default_policy": False, **options}
        )
        return str(made["auth"]["client_token"])
