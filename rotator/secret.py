"""A secret's text: printed as ***, with one exit; and the one redactor for everything that leaves the process."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import NoReturn

from rotator.vocabulary import Vocabulary

_MIN_REDACTED = 4  # shorter values would blank out ordinary words
_BEARER = re.compile(r"(?i)\b(bearer|basic|token)(\s+|%20)[A-Za-z0-9._~+/=\-]{8,}")

_alive = Vocabulary()


class Secret:
    """A text that must not be seen. `reveal()` is its one exit.

    Raises TypeError when formatted into a string, pickled or serialised to JSON: each is a leak about to happen.
    """

    __slots__ = ("__weakref__", "_forms", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._forms: frozenset[str] | None = None
        if len(text) >= _MIN_REDACTED:
            _alive.add(self)

    def reveal(self) -> str:
        """The text itself, for the call that needs it."""
        return self._text

    def forms(self) -> frozenset[str]:
        """How it may be echoed: plainly, and in the encodings of URLs, JSON, Python and base64."""
        if self._forms is None:
            text = self._text
            encoded = base64.b64encode(text.encode(errors="replace")).decode()
            quoted = urllib.parse.quote(text, safe="", errors="replace")  # a lone surrogate has no UTF-8
            written = {quoted, json.dumps(text)[1:-1], repr(text)[1:-1]}
            forms = {text, encoded, encoded.rstrip("="), *written}
            self._forms = frozenset(form for form in forms if len(form) >= _MIN_REDACTED)
        return self._forms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return id(self)  # each instance is kept alive and registered by itself

    def __bool__(self) -> bool:
        return bool(self._text)

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a Secret cannot be formatted into a string; use reveal() at the one place that needs it")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Redactor:
    """Replaces every secret known to this process, and everything that looks like a key, by ***.

    Patterns are given by whoever knows them (the provider catalog); the redactor knows no provider.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def add_patterns(self, patterns: Iterable[str]) -> None:
        """Take further key patterns (regular expressions) into account."""
        known = {pattern.pattern for pattern in self._patterns}
        self._patterns += [re.compile(pattern) for pattern in patterns if pattern not in known]

    def __call__(self, text: str) -> str:
        if _alive.any_in(text):
            for form in _alive.longest_first():
                text = text.replace(form, "***")
        for pattern in self._patterns:
            if pattern.search(text):
                text = pattern.sub("***", text)
        lower = text.lower()  # a search that ignores case costs more than all the rest
        if "bearer" in lower or "basic" in lower or "token" in lower:
            text = _BEARER.sub(lambda found: f"{found[1]} ***", text)
        return text


redact = Redactor()


def last_line(lines: Iterable[str]) -> str:
    """The last of them that says something, redacted and cut; '' where none does: what a program ended with."""
    said = [line.strip() for line in lines if line.strip()]
    return redact(said[-1])[:300] if said else ""


def hint_of(text: str) -> str:
    """The few characters that let a person recognise a key: `sk-svc…x2Lk`; nothing of a short one."""
    if len(text) < 20:
        return "…"
    return f"{text[:6]}…{text[-4:]}"
