"""What every probe must do: return for a key that works, Rejected for one that does not, else
Transient.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from rotator.errors import PermanentError, TransientError
from rotator.integrations.memory import world as memory
from rotator.model import Credential, single
from rotator.playbook.registry import Registry
from rotator.testing.probes import ProbeContract

GOOD, BAD = "good-key-value", "bad-key-value"


class _Service(BaseHTTPRequestHandler):
    """200 for the good key, 401 else; /busy 503, /moved 302, /page HTML."""

    received = b""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        good = self.headers.get("authorization") == f"Bearer {GOOD}"
        status = {"/busy": 503, "/moved": 302}.get(self.path, 200 if good else 401)
        type(self).received = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b"<html>log in</html>" if self.path == "/page" else b'{"model": "small", "count": 2}'
        self.send_response(status)
        self.send_header("location", "http://elsewhere.example/")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    ).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def _http(url: str, path: str = "/", **more: Any) -> Any:
    headers = {"authorization": "Bearer {key}"}
    return Registry().find("probe", "http")(url=url + path, headers=headers, **more)  # type: ignore[misc]


def _command(url: str) -> Any:
    return Registry().find("probe", "command")(
        run=["sh", "-c", f'read -r k; test "$k" = {GOOD} || exit 77']
    )  # type: ignore[misc]


def _memory(url: str) -> Any:
    issuer = memory.WORLD.issuer("probes")
    issuer.keys = {"k": memory.IssuedKey(memory.KeyRecord("k"), GOOD)}
    return Registry().find("probe", "memory")(issuer="probes")  # type: ignore[misc]


def _provider(url: str) -> Any:
    _memory(url)
    return Registry().find("probe", "provider")(
        provider=Registry().find("provider", "memory")(issuer="probes")
    )  # type: ignore[misc]


PROBES = {"http": _http, "command": _command, "memory": _memory, "provider": _provider}


class TestProbes(ProbeContract):
    @pytest.fixture(params=PROBES, ids=lambda name: name)
    def uses(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def probe(self, uses: str, url: str) -> Any:
        return PROBES[uses](url)

    @pytest.fixture
    def good(self) -> Credential:
        return single(GOOD)

    @pytest.fixture
    def bad(self) -> Credential:
        return single(BAD)

    @pytest.fixture(params=["http", "command"])
    def unreachable(self, request: pytest.FixtureRequest) -> Any:
        if request.param == "http":
            return _http("http://127.0.0.1:9")
        plugin: Any = Registry().find("probe", request.param)
        return plugin(run=["sh", "-c", "exit 75"])


def test_a_busy_service_is_not_a_refusal(url: str) -> None:
    with pytest.raises(TransientError):
        _http(url, "/busy").probe(single(GOOD))


def test_a_key_does_not_follow_a_redirect(url: str) -> None:
    with pytest.raises(PermanentError, match="redirects"):
        _http(url, "/moved").probe(single(GOOD))


def test_expectations_look_at_the_body(url: str) -> None:
    from rotator.integrations.http.probe import Expect

    _http(url, expect=Expect(body=["model == 'small'", "count > `1`"])).probe(single(GOOD))
    with pytest.raises(PermanentError, match="count > `5`"):
        _http(url, expect=Expect(body=["count > `5`"])).probe(single(GOOD))
    with pytest.raises(PermanentError, match="not JSON"):
        _http(url, "/page", expect=Expect(body=["model"])).probe(single(GOOD))
    with pytest.raises(PermanentError, match="does not meet"):  # a number has no length
        _http(url, expect=Expect(body=["length(count) > `1`"])).probe(single(GOOD))


def test_the_key_never_stands_in_a_url() -> None:
    with pytest.raises(ValueError, match="must not be part of a URL"):
        Registry().find("probe", "http")(url="http://x.example/?k={key}")  # type: ignore[misc]


def test_json_bodies_carry_the_key(url: str) -> None:
    probe = _http(url, method="POST", json={"message": "with {key}", "list": ["{key}", 1]})
    probe.probe(Credential(single(GOOD).values))
    assert json.loads(_Service.received) == {"message": f"with {GOOD}", "list": [GOOD, 1]}
