"""What people paste for a key: is it one word of printable ASCII, and nothing around it?

A character that cannot be seen, or looks like another, is no part of any key that we know; nor are
quotes, a second line, the variable's name, or dots where a console hides the rest.
"""

from __future__ import annotations

import re
import unicodedata

_BLANKS = " \t\r\n"
_ASSIGNED = re.compile(r"(?:export\s+)?[A-Z][A-Z0-9_]*=(?!=*$)")
_MASKED = re.compile(r"\.{3}|\*{3}|[xX]{8}$")
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
