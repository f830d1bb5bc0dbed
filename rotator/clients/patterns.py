"""What the pattern of a provider's keys tells of them: what all begin with, and what they may
consist of.
"""

from __future__ import annotations

import re
from re import _parser  # type: ignore[attr-defined]  # a pattern's parts, as `re` itself sees them
from string import ascii_letters, digits
from typing import Any

_MANY = 64  # beginnings of one pattern that are followed
_ASCII = 128
_CATEGORIES = {"CATEGORY_DIGIT": set(digits), "CATEGORY_WORD": set(ascii_letters + digits + "_")}
_BLANK, _TAKE_A_BLANK = ord(" "), ("CATEGORY_SPACE", "CATEGORY_NOT_DIGIT", "CATEGORY_NOT_WORD")
_CHOICES = 8  # a class of no more characters is a few alternatives, not something random


def literal_prefix(pattern: str, value: str) -> str:
    """The longest fixed beginning that the pattern allows and that the value has: `sk-svcacct-` of
    OpenAI's.
    """
    heads = _heads(list(_parser.parse(pattern)))
    return max((head for head, _ in heads if value.startswith(head)), key=len, default="")


def heads(pattern: str) -> list[str]:
    """The fixed beginnings that the pattern allows."""
    return [head for head, _ in _heads(list(_parser.parse(pattern)))]


def _heads(parts: list[Any]) -> list[tuple[str, bool]]:
    """The fixed beginnings of what the parts match; True where that is all of it, so that what
    comes next goes on.
    """
    heads = [("", True)]
    for part in parts:
        following = _of(part)
        ended = [head for head in heads if not head[1]]
        heads = ended + [
            (head + more, whole) for head, on in heads if on for more, whole in following
        ]
        if len(heads) > _MANY or not any(on for _, on in heads):
            break
    return heads


def _of(part: Any) -> list[tuple[str, bool]]:
    kind, found = str(part[0]), part[1]
    match kind:
        case "LITERAL":
            return [(chr(found), True)]
        case "AT":
            return [("", True)]
        case "IN" if len(found) <= _CHOICES and all(str(one[0]) == "LITERAL" for one in found):
            return [(chr(one[1]), True) for one in found]
        case "SUBPATTERN":
            return _heads(list(found[-1]))
        case "BRANCH":
            return [head for branch in found[1] for head in _heads(list(branch))]
        case "MAX_REPEAT" | "MIN_REPEAT" if found[:2] == (0, 1):
            return [("", True), *_heads(list(found[2]))]
        case "MAX_REPEAT" | "MIN_REPEAT" if found[0] == found[1] and found[0] <= _CHOICES:
            return _heads(list(found[2]) * found[0])
        case _:
            return [("", False)]


def may_match_blanks(pattern: str) -> bool:
    """Whether a part of it that is no fixed text matches a blank, too: then a match does not end
    where a key does, but has the words that follow in it. False for what is no pattern.
    """
    try:
        return _any_blank(list(_parser.parse(pattern)))
    except re.error:
        return False


def _any_blank(parts: list[Any]) -> bool:
    return any(_takes_a_blank(str(part[0]), part[1]) for part in parts)


def _takes_a_blank(kind: str, found: Any) -> bool:
    match kind:
        case "ANY":
            return True
        case "NOT_LITERAL":
            return bool(found != _BLANK)
        case "IN":
            negated = str(found[0][0]) == "NEGATE"
            return negated != any(_is_a_blank(str(one[0]), one[1]) for one in found)
        case "SUBPATTERN":
            return _any_blank(list(found[-1]))
        case "ATOMIC_GROUP":
            return _any_blank(list(found))
        case "BRANCH":
            return any(_any_blank(list(branch)) for branch in found[1])
        case "GROUPREF_EXISTS":
            return any(_any_blank(list(branch)) for branch in found[1:] if branch is not None)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _any_blank(list(found[2]))
        case _:  # a fixed text; or what matches nothing of its own
            return False


def _is_a_blank(kind: str, found: Any) -> bool:
    """Of one part of a class of characters."""
    match kind:
        case "LITERAL":
            return bool(found == _BLANK)
        case "RANGE":
            return bool(found[0] <= _BLANK <= found[1])
        case "CATEGORY":
            return str(found) in _TAKE_A_BLANK
        case _:  # the mark of a class of all others
            return False


def signs(pattern: str) -> str:
    """The characters that a match may consist of, sorted; '' where the pattern leaves that open."""
    try:
        found = _signs(list(_parser.parse(pattern)))
    except re.error:
        return ""
    return "" if found is None else "".join(sorted(found))


def _signs(parts: list[Any]) -> set[str] | None:
    """None for "anything": whoever writes `.` or `\\S` does not know."""
    found: set[str] = set()
    for part in parts:
        one = _signs_of(str(part[0]), part[1])
        if one is None:
            return None
        found |= one
    return found


def _signs_of(kind: str, found: Any) -> set[str] | None:
    match kind:
        case "LITERAL":
            return {chr(found)}
        case "RANGE":
            return (
                {chr(code) for code in range(found[0], found[1] + 1)} if found[1] < _ASCII else None
            )
        case "CATEGORY":
            return _CATEGORIES.get(str(found))
        case "IN":
            return None if str(found[0][0]) == "NEGATE" else _signs(found)
        case "SUBPATTERN" | "ATOMIC_GROUP":
            return _signs(list(found[-1] if kind == "SUBPATTERN" else found))
        case "BRANCH":
            return _signs([part for branch in found[1] for part in branch])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _signs(list(found[2]))
        case "AT" | "ASSERT" | "ASSERT_NOT":
            return set()
        case _:
            return None
