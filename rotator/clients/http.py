"""The one door to HTTP: a limit of real time, deadline check right before sending, errors
translated by intent.

A redirect is never followed: the key must not travel to another host.
Sources: RFC 9110 (9.2.1: safe methods; 15.4: redirects), https://www.python-httpx.org/exceptions/
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import tenacity

from rotator import deadline
from rotator.clients import http_connection
from rotator.clients.dates import clock_skew
from rotator.clients.http_connection import Line
from rotator.counting import about
from rotator.errors import OutcomeUnknown, PermanentError, TransientError, Unreadable
from rotator.secret import Secret, redact, without_keys

if TYPE_CHECKING:
    import httpx

LIMIT = 10_000_000  # bytes of an answer; a listing of ten thousand keys is far below
_SAFE = ("GET", "HEAD")
# By host that this process asked: seconds by which its clock was last ahead of ours
skews: dict[str, float] = {}
_CONTENT_TYPE = re.compile(r"[a-z]{1,20}/[a-z0-9.+-]{1,40}(;[ \w=\"-]{0,30})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    # What its headers hold: alive, and so redacted, as long as its answer is read
    secrets: tuple[Secret, ...] = ()
    # What comes back may hold a key that nobody knows yet: nothing of it is ever shown
    makes_key: bool = False
    content: bytes | None = None  # as it is, in place of `json`

    @property
    def safe(self) -> bool:
        """May be sent twice."""
        return self.method in _SAFE


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    # Of the request: what the answer echoes is redacted as long as it is read
    secrets: tuple[Secret, ...] = ()

    def json(self) -> Any:
        """The body as JSON. Raises PermanentError with the first words of what came instead."""
        try:
            return parsed(self.body) if self.body else {}
        except (ValueError, RecursionError) as error:
            said = self.headers.get("content-type", "")
            kind = said if _CONTENT_TYPE.fullmatch(said) else "something else"
            start = without_keys(redact(self.body[:80].decode(errors="replace"))).split("\n")[0]
            raise PermanentError(
                f"the answer is not JSON but {kind}: {start}",
                "is the address right, or is a proxy's login page in between?",
            ) from error

    @property
    def text(self) -> str:
        """The first words of the body, for a person, redacted."""
        return _sentence(redact(self._words))

    @property
    def guarded(self) -> str:
        """The same without anything that might be a key: one of an account may stand there that
        nobody here knows.
        """
        return _sentence(without_keys(redact(self._words)))

    @property
    def _words(self) -> str:
        try:
            found = parsed(self.body)
            error = found.get("error", found) if isinstance(found, dict) else found
            return str(error.get("message", error) if isinstance(error, dict) else error)
        except (ValueError, RecursionError):
            return self.body[:1000].decode(errors="replace")


def _sentence(words: str) -> str:
    """Part of a sentence of ours: one line, without a full stop of its own."""
    return _CONTROL.sub(" ", words[:300]).strip().removesuffix(".")


def parsed(text: str | bytes) -> Any:
    """JSON of somebody else's. Lone surrogates, which no journal, log or URL can hold, become
    U+FFFD.

    Raises ValueError (no JSON, a number of more than 4,300 digits), RecursionError.
    """
    return _encodable(json.loads(text))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_encodable(name): _encodable(inside) for name, inside in value.items()}
    return [_encodable(inside) for inside in value] if isinstance(value, list) else value


class Redirected(PermanentError):
    """The server sends us elsewhere. Whether it did what it was asked before, nobody knows."""


def send(request: Request) -> Answer:
    """One request, one answer of any status below 300 or from 400, in 30 s with its last byte; what
    is not safe, in the time that the lease still has.

    Raises TransientError (nothing happened), OutcomeUnknown (an unsafe request may have),
    Unreadable (it did, but its answer is too long or garbled), Redirected, PermanentError (cannot
    be sent, or too long an answer), LeaseLost.
    """
    line = Line()
    seconds = deadline.CALL if request.safe else deadline.remaining()
    try:
        answer = deadline.bounded(seconds, lambda: _tried(request, line), line.cut)
        if date := answer.headers.get("date"):
            skews[_host(request)] = clock_skew(date)
        return answer
    except TimeoutError as error:
        words = f"{_host(request)} did not answer {request.method} whole in {about(seconds)}"
        if request.safe or not line.sent:
            raise TransientError(words, "is it up, and the address right?") from error
        raise OutcomeUnknown(words) from error


def _tried(request: Request, line: Line) -> Answer:
    """Once more where a connection was lost and the call is safe."""
    if not request.safe:
        return _send(request, line)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Flaky),
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    answer: Answer = retrying(_send, request, line)
    return answer


class _Flaky(TransientError):
    """A connection that was lost: worth one more try at once when the call is safe."""


def _send(request: Request, line: Line) -> Answer:
    import httpx  # late: half of what `rotator status` would import

    host = _host(request)
    try:
        with http_connection.client(host) as client:
            sent = client.build_request(
                request.method,
                request.url,
                headers=dict(request.headers),
                params=dict(request.query) or None,
                json=request.json,
                data=dict(request.form) if request.form is not None else None,
                content=request.content,
                extensions={"trace": line.follow},
            )
            deadline.check()
            answer = client.send(sent, stream=True)
            try:
                body = _read(answer, request)
            finally:
                answer.close()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise _Flaky(
            f"{host} cannot be reached: {_words(error)}", "is it up, and the address right?"
        ) from error
    except httpx.LocalProtocolError as error:  # told before anything is sent
        raise PermanentError(f"not a request that can be sent: {_words(error)}") from error
    except httpx.HTTPError as error:
        raise _lost(request, host, error) from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise PermanentError(f"not a usable address or header: {_words(error)}") from error
    if 300 <= answer.status_code < 400:
        raise Redirected(
            f"{host} redirects"
            f" ({answer.status_code}){_elsewhere(request, answer.headers.get('location', ''))}",
            "give the final address; a key is never sent after a redirect",
        )
    return Answer(
        answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body, request.secrets
    )


def _host(request: Request) -> str:
    try:
        return urllib.parse.urlsplit(request.url).hostname or request.url
    except ValueError as error:
        raise PermanentError(f"not a usable address: {error}") from error


def _elsewhere(request: Request, location: str) -> str:
    """The host alone: the rest may hold a key; nothing where the key may be a new one."""
    if request.makes_key:
        return ""
    try:
        return f" to {redact(urllib.parse.urlsplit(location).hostname or 'another path')}"
    except ValueError:
        return ""


def _read(answer: httpx.Response, request: Request) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        deadline.check()
        if len(body) > LIMIT:
            words = f"{_host(request)} answers with more than {LIMIT // 1_000_000} MB"
            raise PermanentError(words) if request.safe else Unreadable(words)
    return bytes(body)


def _lost(request: Request, host: str, error: httpx.HTTPError) -> TransientError | OutcomeUnknown:
    import httpx

    words = f"{host} did not answer {request.method}: {_kind(error)}"
    if request.safe:
        return _Flaky(words)
    return Unreadable(words) if isinstance(error, httpx.DecodingError) else OutcomeUnknown(words)


def _kind(error: httpx.HTTPError) -> str:
    """What was wrong with an answer, in our words: those of the parser quote it, and it may hold a
    key.
    """
    import httpx

    kinds: dict[type[httpx.HTTPError], str] = {
        httpx.TimeoutException: "it took too long",
        httpx.NetworkError: "the connection was cut",
        httpx.RemoteProtocolError: "what came is not HTTP, or ended too early",
        httpx.DecodingError: "its answer does not decompress",
    }
    return next(
        (words for kind, words in kinds.items() if isinstance(error, kind)), type(error).__name__
    )


def _words(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__
