"""What a request of a catalog file may be: where it goes, what it carries, and who asks.

Sources: RFC 9110 (5.1: names of headers; 9: methods).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from rotator.integrations.catalog.entry import ACCESS_TOKEN, KEY
from rotator.integrations.catalog.proof_words import (
    BRACED,
    KNOWN_IN,
    Path_,
    ProofOfWords,
    Wrong,
    placeholders,
)
from rotator.integrations.catalog.request import secret_named

SAFE = ("GET", "HEAD")  # asked twice where the connection is lost
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
# The name of a header: RFC 9110, 5.1.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Asks(Enum):
    """Whose secrets a request may send."""

    ADMIN = "the administrator's"
    KEY = "those of the key alone"
    EITHER = "both"


class ProofOfRequests(ProofOfWords):
    """What each part of a request may say."""

    def _auth(self, path: Path_, asks: Asks) -> None:
        auth = self._map(*path)
        if not auth:
            if path == ("api", "auth") and self._at(path) == {}:
                self.wrong(
                    path,
                    "nothing to authenticate with",
                    "auth: {bearer: NAME} or {header: NAME, value: NAME}",
                )
            return
        ways = [way for way in ("bearer", "header", "basic") if way in auth]
        if len(ways) != 1 or ("header" in auth) != ("value" in auth):
            self.wrong(
                path,
                "auth is `bearer: NAME`, or `header: X-…` with `value: NAME`, or"
                " `basic: [USER, PASSWORD]`",
            )
        if "prefix" in auth and "header" not in auth:
            self.wrong((*path, "prefix"), "`prefix` stands before the value of a `header`")
        header = auth.get("header")
        if isinstance(header, str):
            self._header_name((*path, "header"), header)
        for part in ("bearer", "value"):
            if isinstance(auth.get(part), str):
                self._secret((*path, part), auth[part], asks)
        self._basic((*path, "basic"), auth.get("basic"), asks)

    def _basic(self, path: Path_, pair: Any, asks: Asks) -> None:
        if pair is None:
            return
        if not (isinstance(pair, list) and len(pair) == 2):
            self.wrong(path, "HTTP Basic has a user and a password", "basic: [USER, PASSWORD]")
            return
        for index, name in enumerate(pair):
            if isinstance(name, str) and (index == 1 or name not in self.plain - self.optional):
                self._secret((*path, index), name, asks)

    def _headers(self, path: Path_, asks: Asks) -> None:
        for name, value in self._map(*path).items():
            if isinstance(name, str):
                self._header_name((*path, name, "=key"), name)
            if isinstance(value, Mapping) and isinstance(value.get("secret"), str):
                self._secret((*path, name, "secret"), value["secret"], asks)

    def _header_name(self, path: Path_, name: str) -> None:
        if not _TOKEN.fullmatch(name):
            self.wrong(path, f"'{name}' is no name of a header", "for instance X-API-Key")

    def _secret(self, path: Path_, name: str, asks: Asks) -> None:
        known = tuple(sorted(self._known_secrets(asks)))
        if name in known:
            if name in self.optional:
                self.wrong(
                    path, f"'{name}' need not be given, yet this needs it", "leave its default out"
                )
        elif name in (KEY, ACCESS_TOKEN):
            self.wrong(path, f"`{name}` is not known here", f"it is known {KNOWN_IN[name]}")
        elif name in self.plain:
            self.wrong(
                path, f"'{name}' is no secret setting", f"settings: {{{name}: {{secret: true}}}}"
            )
        elif asks is Asks.KEY:
            self.wrong(path, f"the key itself is tried, not '{name}'", "say `key`")
        else:
            self.found.append(Wrong(path, f"there is no secret setting '{name}'", "", name, known))

    def _known_secrets(self, asks: Asks) -> set[str]:
        """What a request may send: a create is about the old key, any other about its own."""
        admin = self.secrets | ({ACCESS_TOKEN} if self._map("api", "token") else set())
        match asks:
            case Asks.KEY:
                return {KEY}
            case Asks.ADMIN:
                return admin
            case _:
                return admin | {KEY}

    def _request(
        self,
        path: Path_,
        context: set[str],
        when: str,
        asks: Asks = Asks.ADMIN,
        taken_over: Collection[str] = (),
    ) -> None:
        request = self._map(*path)
        for name, value in request.items():
            if not name.isupper():
                continue
            if name not in _METHODS:
                self.found.append(
                    Wrong((*path, name, "=key"), f"{name} is no method of HTTP", "", name, _METHODS)
                )
            if isinstance(value, str):
                self._address((*path, name), value, context, when)
        for name, value in self._map(*path, "query").items():
            self._placeholders((*path, "query", name), value, context.union(taken_over))
        known = context.union(taken_over)
        for body in ("json", "form"):
            self._body((*path, body), request.get(body), known, asks)
        if request.get("json") is not None and request.get("form") is not None:
            self.wrong((*path, "form", "=key"), "a request has one body", "`json` or `form`")
        host, hosts = request.get("host"), tuple(sorted(map(str, self._map("api", "hosts"))))
        if isinstance(host, str) and host not in hosts:
            self.found.append(
                Wrong((*path, "host"), f"there is no host '{host}' in api.hosts", "", host, hosts)
            )
        self._auth((*path, "auth"), asks)
        self._headers((*path, "headers"), asks)

    def _address(self, path: Path_, text: str, context: set[str], when: str) -> None:
        if not text.startswith("/") or re.search(r"[?#\s]", text):
            self.wrong(
                path,
                f"'{text}' is no path",
                "it begins with /; what comes after ? goes into `query`",
            )
        if {".", ".."} & set(text.split("/")):
            self.wrong(path, "'.' and '..' lead to another address", "write the path plainly")
        if re.search(r"[{}]", BRACED.sub("", text)):
            self.wrong(path, "a brace without its other half", "{name} stands for a value")
        self._placeholders(path, text.replace("{+", "{"), context)
        for name in placeholders(text) & self.optional - {when}:
            self.wrong(
                path,
                f"{{{name}}} is part of the path, but need not be given",
                f"say `when: {name}`",
            )

    def _body(self, path: Path_, value: Any, context: set[str], asks: Asks) -> None:
        if name := secret_named(value):
            self._secret((*path, "secret"), name, asks)
        elif isinstance(value, Mapping):
            for name, inside in value.items():
                self._body((*path, name), inside, context, asks)
        elif isinstance(value, list):
            for index, inside in enumerate(value):
                self._body((*path, index), inside, context, asks)
        else:
            self._placeholders(path, value, context)
