"""Answers that mean harm, from a server that speaks raw bytes: each a clear error, in time, that
leaks nothing.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rotator import deadline
from rotator.clients import http, http_status
from rotator.clients.http import Request
from rotator.errors import (
    LeaseLost,
    OutcomeUnknown,
    PermanentError,
    RotatorError,
    TransientError,
    Unreadable,
)
from rotator.integrations.command.provider import CommandProvider
from rotator.integrations.command.store import CommandStore
from rotator.model import Label, single
from rotator.playbook.registry import Registry
from rotator.reference import Reference

KEY = "sk-canary-hostile-8f3k2m9x7q"
LABEL = Label("inst", "play", "01ROTATION", 1)
Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """One thread a connection; what it raises when the other side hangs up is its own business."""
    listening = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            connection.recv(65536)
            behaviour(connection)

    def run() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    scheme = "https" if context else "http"
    try:
        yield f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stop.set()
        listening.close()


def saying(text: str | bytes) -> Behaviour:
    return lambda connection: connection.sendall(text if isinstance(text, bytes) else text.encode())


def answering(
    status: str, body: str = "", kind: str = "application/json", more: str = ""
) -> Behaviour:
    return saying(
        f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length:"
        f" {len(body.encode())}\r\n{more}\r\n{body}"
    )


def endless(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    while True:
        connection.sendall(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")


def dripping(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b"x")
        time.sleep(0.05)


def silent(connection: socket.socket) -> None:
    time.sleep(30)


def resetting(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


_PAGE = "<html><body>Please log in to the corporate proxy</body></html>"

# behaviour, what a listing (GET) becomes, what a create (POST) becomes
HOSTILE: dict[str, tuple[Behaviour, type[RotatorError], type[RotatorError]]] = {
    "HTML instead of JSON": (answering("200 OK", _PAGE, "text/html"), PermanentError, Unreadable),
    "a proxy's login page": (
        answering("407 Proxy Authentication Required", _PAGE, "text/html"),
        PermanentError,
        PermanentError,
    ),
    "a redirect to another host": (
        answering("307 Temporary Redirect", more="location: http://127.0.0.1:1/elsewhere\r\n"),
        PermanentError,
        Unreadable,
    ),
    "more than ten megabytes": (endless, PermanentError, Unreadable),
    "half an answer": (
        saying("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"),
        TransientError,
        OutcomeUnknown,
    ),
    "nothing of HTTP": (saying("SSH-2.0-OpenSSH_9.2\r\n"), TransientError, OutcomeUnknown),
    "a reset": (resetting, TransientError, OutcomeUnknown),
    "no content": (saying("HTTP/1.1 204 No Content\r\n\r\n"), RotatorError, Unreadable),
    "a wrong length": (
        saying("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n{}"),
        RotatorError,
        OutcomeUnknown,
    ),
    "JSON that is no object": (answering("200 OK", "[]"), RotatorError, Unreadable),
    "JSON of another shape": (
        answering("200 OK", '{"data": {"a": 1}, "value": 7}'),
        RotatorError,
        Unreadable,
    ),
    "deeply nested JSON": (answering("200 OK", "[" * 100_000), RotatorError, Unreadable),
    "headers without end": (
        saying(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200_000),
        RotatorError,
        OutcomeUnknown,
    ),
    "an overloaded server": (
        answering("503 Service Unavailable", "{}"),
        TransientError,
        OutcomeUnknown,
    ),
    "an overloaded server that says when": (
        answering("503 Service Unavailable", "{}", more="retry-after: 7\r\n"),
        TransientError,
        OutcomeUnknown,
    ),
    "a compression that is none": (
        answering("200 OK", "{}", more="content-encoding: gzip\r\n"),
        TransientError,
        Unreadable,
    ),
    "a bad request": (answering("400 Bad Request", "{}"), PermanentError, Unreadable),
    "a conflict": (answering("409 Conflict", "{}"), PermanentError, Unreadable),
    "a refusal before the work": (
        answering("422 Unprocessable Entity", "{}"),
        PermanentError,
        PermanentError,
    ),
    "an account out of credit": (
        answering(
            "429 Too Many Requests", '{"error": {"message": "pay", "code": "insufficient_quota"}}'
        ),
        PermanentError,
        PermanentError,
    ),
    "too many requests": (
        answering("429 Too Many Requests", "{}", more="retry-after: 7\r\n"),
        TransientError,
        TransientError,
    ),
}


def provider(url: str, folder: Path):  # type: ignore[no-untyped-def]
    (folder / "admin").write_text(KEY)
    found = Registry().find("provider", "openai")
    assert found is not None
    return found(
        project="proj_1", admin_key=Reference("file", str(folder / "admin")), base_url=f"{url}/v1"
    )


@pytest.mark.parametrize("case", HOSTILE)
def test_a_listing_that_meets_it_ends_in_an_error(case: str, tmp_path: Path) -> None:
    behaviour, listing, _ = HOSTILE[case]
    with (
        serving(behaviour) as url,
        deadline.until(deadline.within(10)),
        pytest.raises(listing) as told,
    ):
        provider(url, tmp_path).inventory()
    assert KEY not in told.value.message + told.value.hint and len(told.value.message) < 600


@pytest.mark.parametrize("case", HOSTILE)
def test_a_create_that_meets_it_is_unknown_or_certainly_not_done(case: str, tmp_path: Path) -> None:
    """Whatever may have made a key is never told as a plain failure."""
    behaviour, _, create = HOSTILE[case]
    with (
        serving(behaviour) as url,
        deadline.until(deadline.within(10)),
        pytest.raises(create) as told,
    ):
        provider(url, tmp_path).generate(LABEL, None)
    assert KEY not in told.value.message + told.value.hint


@pytest.mark.parametrize("behaviour", [dripping, silent], ids=["dripping", "silent"])
def test_slowness_ends_with_the_deadline(behaviour: Behaviour) -> None:
    """A byte every 50 ms is progress for a time-out, not for a deadline."""
    with serving(behaviour) as url:
        begun = time.monotonic()
        with deadline.until(deadline.within(1.0)), pytest.raises((TransientError, LeaseLost)):
            http.send(Request("GET", url))
        assert time.monotonic() - begun < 5


def test_an_interim_answer_is_passed_over() -> None:
    both = (
        "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:"
        " 2\r\n\r\n{}"
    )
    with serving(saying(both)) as url:
        assert http.send(Request("GET", url)).json() == {}


def test_a_redirect_does_not_get_the_key(tmp_path: Path) -> None:
    """The other host never hears of it."""
    heard: list[bytes] = []
    with serving(lambda connection: heard.append(b"called")) as elsewhere:
        redirect = answering("302 Found", more=f"location: {elsewhere}/\r\n")
        with serving(redirect) as url, pytest.raises(PermanentError, match="redirects"):
            provider(url, tmp_path).probe(single(KEY))
    assert heard == []


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_of_nobody_is_refused(tmp_path: Path) -> None:
    """Wrong TLS: nothing is sent, the sentence says certificate."""
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=elsewhere",
    ]
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*made, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with (
        serving(answering("200 OK", "{}"), context) as url,
        pytest.raises(TransientError, match=r"(?i)certificate"),
    ):
        http.send(Request("POST", url, json={}))


@pytest.mark.parametrize(
    "url", ["", "http://", "http://[::1", "gopher://x/", "http://exa mple/", "//x"]
)
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises((PermanentError, TransientError)):
        http.send(Request("GET", url))


def test_a_header_that_would_smuggle_another_is_refused() -> None:
    with serving(answering("200 OK", "{}")) as url, pytest.raises(PermanentError):
        http.send(Request("GET", url, headers={"authorization": "Bearer a\r\nx-evil: 1"}))


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("31536000", 3600),
        ("9" * 5000, 3600),
        ("\u00b2", None),
        ("\u0667", None),
        ("-5", None),
        ("1e3", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", 3600),
        ("Sun, 99 Nov 2094 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(
    told: str, seconds: float | None
) -> None:
    assert http_status.retry_after(http.Answer(429, {"retry-after": told}, b"")) == seconds


def test_a_date_to_wait_for_is_counted_from_the_servers_own_clock() -> None:
    """A server whose clock is years behind asks for twenty seconds, and gets them."""
    dates = {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "retry-after": "Sun, 06 Nov 1994 08:49:57 GMT",
    }
    assert http_status.retry_after(http.Answer(503, dates, b"")) == 20


def test_a_redirect_is_told_by_its_host_alone(tmp_path: Path) -> None:
    redirect = answering(
        "303 See Other", more="location: https://console.example/keys/7?session=0123\r\n"
    )
    with (
        serving(redirect) as url,
        pytest.raises(PermanentError, match=r"redirects \(303\) to console\.example$"),
    ):
        provider(url, tmp_path).inventory()


NEW = "zq7nobodyknowsthisone"  # like no provider's key, and like no key at all
_NAMED = f'{{"error": {{"message": "stored {NEW} but not its audit", "code": "{NEW}"}}}}'
TELLING = {
    **{
        status: answering(status, _NAMED)
        for status in (
            "400 Bad Request",
            "401 Unauthorized",
            "403 Forbidden",
            "409 Conflict",
            "422 Unprocessable Entity",
        )
    },
    **{
        status: answering(status, _NAMED)
        for status in ("429 Too Many Requests", "500 Internal Server Error")
    },
    "a status that nobody knows": answering("499 Whatever", _NAMED),
    "a reason that is the key": answering(f"500 {NEW}", "{}"),
    "a quota": answering(
        "400 Bad Request", f'{{"error": {{"message": "limit of keys reached by {NEW}"}}}}'
    ),
    "no credit": answering(
        "402 Payment Required", f'{{"error": {{"message": "insufficient credits for {NEW}"}}}}'
    ),
    "JSON that was cut short": answering("200 OK", f'{{"value": "{NEW}", "mo'),
    "HTML": answering("200 OK", f"<pre>{NEW}</pre>", "text/html"),
    "a kind of content that is the key": answering("200 OK", "x", NEW),
    "a field whose name is the key": answering("200 OK", f'{{"{NEW}0": 1}}'),
    "another shape": answering("200 OK", f'{{"data": ["{NEW}"]}}'),
    "a redirect's location": answering(
        "303 See Other", more=f"location: https://{NEW}.example/?key={NEW}\r\n"
    ),
    "a line that is no header": saying(f"HTTP/1.1 200 OK\r\n{NEW}\r\n\r\n"),
    "no status line": saying(f"{NEW}\r\n\r\n"),
    "a length that is none": saying(f"HTTP/1.1 200 OK\r\ncontent-length: {NEW}\r\n\r\n"),
    "an encoding that is none": answering("200 OK", NEW, more="content-encoding: gzip\r\n"),
}


@pytest.mark.parametrize("case", TELLING)
def test_nothing_is_told_of_an_answer_that_may_hold_the_new_key(case: str, tmp_path: Path) -> None:
    """It may look like nothing that anybody knows. The status is told, and what we make of it."""
    with serving(TELLING[case]) as url, pytest.raises(RotatorError) as told:
        provider(url, tmp_path).generate(LABEL, None)
    words = told.value.message + told.value.hint
    assert NEW not in words.lower(), words


def test_other_errors_are_told_without_what_looks_like_a_key(tmp_path: Path) -> None:
    """One of the account may stand there that nobody here ever knew."""
    body = '{"error": {"message": "project archived, see Zq7CANARYanotherkey0123456789"}}'
    with serving(answering("403 Forbidden", body)) as url, pytest.raises(RotatorError) as told:
        provider(url, tmp_path).inventory()
    assert "project archived, see ***" in told.value.message


@pytest.mark.parametrize("code", [1, 75, 77])
def test_nothing_is_told_of_what_a_program_printed_that_makes_keys(code: int) -> None:
    script = f'echo \'{{"key": "{NEW}"}}\'; echo + made {NEW} >&2; exit {code}'
    made = CommandProvider(generate_argv=["/bin/sh", "-c", script])
    with pytest.raises(RotatorError) as told:
        made.generate(LABEL, None)
    assert f"{code}" in told.value.message or "later" in told.value.message
    assert NEW not in told.value.message + told.value.hint


def test_what_a_store_prints_before_it_fails_is_not_told() -> None:
    script = f"echo {NEW}; exit 1"
    with pytest.raises(RotatorError, match="ended with 1") as told:
        CommandStore(write_argv=["/bin/true"], read_argv=["/bin/sh", "-c", script]).read()
    assert NEW not in told.value.message + told.value.hint


def test_half_a_character_in_an_error_does_not_stay_for_ever(tmp_path: Path) -> None:
    """A lone surrogate has no UTF-8: no journal, audit log or terminal could hold the sentence."""
    body = r'{"error": {"message": "no \ud800 such \u0007 project"}}'
    with serving(answering("404 Not Found", body)) as url, pytest.raises(PermanentError) as told:
        provider(url, tmp_path).inventory()
    assert "no \ufffd such   project" in told.value.message
    told.value.message.encode()


def test_each_probe_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """So that passes meet different edges of a provider, not one of them several times."""
    accepted: list[int] = []

    def keeping(connection: socket.socket) -> None:
        accepted.append(connection.fileno())
        for _ in range(9):  # whoever came would be served nine times
            connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"data":[]}')
            if not connection.recv(65536):
                return

    with serving(keeping) as url:
        probed = provider(url, tmp_path)
        for _ in range(3):
            probed.probe(single(KEY))
    assert len(accepted) == 3


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_what_is_meant_for_this_machine_goes_through_no_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The key would travel to another one, and nobody would be warned, as the address says
    loopback.
    """
    with (
        serving(saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")) as url,
        serving(hangs_up) as proxy,
    ):
        monkeypatch.setenv(name, proxy)
        assert http.send(Request("GET", url)).status == 200


@pytest.mark.parametrize("scheme", ["socks9", "ftp"])
def test_a_proxy_that_cannot_be_used_is_a_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://user:canary-password@192.0.2.1:1")
    with pytest.raises(PermanentError) as failed:
        http.send(Request("GET", "http://service.invalid"))
    assert "proxy" in failed.value.message and "ALL_PROXY" in failed.value.hint
    assert "canary" not in failed.value.message + failed.value.hint


def hangs_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
