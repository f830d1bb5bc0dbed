"""A secret's text: printed as ***, with one exit; and the one redactor for everything that leaves
the process.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable
from typing import NoReturn

from rotator import spelling
from rotator.vocabulary import Vocabulary

_MIN_REDACTED = 4  # shorter values would blank out ordinary words
_BEARER = re.compile(r"(?i)\b(bearer|basic|token)(\s+|%20)[A-Za-z0-9._~+/=\-]{8,}")

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_KEYLIKE = re.compile(r"(?<![\w+=~-])(?=[\w+=~-]*[0-9])(?=[\w+=~-]*[A-Za-z])[\w+=~-]{16,}")
_LAST = 100  # lines of what a program said
_WORDS = (
    "2026-11-21T14:00:00.000001Z step done: kubernetes deployment/api 3/3 ready, rotation undone by"
    " operator@host"
)

_alive = Vocabulary()  # looked for however they are spelled
_odd = Vocabulary()  # too short for that, or nothing but blanks and quotes: looked for as they are


class Secret:
    """A text that must not be seen. `reveal()` is its one exit.

    Raises TypeError when formatted into a string, pickled or serialised to JSON: each is a leak
    about to happen.
    """

    __slots__ = ("__weakref__", "_forms", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._forms: frozenset[bytes] | None = None
        if len(spelling.plain(text)) >= spelling.SHORTEST:
            _alive.add(self)
        elif len(text) >= _MIN_REDACTED:
            _odd.add(self)

    def reveal(self) -> str:
        """The text itself, for the call that needs it."""
        return self._text

    def forms(self) -> frozenset[bytes]:
        """How it may be echoed, as it is looked for: see `spelling`."""
        if self._forms is None:
            text = self._text
            quoted = urllib.parse.quote(
                text, safe="", errors="replace"
            )  # a lone surrogate has no UTF-8
            written = {text, quoted, json.dumps(text)[1:-1], repr(text)[1:-1]}
            if len(spelling.plain(text)) >= spelling.SHORTEST:
                self._forms = spelling.forms(text, written)
            else:
                encoded = base64.b64encode(text.encode(errors="replace")).decode()
                forms = {encoded, encoded.rstrip("="), *written}
                self._forms = frozenset(
                    spelling.encoded(form) for form in forms if len(form) >= _MIN_REDACTED
                )
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
        raise TypeError(
            "a Secret cannot be formatted into a string; use reveal() at the one place that"
            " needs it"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")


class Redactor:
    """Replaces every secret known to this process, and everything that looks like a key, by ***.

    Patterns are given by whoever knows them (the provider catalog); the redactor knows no provider.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def add_patterns(self, patterns: Iterable[str]) -> None:
        """Take further key patterns (regular expressions) into account; not those that ordinary
        words meet, too.
        """
        known = {pattern.pattern for pattern in self._patterns}
        for text in patterns:
            if text not in known and text and not re.search(text, _WORDS):
                self._patterns.append(re.compile(text))

    def __call__(self, text: str) -> str:
        squeezed = spelling.plain(text)
        if _alive.any_in(squeezed) or (
            spelling.escaped(text) and _alive.any_in(spelling.meant(text))
        ):
            text = spelling.blanked(text, _alive.longest_first())
        if _odd and _odd.any_in(raw := spelling.encoded(text)):
            for form in _odd.longest_first():
                raw = raw.replace(form, b"***")
            text = raw.decode("utf-8", "surrogatepass")
        for pattern in self._patterns:
            if pattern.search(text):
                text = pattern.sub(_blank, text)
        if (
            b"bearer" in squeezed or b"basic" in squeezed or b"token" in squeezed
        ):  # ignoring case costs far more
            text = _BEARER.sub(lambda found: f"{found[1]} ***", text)
        return text


def _blank(found: re.Match[str]) -> str:
    """What a wide pattern takes for a key may be the id of a rotation."""
    return found[0] if _ULID.fullmatch(found[0]) else "***"


redact = Redactor()


def is_a_secret(text: str) -> bool:
    """Whether a text holds a secret that is known, or is one."""
    squeezed = spelling.plain(text)
    return _alive.any_in(squeezed) and any(form in squeezed for form in _alive.longest_first())


def without_keys(text: str) -> str:
    """Somebody else's words without what is long and of letters and digits: a key that nobody here
    knows, or an id.
    """
    return _KEYLIKE.sub("***", text)


def last_line(lines: Iterable[str]) -> str:
    """The last of them that says something, redacted and cut; '' where none does: what a program
    ended with.
    """
    said = [line.strip() for line in lines if line.strip()][-_LAST:]
    return redact("\n".join(said)).rpartition("\n")[2][
        :300
    ]  # together: a key may go over several lines


def hint_of(text: str) -> str:
    """The few characters that let a person recognise a key: `sk-svc…x2Lk`; nothing of a
    short one.
    """
    if len(text) < 20:
        return "…"
    return f"{text[:6]}…{text[-4:]}"
