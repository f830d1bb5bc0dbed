"""A monitor, while an old key goes: what Prometheus says of requests that fail, and what comes of it."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rotator.errors import TransientError
from rotator.integrations.memory import world as memory
from rotator.integrations.prometheus.monitor import PrometheusMonitor
from rotator.playbook.directory import Directory
from rotator.reference import Reference
from rotator.usecases.service import Request
from rotator.views.status import status_of
from tests.integration.conftest import Bench
from tests.integration.test_metrics import MIDNIGHT, Daemon
from tests.servers import prometheus
from tests.simulation.simulator import VirtualClock

_FAILING = 'rotator_failing_after_revoke_timestamp_seconds{playbook="one"}'
QUERY = 'sum(increase(http_requests_total{code="401"}[2m]))'


class Api:
    """Prometheus's door for instant queries. Source: its page of the HTTP API, "Instant queries"."""

    def __init__(self) -> None:
        self.values: list[str] = ["0"]
        self.answer: tuple[int, Any] | None = None  # instead of the values
        self.asked: list[tuple[str, str]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place, _, query = self.path.partition("?")
                asked = urllib.parse.parse_qs(query)["query"][0]
                api.asked.append((asked, self.headers.get("authorization", "")))
                status, found = api.answer or (200, api.vector())
                body = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status if place == "/api/v1/query" else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def vector(self) -> dict[str, Any]:
        result = [{"metric": {}, "value": [1.5, value]} for value in self.values]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    yield found
    found.server.shutdown()


def monitor(api: Api, **more: Any) -> PrometheusMonitor:
    return PrometheusMonitor(url=api.url, query=QUERY, max=5, **more)


def test_the_highest_value_decides(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "a-token-of-ours")
    found = monitor(api, token=Reference("env", "PROMETHEUS_TOKEN"))
    assert found.reading() == ""
    assert api.asked == [(QUERY, "Bearer a-token-of-ours")]
    api.values = ["1", "5"]
    assert found.reading() == ""
    api.values = ["1", "5.5"]
    assert found.reading() == f"prometheus {QUERY} is 5.5, above 5"
    api.values = ["+Inf"]
    assert found.reading().endswith("is inf, above 5")
    api.values = []
    assert found.reading() == "", "no series: nobody has failed yet"
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}
    api.answer = 200, scalar
    assert found.reading().endswith("is 7, above 5")


@pytest.mark.parametrize(
    "answer",
    [
        (400, {"status": "error", "errorType": "bad_data", "error": "parse error"}),
        (401, b"who are you"),
        (503, b""),
        (200, b"<html>"),
        (200, []),
        (200, {"status": "success"}),
        (200, {"status": "success", "data": {"resultType": "matrix", "result": []}}),
        (200, {"status": "success", "data": {"resultType": "vector", "result": [{"value": []}]}}),
        (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "NaN"]}}),
        (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "many"]}}),
    ],
)
def test_what_is_no_number_tells_nothing(api: Api, answer: tuple[int, Any]) -> None:
    api.answer = answer
    with pytest.raises(TransientError):
        monitor(api).reading()


def test_a_server_that_is_away_tells_nothing() -> None:
    with pytest.raises(TransientError):
        PrometheusMonitor(url="http://127.0.0.1:9", query=QUERY).reading()


def test_a_token_that_is_not_here_tells_nothing(api: Api) -> None:
    found = monitor(api, token=Reference("env", "NO_TOKEN_OF_PROMETHEUS"))
    with pytest.raises(TransientError, match="NO_TOKEN_OF_PROMETHEUS is not set"):
        found.reading()
    assert api.asked == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{uses: graphite, url: 'http://p', query: up}", "no monitor 'graphite'"),
        ("{uses: prometheus, url: 'http://p'}", "'query' is missing"),
        ("{uses: prometheus, url: 'ftp://p', query: up}", "https://"),
        ("{uses: prometheus, url: 'http://p', query: ' '}", "PromQL"),
        ("{uses: prometheus, url: 'http://p', query: up, max: .inf}", "max is a number"),
        ("{uses: prometheus, url: 'http://p', query: up, most: 3}", "unknown key 'most'"),
        ("[prometheus]", "monitor"),
    ],
)
def test_a_mistake_of_a_monitor_has_its_place(bench: Bench, text: str, words: str) -> None:
    bench.playbook(more=f"monitor: {text}")
    loaded = Directory((bench.folder / "playbooks",)).load()
    assert any(words in one.text and one.line for one in loaded.mistakes), loaded.mistakes


# --- in a rotation ---
@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    found = VirtualClock(at=MIDNIGHT)
    monkeypatch.setattr(memory.WORLD, "now", found.now)
    return found


def _watched(bench: Bench, api: Api, revoke: str) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    bench.playbook(
        provider=", can_deactivate: true",
        more=f"monitor: {{uses: prometheus, url: '{api.url}', query: '{QUERY}', max: 5}}",
    )
    text = path.read_text()
    for setting in revoke.split(", "):
        name = setting.partition(":")[0]
        text = text.replace(f"{name}: 0s", setting)
    path.write_text(text)


