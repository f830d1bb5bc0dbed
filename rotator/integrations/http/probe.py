"""Probe `http`: a request that a consumer of the key would make."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rotator.clients import http, http_status, loopback
from rotator.errors import PermanentError, Rejected, TransientError
from rotator.model import Credential
from rotator.plugin import setting


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What the answer must be: its status (one or several), and JMESPath expressions that must be
    true of its body.
    """

    __pydantic_config__ = {"extra": "forbid"}

    status: int | list[int] = 200
    body: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        import jmespath

        wanted = self.status if isinstance(self.status, list) else [self.status]
        if not wanted or any(
            isinstance(status, bool) or not 100 <= status <= 599 for status in wanted
        ):
            raise ValueError(f"{self.status} is no status of HTTP (100 to 599)")
        for expression in self.body:
            try:
                jmespath.compile(expression)
            except jmespath.exceptions.JMESPathError as error:
                raise ValueError(f"'{expression}' is not a JMESPath expression") from error


@dataclass(frozen=True, kw_only=True)
class HttpProbe:
    """Send a request.

    `{key}` may stand in headers and json, never in the URL (URLs are logged everywhere).
    """

    url: str = setting("Address")
    method: str = setting("GET, POST, …", default="GET")
    headers: dict[str, str] = setting("Headers; `{key}` is the key", default_factory=dict)
    json: Any = setting("JSON body; `{key}` is the key", default=None)
    expect: Expect = setting("What the answer must be", default_factory=Expect)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError("a url begins with https:// (or http://)")
        if "{key}" in self.url:
            raise ValueError("the key must not be part of a URL: put it into headers or json")
        if urllib.parse.urlsplit(self.url).password:
            raise ValueError(
                "a password in a URL is shown wherever that is: put it into headers, or a program"
            )

    @property
    def name(self) -> str:
        return f"{self.method} {self.url}"

    @property
    def local(self) -> bool:
        return loopback.is_here(self.url)

    @property
    def asks_with_key(self) -> bool:
        """Whether the answer depends on the key at all."""
        return "{key}" in f"{self.headers} {self.json}"

    def probe(self, credential: Credential) -> None:
        key = credential.primary.reveal()
        headers = {name: value.replace("{key}", key) for name, value in self.headers.items()}
        answer = http.send(
            http.Request(self.method.upper(), self.url, headers, {}, _fill(self.json, key))
        )
        wanted = (
            self.expect.status if isinstance(self.expect.status, list) else [self.expect.status]
        )
        if answer.status not in wanted:
            raise _refusal(self.name, answer, wanted)
        self._check_body(answer)

    def _check_body(self, answer: http.Answer) -> None:
        import jmespath

        for expression in self.expect.body:
            try:
                met = jmespath.search(expression, answer.json())
            except jmespath.exceptions.JMESPathError:  # the body is of a kind that it does not fit
                met = False
            if not met:
                raise PermanentError(f"{self.name}: the answer does not meet `{expression}`")


def _refusal(name: str, answer: http.Answer, wanted: list[int]) -> Exception:
    words = (
        f"{name} answered {answer.status} instead of {' or '.join(map(str, wanted))}: {answer.text}"
    )
    if answer.status in (401, 403):
        return Rejected(words)
    if answer.status == 429 or answer.status >= 500:
        return TransientError(words, retry_in=http_status.retry_after(answer))
    return PermanentError(words)


def _fill(template: Any, key: str) -> Any:
    if isinstance(template, str):
        return template.replace("{key}", key)
    if isinstance(template, Mapping):
        return {name: _fill(value, key) for name, value in template.items()}
    return [_fill(value, key) for value in template] if isinstance(template, list) else template
