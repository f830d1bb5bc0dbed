"""Traces, as a receiver of OTLP/HTTP gets them."""

from __future__ import annotations

import http.server
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rotator.cli import traces
from rotator.cli.traces import Traces
from rotator.core.order import Order
from rotator.engine.listeners import Listeners
from rotator.errors import Rejected
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.probe import MemoryProbe
from rotator.integrations.otel.exporter import wanted
from rotator.model import Credential
from rotator.usecases import orders
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Receiver:
    """It takes what is posted to /v1/traces, once it may go on."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.asked, self.goes_on = threading.Event(), threading.Event()
        self.goes_on.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.asked.set()
                receiver.goes_on.wait(60)
                receiver.bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def resources(self) -> list[Any]:
        return [
            one
            for body in self.bodies
            for one in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    @property
    def spans(self) -> list[Any]:
        return [span for one in self.resources for of in one.scope_spans for span in of.spans]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()
    monkeypatch.setenv(ENDPOINT, found.url)
    yield found
    found.goes_on.set()
    found.server.shutdown()


@pytest.fixture
def bench(tmp_path: Path, memory_world: memory.World) -> Iterator[Bench]:
    found = Bench(tmp_path, f"sqlite:///{tmp_path / 'journal.db'}")
    found.playbook()
    yield found
    found.service.close()


def listening(service: Any) -> Traces:
    service.listeners = Listeners()
    found = traces.listening(service.listeners)
    assert found is not None
    return found


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_a_rotation_is_one_trace_and_each_attempt_of_a_step_a_span_in_it(
    bench: Bench, receiver: Receiver
) -> None:
    found = listening(bench.service)
    report = bench.service.rotate("one", Request(wait=True))
    assert report.code == 0 and report.rotation is not None
    found.close()
    (root,) = [one for one in receiver.spans if not one.parent_span_id]
    assert root.name == "rotation" and attributes(root)["rotator.outcome"] == "verified"
    id_ = ULID.from_str(report.rotation.id)
    assert {one.trace_id for one in receiver.spans} == {id_.bytes}
    calls = [one for one in receiver.spans if one.parent_span_id]
    assert {one.parent_span_id for one in calls} == {root.span_id}
    assert len({one.span_id for one in receiver.spans}) == len(receiver.spans)
    assert all(one.start_time_unix_nano <= one.end_time_unix_nano for one in receiver.spans)
    assert {"generate", "store", "restart", "verify", "revoke"} <= {
        attributes(one)["rotator.step"] for one in calls
    }
    (generate,) = [one for one in calls if one.name == "generate generate"]
    assert attributes(generate) | {"rotator.target": ""} == {
        "rotator.playbook": "one",
        "rotator.rotation": report.rotation.id,
        "rotator.step": "generate",
        "rotator.op": "generate",
        "rotator.target": "",
        "rotator.attempt": 1,
        "rotator.result": "done",
    }
    (name,) = {
        one.value.string_value
        for of in receiver.resources
        for one in of.resource.attributes
        if one.key == "service.name"
    }
    assert name == "rotator"
    assert not any(bench.stored.encode() in body for body in receiver.bodies)


def test_what_the_environment_says_of_the_service_holds(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=keys,team=payments")
    found = listening(bench.service)
    bench.service.rotate("one", Request(wait=True))
    found.close()
    told = {one.key: one.value.string_value for one in receiver.resources[0].resource.attributes}
    assert told["service.name"] == "keys" and told["team"] == "payments"


def test_an_attempt_that_failed_says_so_without_the_key(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(more="verify: [{uses: memory, issuer: one}]")
    seen: list[str] = []

    def fails(self: MemoryProbe, credential: Credential) -> None:
        seen.append(credential.primary.reveal())
        raise Rejected(f"{seen[-1]} is not known here")

    monkeypatch.setattr(MemoryProbe, "probe", fails)
    found = listening(bench.service)
    bench.service.rotate("one", Request(wait=True))
    found.close()
    failed = [one for one in receiver.spans if one.status.code == 2]
    assert seen and any("is not known here" in one.status.message for one in failed)
    assert not any(key.encode() in body for key in seen for body in receiver.bodies)
    (root,) = [one for one in receiver.spans if not one.parent_span_id]
    assert root in failed and root.status.message.startswith("rolled back")


def test_processes_that_work_on_one_rotation_write_one_trace(
    bench: Bench, receiver: Receiver
) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1d"))
    first = listening(bench.service)
    assert bench.service.rotate("one").code == 0
    first.close()
    before = len(receiver.spans)
    second_service = bench.fresh()
    second = listening(second_service)
    orders.order(second_service, "one", Order.REVOKE, Request(wait=True))
    second.close()
    second_service.close()
    assert len(receiver.spans) > before
    assert len({one.trace_id for one in receiver.spans}) == 1
    assert len([one for one in receiver.spans if not one.parent_span_id]) == 1


def test_a_receiver_that_hangs_holds_up_nothing(bench: Bench, receiver: Receiver) -> None:
    receiver.goes_on.clear()
    found = listening(bench.service)
    assert bench.service.rotate("one", Request(wait=True)).code == 0
    found.close()
    assert receiver.asked.wait(20) and not receiver.bodies, "it has not come back yet"


def test_a_receiver_that_is_away_is_told_once_and_stops_nothing(
    bench: Bench, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.server.shutdown()
    receiver.server.server_close()
    found = listening(bench.service)
    assert bench.service.rotate("one", Request(wait=True)).code == 0
    found.close()
    told, end = "", time.monotonic() + 30
    while "traces are not taken" not in told:
        assert time.monotonic() < end
        told += capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({ENDPOINT: "http://x"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, True),
        ({ENDPOINT: "http://x", "OTEL_SDK_DISABLED": "True"}, False),
        ({ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({ENDPOINT: "http://x", "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_the_environment_says_whether_and_where_to(
    environment: dict[str, str], expected: bool
) -> None:
    assert wanted(environment) is expected


def test_what_cannot_be_sent_is_told_and_nothing_fails(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert traces.listening(Listeners()) is None
    assert "traces need opentelemetry" in capsys.readouterr().err
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert traces.listening(Listeners()) is None
    assert capsys.readouterr().err == ""