def _later(bench: Bench, clock: VirtualClock, times: int, seconds: float = 60.0) -> None:
    for _ in range(times):
        clock.at += seconds
        bench.service.due(Request())


def test_requests_that_fail_after_a_deactivation_bring_the_old_key_back(
    bench: Bench, clock: VirtualClock, api: Api
) -> None:
    _watched(bench, api, "soak: 1h")
    Daemon(bench, clock)
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    assert old not in bench.live, "it is switched off"
    api.values = ["40"]
    _later(bench, clock, 6)
    assert old in bench.live, "somebody needs it"
    status = status_of(bench.service, "one", None)
    assert status.needs_attention and any("is 40, above 5" in one for one in status.problems)


def test_a_monitor_that_cannot_tell_brings_no_key_back_and_holds_up_nothing(
    bench: Bench, clock: VirtualClock, api: Api
) -> None:
    _watched(bench, api, "soak: 1h")
    Daemon(bench, clock)
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    api.answer = 503, b""
    _later(bench, clock, 200)
    assert bench.live == [bench.stored] and bench.stored != old


def test_a_token_that_the_next_process_lacks_brings_no_key_back(
    bench: Bench, clock: VirtualClock, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", "a-token-of-ours")
    _watched(bench, api, "soak: 1h")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("max: 5", "max: 5, token: {env: PROMETHEUS_TOKEN}"))
    Daemon(bench, clock)
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    monkeypatch.delenv("PROMETHEUS_TOKEN")
    _later(bench, clock, 200)
    assert bench.live == [bench.stored] and bench.stored != old


def test_what_failed_before_is_not_blamed_on_the_deactivation(
    bench: Bench, clock: VirtualClock, api: Api
) -> None:
    _watched(bench, api, "soak: 1h")
    Daemon(bench, clock)
    api.values = ["40"]
    assert bench.service.rotate("one").code == 0
    _later(bench, clock, 200)
    assert bench.live == [bench.stored]


def test_requests_that_fail_after_a_revocation_raise_the_alarm_until_they_do_no_more(
    bench: Bench, clock: VirtualClock, api: Api
) -> None:
    _watched(bench, api, "watch: 1h")
    daemon = Daemon(bench, clock)
    assert bench.service.rotate("one").code == 0
    assert bench.live == [bench.stored] and _FAILING not in daemon.scrape()
    api.values = ["40"]
    _later(bench, clock, 5)
    assert MIDNIGHT < daemon.scrape()[_FAILING] < clock.at
    api.values = ["0"]
    _later(bench, clock, 2)
    assert _FAILING not in daemon.scrape()


def test_a_monitor_is_tried_before_anything_is_changed(bench: Bench, api: Api) -> None:
    _watched(bench, api, "watch: 1h")
    api.answer = 400, {"status": "error", "error": "unexpected end of input"}
    texts = [one.text for one in _findings(bench)]
    assert any("the monitor cannot tell" in one and "unexpected end" in one for one in texts)
    api.answer, api.values = None, ["9"]
    assert any("already: prometheus" in one.text for one in _findings(bench))
    api.values = ["0"]
    assert not any("prometheus" in one.text for one in _findings(bench))


def _findings(bench: Bench) -> list[Any]:
    from rotator.engine import parts
    from rotator.engine.parts import Urgency

    playbook = bench.service.playbooks().playbooks["one"]
    words = parts.parts_of(playbook, True, Urgency.NONE)
    return [finding for ask in words for finding in ask()]


# --- the real one ---
class App(BaseHTTPRequestHandler):
    """It has refused so many requests."""

    refused = 0

    def do_GET(self) -> None:
        body = (
            f'# TYPE http_requests_total counter\nhttp_requests_total{{code="401"}} {App.refused}\n'
        )
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.server
def test_prometheus_itself_is_understood(tmp_path: Path) -> None:
    app = ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    target = f"127.0.0.1:{app.server_port}"
    with prometheus.running(prometheus.install(), tmp_path, target) as url:
        query = 'http_requests_total{code="401"}'

        def asked(query: str) -> PrometheusMonitor:
            return PrometheusMonitor(url=url, query=query, max=5)

        assert asked("vector(4)").reading() == "" and asked("scalar(vector(4))").reading() == ""
        assert asked("none_such").reading() == ""
        for wrong in ("sum(", "up[5m]", "'text'", "vector(0) / 0"):
            with pytest.raises(TransientError):
                asked(wrong).reading()
        _until(lambda: asked(f"{query} == 0").reading() == "" and asked("up").reading() == "")
        App.refused = 40
        _until(
            lambda: asked(f"max({query})").reading() == f"prometheus max({query}) is 40, above 5"
        )
        App.refused = 0
        _until(lambda: asked(f"max({query})").reading() == "")
    app.shutdown()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.2)
