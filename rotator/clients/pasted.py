"""What people paste for a key: is it one word of printable ASCII, and nothing around it?

A character that cannot be seen, or looks like another, is no part of any key that we know; nor are
quotes, a second line, the variable's name, or dots where a console hides the rest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from rotator.errors import PermanentError
from rotator.model import Credential
from rotator.secret import Secret, hint_of

_BLANKS = " \t\r\n"
_ASSIGNED = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*=(?!=*$)")
_MASKED = re.compile(r"\.{3}|\*{3}|[xX]{8}$")
_SHORTEST = 8
_OPENING = "\"'`<([{"


def tidied(text: str) -> str:
    """Without the blanks and line ends that copying adds at both ends."""
    return text.strip(_BLANKS)


def not_one_word(text: str) -> str:
    """Why a tidied text cannot be a key that anybody sends, or ''. Never quotes any of it."""
    if not text:
        return "it is empty"
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    if len(lines) > 1:
        return f"there are {len(lines)} lines"
    for place, char in enumerate(text, start=1):
        if not "!" <= char <= "~":
            return f"character {place} of {len(text)} is {_named(char)}"
    return ""


def _named(char: str) -> str:
    if char == " ":
        return "a blank"
    if "\ud800" <= char <= "\udfff":
        return "a byte that is no text (UTF-8)"
    return f"{unicodedata.name(char, 'a control character')} (U+{ord(char):04X})"


def more_than_a_key(text: str) -> str:
    """What one word shows to be around the key, or to stand in place of it; '' where
    nothing does.
    """
    if _ASSIGNED.match(text):
        return "it begins with the name of a variable"
    if text[:1] in _OPENING or text[-1:] in "\"'`>":
        return "it is in quotes or brackets"
    if "," in text[:-1]:
        return "there is a comma in it, as between several keys"
    if text[-1:] in ",;":
        return f"it ends with '{text[-1]}'"
    if _MASKED.search(text):
        return "part of it is hidden, as consoles show a key that is there already"
    return ""


def no_key(text: str, pattern: str, unlike: str) -> str:
    """Why a tidied text cannot be a key, or ''; `unlike` says so of one that does not match."""
    if wrong := not_one_word(text):
        return wrong
    if len(text) < _SHORTEST:
        return "it is too short"
    if not pattern:
        return more_than_a_key(text)
    return "" if re.fullmatch(pattern, text) else unlike


def taken(value: Secret, old: Credential | None, no_key: Callable[[Secret], str]) -> Credential:
    """The supplied key without the blanks around it.

    Raises PermanentError where it cannot be one, or is the old one.
    """
    tidy = Secret(tidied(value.reveal()))
    if reason := no_key(tidy):
        raise PermanentError(
            f"this is not the key: {reason}", "copy it once more: the whole of it, and it alone"
        )
    if old is not None and old.values and old.primary == tidy:
        raise PermanentError("this is the old key", "make a new one")
    return Credential(values={"key": tidy}, hint=hint_of(tidy.reveal()))
