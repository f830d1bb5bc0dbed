"""What the daemon answers, whoever else asks and however slowly."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from rotator.daemon.listening import Place, file_of, listening, place_of, remove
from rotator.daemon.loop import Loop
from rotator.daemon.web import Server, application
from rotator.errors import ConfigError
from tests.integration.test_daemon_loop import Heard


class _Loop:
    """It turns, and does nothing else."""

    class runtime:
        stopping = threading.Event()

    @property
    def turned(self) -> float:
        return time.monotonic()


@pytest.fixture
def log() -> Heard:
    return Heard()


@pytest.fixture
def serve(log: Heard) -> Iterator[Callable[[Callable[[], dict[str, Any]]], int]]:
    """The port at which it answers; `status` is what /api/v1/status asks."""
    servers: list[Server] = []

    def started(status: Callable[[], dict[str, Any]]) -> int:
        listener = listening(Place("127.0.0.1", 0))
        place = Place("127.0.0.1", listener.getsockname()[1])
        app = application(cast(Loop, _Loop()), place, status, lambda: "")
        servers.append(Server(app, listener, log))
        servers[0].start()
        return place.port

    yield started
    servers[0].stop()


def _asked(port: int, path: str = "/livez") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_who_connects_and_asks_nothing_makes_room(serve: Callable[..., int]) -> None:
    """Or half of a request, or one after a good one: /livez is answered all the same."""
    port = serve(dict)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
    for number, one in enumerate(silent):
        if number % 3 == 1:
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: ")
        elif number % 3 == 2:
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET")
    end = time.monotonic() + 15
    while _asked(port) != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    for one in silent:
        one.settimeout(15)
        while one.recv(65536):
            pass  # until it is ended from there
        one.close()


def test_a_database_that_hangs_does_not_end_its_life(serve: Callable[..., int]) -> None:
    """As many requests wait for it as threads there are; /livez needs none."""
    go_on, waiting = threading.Event(), list[int]()

    def hangs() -> dict[str, Any]:
        waiting.append(1)
        go_on.wait(20)
        return {}

    port = serve(hangs)
    asking = [threading.Thread(target=_asked, args=(port, "/api/v1/status")) for _ in range(60)]
    for one in asking:
        one.start()
    end = time.monotonic() + 10
    while len(waiting) < 40 and time.monotonic() < end:
        time.sleep(0.01)
    begun = time.monotonic()
    try:
        assert _asked(port) == 200 and time.monotonic() - begun < 3
    finally:
        go_on.set()
        for one in asking:
            one.join()


def test_what_the_server_says_stands_in_the_log_of_the_daemon(
    serve: Callable[..., int], log: Heard, capfd: pytest.CaptureFixture[str]
) -> None:
    """A request that is none at debug, as anybody can make many; a mistake of ours as an error."""

    def wrong() -> dict[str, Any]:
        raise ZeroDivisionError("by nothing")

    port = serve(wrong)
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(b"no request\r\n\r\n")
        assert b"400" in asking.recv(4096)
    assert _asked(port, "/api/v1/status") == 500
    assert ("debug", "Invalid HTTP request received.", {}) in log.lines
    end = time.monotonic() + 5
    while not log.texts("error") and time.monotonic() < end:
        time.sleep(0.01)  # it is told after the answer
    [error] = [fields for level, _, fields in log.lines if level == "error"]
    assert error == {"error": "ZeroDivisionError: by nothing"}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("place", ["localhost:\u00b2", "localhost:\uff11", "localhost:-1", ":80"])
def test_a_port_is_a_number(place: str) -> None:
    with pytest.raises(ConfigError, match="no place to listen at"):
        place_of(place)


def test_a_name_that_no_host_can_have_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot listen at"):
        listening(Place("a" * 70, 9187))


def test_the_file_of_a_socket_goes_with_who_listened_and_no_other(
    tmp_path: Path, log: Heard
) -> None:
    place = Place(path=str(tmp_path / "rotator.sock"))
    first = listening(place)
    file = file_of(place)
    app = application(cast(Loop, _Loop()), place, dict, lambda: "")
    server = Server(app, first, log, partial(remove, place, file))
    server.start()
    server.stop()
    assert not Path(place.path).exists()
    with listening(place):
        remove(place, (0, 0))
        assert Path(place.path).exists(), "it is another one's by now"
        remove(place, file_of(place))
        remove(place, file)
    port = Place("127.0.0.1", 1)
    remove(port, file_of(port))
