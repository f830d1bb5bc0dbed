"""The one door to HTTP: time-outs, limits, deadline check right before sending, errors translated by intent.

A redirect is never followed: the key must not travel to another host.
"""

from __future__ import annotations

import json
import os
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import tenacity

from rotator import __version__, deadline
from rotator.errors import OutcomeUnknown, PermanentError, TransientError
from rotator.secret import redact

if TYPE_CHECKING:
    import ssl

    import httpx

LIMIT = 10_000_000  # bytes of an answer; a listing of ten thousand keys is far below
_TIMEOUT = 20.0
_TRUSTED = 60.0  # seconds until certificates are read again
_TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    json: Any = None

    @property
    def safe(self) -> bool:
        """May be sent twice."""
        return self.method in _SAFE


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises PermanentError with the first words of what came instead."""
        try:
            return json.loads(self.body) if self.body else {}
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content type")
            start = redact(self.body[:80].decode(errors="replace")).split("\n")[0]
            raise PermanentError(
                f"the answer is not JSON but {kind}: {start}",
                "is the address right, or is a proxy's login page in between?",
            ) from error

    @property
    def text(self) -> str:
        """The first words of the body, for a person, redacted."""
        try:
            found = json.loads(self.body)
            error = found.get("error", found) if isinstance(found, dict) else found
            words = error.get("message", error) if isinstance(error, dict) else error
            return redact(str(words))[:300]
        except (ValueError, RecursionError):
            return redact(self.body[:300].decode(errors="replace"))


def send(request: Request) -> Answer:
    """One request, one answer of any status below 300 or from 400.

    Raises TransientError (nothing happened), OutcomeUnknown (an unsafe request may have), PermanentError (redirected,
    or too long an answer), LeaseLost.
    """
    if not request.safe:
        return _send(request)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Flaky),
        stop=tenacity.stop_after_attempt(2),
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )
    answer: Answer = retrying(_send, request)
    return answer


class _Flaky(TransientError):
    """A connection that was lost: worth one more try at once when the call is safe."""


def _send(request: Request) -> Answer:
    import httpx  # late: half of what `rotator status` would import

    host = _host(request)
    try:
        with _client() as client:
            sent = client.build_request(
                request.method,
                request.url,
                headers=dict(request.headers),
                params=dict(request.query) or None,
                json=request.json,
            )
            deadline.check()
            answer = client.send(sent, stream=True)
            try:
                body = _read(answer, request)
            finally:
                answer.close()
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise _Flaky(f"{host} cannot be reached: {_words(error)}", "is it up, and the address right?") from error
    except httpx.HTTPError as error:
        raise _lost(request, host, error) from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise PermanentError(f"not a usable address or header: {_words(error)}") from error
    if 300 <= answer.status_code < 400:
        raise PermanentError(
            f"{host} redirects to {redact(answer.headers.get('location', 'elsewhere'))}",
            "give the final address; a key is never sent after a redirect",
        )
    return Answer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body)


def _host(request: Request) -> str:
    try:
        return urllib.parse.urlsplit(request.url).hostname or request.url
    except ValueError as error:
        raise PermanentError(f"not a usable address: {error}") from error


def _client() -> httpx.Client:
    import httpx

    return httpx.Client(
        timeout=deadline.remaining(_TIMEOUT),
        follow_redirects=False,
        headers={"user-agent": f"rotator/{__version__}"},
        verify=_trust(int(time.monotonic() // _TRUSTED), *map(os.environ.get, _TRUST)),
    )


@lru_cache(maxsize=1)
def _trust(minute: int, *named: str | None) -> ssl.SSLContext:
    """Whom we trust; reading that costs more than most requests, so it is read anew each minute."""
    import httpx

    return httpx.create_ssl_context()


def _read(answer: httpx.Response, request: Request) -> bytes:
    body = bytearray()
    for chunk in answer.iter_bytes():
        body += chunk
        deadline.check()
        if len(body) > LIMIT:
            words = f"{_host(request)} answers with more than {LIMIT // 1_000_000} MB"
            raise PermanentError(words) if request.safe else OutcomeUnknown(words)
    return bytes(body)


def _lost(request: Request, host: str, error: httpx.HTTPError) -> TransientError | OutcomeUnknown:
    words = f"{host} did not answer {request.method}: {_words(error)}"
    if request.safe:
        return _Flaky(words)
    return OutcomeUnknown(words)


def _words(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asks to wait."""
    value = answer.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None


def passing(answer: Answer, request: Request, who: str) -> None:
    """Raises for an answer that says 'not now' (429, 5xx): Transient, or unknown where it may have happened."""
    if answer.status == 429 or (answer.status == 503 and "retry-after" in answer.headers):
        raise TransientError(f"{who} is busy ({answer.status})", retry_in=retry_after(answer))
    if answer.status >= 500 or answer.status == 408:
        words = f"{who} answered {answer.status}: {answer.text}"
        raise TransientError(words) if request.safe else OutcomeUnknown(words)
