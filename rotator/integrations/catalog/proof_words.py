"""What a word of a catalog file may be: a placeholder, a JMESPath, who authenticates, a condition.

Sources: https://jmespath.org/specification.html, RFC 9110 (5.1: names of headers; 9: methods).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jmespath
from jmespath.functions import Functions

from rotator.integrations.catalog.entry import OWNED

Path_ = tuple[str | int, ...]
_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_BRACED = re.compile(r"\{([^{}]*)\}")
# The name of a header: RFC 9110, 5.1.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
KNOWN_IN = {
    "label": "in a create",
    "id": "in deactivate, reactivate and revoke",
    "owner": f"in a revoke with `when: {OWNED}`",
    "key": "in the auth of the probe",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """A mistake at a path of the file's data; `word` is what was meant to be one of `known`."""

    path: Path_
    text: str
    hint: str = ""
    word: str = ""
    known: tuple[str, ...] = ()


@dataclass
class ProofOfWords:
    """What each word of a catalog file may stand for; mistakes gather in `found`."""

    data: Mapping[str, Any]
    found: list[Wrong] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = {
            name: entry
            for name, entry in self._map("settings").items()
            if isinstance(entry, Mapping)
        }
        self.known = known
        self.secrets = {name for name, entry in known.items() if entry.get("secret") is True}
        self.plain = known.keys() - self.secrets
        absent = {name for name, entry in known.items() if entry.get("default") is None}
        self.optional = {
            name for name in absent if not known[name].get("required", "default" not in known[name])
        }

    def wrong(self, path: Path_, text: str, hint: str = "") -> None:
        self.found.append(Wrong(path, text, hint))

    def _map(self, *path: str | int) -> Mapping[str, Any]:
        value = self._at(path)
        return value if isinstance(value, Mapping) else {}

    def _list(self, *path: str | int) -> Sequence[Any]:
        value = self._at(path)
        return value if isinstance(value, list) else []

    def _at(self, path: Path_) -> Any:
        value: Any = self.data
        for part in path:
            if isinstance(value, list) and isinstance(part, int):
                value = value[part]
            else:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def _when(self, path: Path_, more: tuple[str, ...]) -> None:
        when = self._map(*path).get("when")
        known = (*sorted(self.optional - self.secrets), *more)
        if not isinstance(when, str) or when in known:
            return
        if when in self.known:
            self.wrong(
                (*path, "when"),
                f"'{when}' is always given",
                "`when` names a setting whose default is null",
            )
        else:
            text = f"there is no setting '{when}' with default null"
            self.found.append(Wrong((*path, "when"), text, "", when, known))

    def _auth(self, path: Path_, probe: bool) -> None:
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
                self._secret((*path, part), auth[part], probe)
        self._basic((*path, "basic"), auth.get("basic"), probe)

    def _basic(self, path: Path_, pair: Any, probe: bool) -> None:
        if pair is None:
            return
        if not (isinstance(pair, list) and len(pair) == 2):
            self.wrong(path, "HTTP Basic has a user and a password", "basic: [USER, PASSWORD]")
            return
        for index, name in enumerate(pair):
            if isinstance(name, str) and (index == 1 or name not in self.plain - self.optional):
                self._secret((*path, index), name, probe)

    def _headers(self, path: Path_, probe: bool) -> None:
        for name, value in self._map(*path).items():
            if isinstance(name, str):
                self._header_name((*path, name, "=key"), name)
            if isinstance(value, Mapping) and isinstance(value.get("secret"), str):
                self._secret((*path, name, "secret"), value["secret"], probe)

    def _header_name(self, path: Path_, name: str) -> None:
        if not _TOKEN.fullmatch(name):
            self.wrong(path, f"'{name}' is no name of a header", "for instance X-API-Key")

    def _secret(self, path: Path_, name: str, probe: bool) -> None:
        known = ("key",) if probe else tuple(sorted(self.secrets))
        if name in known:
            if name in self.optional:
                self.wrong(
                    path, f"'{name}' need not be given, yet this needs it", "leave its default out"
                )
        elif name == "key":
            self.wrong(
                path,
                "only the probe authenticates with `key`",
                "here the administrator's credential asks",
            )
        elif name in self.plain:
            self.wrong(
                path, f"'{name}' is no secret setting", f"settings: {{{name}: {{secret: true}}}}"
            )
        elif probe:
            self.wrong(path, f"the probe tries the key itself, not '{name}'", "say `key`")
        else:
            self.found.append(Wrong(path, f"there is no secret setting '{name}'", "", name, known))

    def _request(
        self,
        path: Path_,
        context: set[str],
        when: str,
        probe: bool = False,
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
        self._body((*path, "json"), request.get("json"), context.union(taken_over))
        self._auth((*path, "auth"), probe)
        self._headers((*path, "headers"), probe)

    def _address(self, path: Path_, text: str, context: set[str], when: str) -> None:
        if not text.startswith("/") or re.search(r"[?#\s]", text):
            self.wrong(
                path,
                f"'{text}' is no path",
                "it begins with /; what comes after ? goes into `query`",
            )
        if {".", ".."} & set(text.split("/")):
            self.wrong(path, "'.' and '..' lead to another address", "write the path plainly")
        if re.search(r"[{}]", _BRACED.sub("", text)):
            self.wrong(path, "a brace without its other half", "{name} stands for a value")
        self._placeholders(path, text, context)
        for name in placeholders(text) & self.optional - {when}:
            self.wrong(
                path,
                f"{{{name}}} is part of the path, but need not be given",
                f"say `when: {name}`",
            )

    def _body(self, path: Path_, value: Any, context: set[str]) -> None:
        if isinstance(value, Mapping):
            for name, inside in value.items():
                self._body((*path, name), inside, context)
        elif isinstance(value, list):
            for index, inside in enumerate(value):
                self._body((*path, index), inside, context)
        else:
            self._placeholders(path, value, context)

    def _placeholders(self, path: Path_, value: Any, context: set[str]) -> None:
        for name in _BRACED.findall(value) if isinstance(value, str) else ():
            known = tuple(sorted(context | self.plain))
            if name in known:
                continue
            if name in self.secrets or name == "key":
                self.wrong(
                    path,
                    f"{{{name}}} is a secret: it would stand in logs",
                    "secrets stand in `auth` alone",
                )
            elif name in KNOWN_IN:
                self.wrong(path, f"{{{name}}} is not known here", f"it is known {KNOWN_IN[name]}")
            else:
                hint = "" if difflib.get_close_matches(name, known, 1, 0.6) else _in_words(known)
                self.found.append(Wrong(path, f"{{{name}}} stands for nothing", hint, name, known))

    def _paths(self, path: Path_, needed: tuple[str, ...]) -> None:
        for name, value in self._map(*path).items():
            if isinstance(value, str):
                self._jmespath((*path, name), value, name in needed)

    def _jmespath(self, path: Path_, text: Any, needed: bool) -> None:
        if not isinstance(text, str) or (not text and not needed):
            return
        try:
            parsed = jmespath.compile(text).parsed
        except jmespath.exceptions.JMESPathError as error:
            reason = str(error).split("\n")[0].split(", for expression")[0].removesuffix(":")
            self.wrong(
                path, f"`{text}` is no JMESPath: {reason}", "see jmespath.org; `a.b` is b within a"
            )
            return
        for name in _functions(parsed):
            if name not in Functions.FUNCTION_TABLE:
                known = tuple(sorted(Functions.FUNCTION_TABLE))
                self.found.append(
                    Wrong(path, f"JMESPath has no function {name}()", "", name, known)
                )


def placeholders(value: Any) -> set[str]:
    """The names in braces in all of it, the parts about authentication left out."""
    if isinstance(value, str):
        return set(_BRACED.findall(value))
    if isinstance(value, Mapping):
        return set().union(
            *(placeholders(inside) for name, inside in value.items() if name != "auth")
        )
    return set().union(*map(placeholders, value)) if isinstance(value, list) else set()


def _functions(parsed: Mapping[str, Any]) -> Iterator[str]:
    if parsed["type"] == "function_expression":
        yield parsed["value"]
    for child in parsed["children"]:
        if isinstance(child, Mapping):
            yield from _functions(child)


def _in_words(known: Sequence[str]) -> str:
    return (
        f"known here are {', '.join(f'{{{name}}}' for name in known)}"
        if known
        else "nothing is known here"
    )
