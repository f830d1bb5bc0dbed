"""Every call ends, by real clocks: answers that drip, names that are not resolved, lists without
end.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rotator import deadline
from rotator.clients import http
from rotator.clients.http import Request
from rotator.errors import LeaseLost, OutcomeUnknown, TransientError
from rotator.integrations.vault.server import Vault
from tests.hostile.test_answers import Behaviour, provider, saying, serving


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < seconds


def body_drips(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.1)


def headers_drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"a: b\r\n")
        time.sleep(0.1)


DRIPS = pytest.mark.parametrize("drips", [body_drips, headers_drip])


@DRIPS
def test_a_dripping_answer_ends_though_the_lease_is_renewed(
    drips: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "CALL", 1.0)
    with (
        serving(drips) as url,
        deadline.until(lambda: 15.0),
        within(3),
        pytest.raises(TransientError, match="in 1 s"),
    ):
        http.send(Request("GET", url))


@DRIPS
def test_what_changes_keys_ends_with_the_lease_as_it_was_when_it_began(drips: Behaviour) -> None:
    left = iter([1.0, 1.0])
    with (
        serving(drips) as url,
        deadline.until(lambda: next(left, 15.0)),
        within(4),
        pytest.raises(OutcomeUnknown),
    ):
        http.send(Request("POST", url))


@DRIPS
def test_its_connection_is_closed_then(drips: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the thread left that read from it."""
    monkeypatch.setattr(deadline, "CALL", 0.5)
    closed = threading.Event()

    def told(connection: socket.socket) -> None:
        try:
            drips(connection)
        except OSError:
            closed.set()

    with serving(told) as url:
        with pytest.raises(TransientError):
            http.send(Request("GET", url))
        assert closed.wait(5)
    end = time.monotonic() + 10
    while (left := _calling()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not left


def _calling() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "call"]


@contextlib.contextmanager
def hearing() -> Iterator[tuple[str, list[bytes]]]:
    """A server that says nothing, and what it was sent on each connection that was closed."""
    heard: list[bytes] = []

    def listen() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection, connection.makefile("rb") as sent:
                    heard.append(sent.read())

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=listen, daemon=True).start()
        yield f"http://localhost:{listening.getsockname()[1]}", heard


def heard_nothing(heard: list[bytes]) -> bool:
    end = time.monotonic() + 5
    while not heard and time.monotonic() < end:
        time.sleep(0.01)
    return heard == [b""]


def test_a_name_that_is_resolved_after_the_end_is_sent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resolver has no time-out of ours.

    When it answers at last, nobody waits, and the lease may be another's.
    """
    resolved, real = threading.Event(), socket.getaddrinfo

    def slow(*arguments, **named):  # type: ignore[no-untyped-def]
        resolved.wait(10)
        return [found for found in real(*arguments, **named) if found[0] == socket.AF_INET]

    with hearing() as (url, heard):
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with (
            deadline.until(deadline.within(0.5)),
            within(3),
            pytest.raises(TransientError, match="did not answer"),
        ):
            http.send(Request("POST", url))
        resolved.set()
        assert heard_nothing(heard)


def test_a_lease_that_ends_while_it_connects_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    left, real = [10.0], socket.getaddrinfo

    def frozen(*arguments, **named):  # type: ignore[no-untyped-def]
        left[0] = 0.0
        return [found for found in real(*arguments, **named) if found[0] == socket.AF_INET]

    with hearing() as (url, heard):
        monkeypatch.setattr(socket, "getaddrinfo", frozen)
        with deadline.until(lambda: left[0]), pytest.raises(LeaseLost):
            http.send(Request("POST", url))
        assert heard_nothing(heard)


@pytest.mark.parametrize(("step", "limit", "few"), [(1.5, "1s500ms", 3), (0.1, "100ms", 1)])
def test_a_listing_without_end_ends_with_the_step(
    step: float, limit: str, few: int, tmp_path: Path
) -> None:
    """Whose limit is named as a playbook sets it, however late that was seen."""
    pages = 0

    def page(connection: socket.socket) -> None:
        nonlocal pages
        pages += 1
        time.sleep(0.2)
        key = {
            "id": f"key_{pages}",
            "name": "x",
            "redacted_value": "sk-…",
            "created_at": 1,
            "owner": {},
        }
        body = json.dumps({"data": [key], "has_more": True, "last_id": key["id"]})
        saying(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:"
            f" {len(body)}\r\n\r\n{body}"
        )(connection)

    late = pytest.raises(TransientError, match=f"the listing of keys .* the {limit} of its step")
    with serving(page) as url, deadline.until(lambda: 15.0, step=step), within(5), late:
        provider(url, tmp_path).inventory()
    assert pages >= few


@DRIPS
def test_vault_that_drips_ends(drips: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "CALL", 1.0)
    monkeypatch.setenv("VAULT_TOKEN", "s.token-of-nobody")
    with serving(drips) as url, within(3), pytest.raises(TransientError):
        Vault(address=url).call("GET", "secret/data/app", safe=True)


def test_who_gave_a_call_up_is_not_told_of_its_failure() -> None:
    late = threading.Event()

    def work() -> None:
        late.wait(5)
        deadline.check()

    with pytest.raises(TimeoutError):
        deadline.bounded(0.1, work, late.set)


def test_what_a_call_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        deadline.bounded(5, lambda: 1 / 0)
    assert deadline.bounded(5, lambda: 7) == 7
