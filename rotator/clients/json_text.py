"""A JSON object as a text: a field's value is changed, and no other character.

Numbers, the order of fields, their layout, and fields that are there twice stay as somebody wrote
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from json import JSONDecoder
from typing import Any

# Numbers are not read: they may have more digits than Python takes, and nobody asks for their
# value.
_DECODER = JSONDecoder(parse_float=str, parse_int=str, parse_constant=str)
_TEXT = JSONDecoder()
_BLANKS = " \t\n\r"


class NoText(ValueError):
    """Words that go on from the name of what holds the text: `… is not JSON`."""


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member of an object stands: from `start` its name, from `value` to `end`
    its value.
    """

    name: str
    start: int
    value: int
    end: int


def members(text: str, start: int = 0) -> list[Member]:
    """Those of the object that begins at `start` or behind blanks there. Raises NoText."""
    try:
        whole, end = _DECODER.raw_decode(text, start := _behind_blanks(text, start))
        if start == 0 or not text[:start].strip(_BLANKS):
            end = _behind_blanks(text, end)
            if end != len(text):
                raise NoText("is not JSON")
    except (ValueError, RecursionError) as error:
        raise NoText("is not JSON") from error
    if not isinstance(whole, dict):
        raise NoText("is not a JSON object")
    found, at = [], _behind_blanks(text, start + 1)
    while text[at] != "}":
        begun = at
        name, at = _TEXT.raw_decode(text, at)
        at = _behind_blanks(text, _behind_blanks(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        found.append(Member(name, begun, at, end))
        at = _behind_blanks(text, end)
        if text[at] == ",":
            at = _behind_blanks(text, at + 1)
    return found


def _behind_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def get(text: str, name: str) -> str:
    """The text in a field; '' where there is none, or null.

    Raises NoText for what is no text, or not certain.
    """
    values = [_value(text, one) for one in members(text or "{}") if one.name == name]
    if any(value != values[0] for value in values):
        raise NoText(
            f"has the field {name} {len(values)} times, with different values: which one is read?"
        )
    value = values[0] if values else None
    if value is None:
        return ""
    if not isinstance(value, str):
        kind = {bool: "true or false", dict: "an object", list: "a list"}.get(
            type(value), "a number"
        )
        raise NoText(f"has {kind} in the field {name}, not a text")
    return value


def part(text: str, *names: str) -> str:
    """The text of the object that these fields lead to; '' where there is none. Raises NoText."""
    at = 0
    for name in names:
        found = [one for one in members(text, at) if one.name == name]
        if not found or text[found[-1].value] != "{":
            return ""
        at, end = found[-1].value, found[-1].end
    return text[at:end] if names else text


def _value(text: str, member: Member) -> Any:
    """A number as something that is no text."""
    return json.loads(
        text[member.value : member.end],
        parse_float=_number,
        parse_int=_number,
        parse_constant=_number,
    )


def _number(_: str) -> float:
    return 0.0


def put(text: str, name: str, value: str) -> str:
    """The text with this value in the field, wherever it stands; a new one is the last, as the
    others are laid out.

    Raises NoText.
    """
    text = text or "{}"
    held, written = members(text), json.dumps(value)
    ours = [one for one in held if one.name == name]
    for one in reversed(ours):
        text = text[: one.value] + written + text[one.end :]
    return text if ours else _added(text, held, f"{json.dumps(name)}", written)


def _added(text: str, held: list[Member], name: str, written: str) -> str:
    if not held:
        at = text.index("{") + 1
        return f"{text[:at]}{name}: {written}{text[at:]}"
    last = held[-1]
    before = text.rindex("," if len(held) > 1 else "{", 0, last.start) + 1
    colon = text[_TEXT.raw_decode(text, last.start)[1] : last.value]
    lead = text[before : last.start]
    if len(held) == 1 and "\n" not in lead:
        lead = " " if colon.endswith(" ") else ""
    return f"{text[: last.end]},{lead}{name}{colon}{written}{text[last.end :]}"


def without(text: str, names: Iterable[str], *inside: str) -> str:
    """The text without these members of the object, or of the one that the fields `inside` lead to.

    Raises NoText.
    """
    start = 0
    for name in inside:
        outer = next(
            (one for one in members(text, start) if one.name == name and text[one.value] == "{"),
            None,
        )
        if outer is None:
            return text
        start = outer.value
    held = members(text, start)
    for place in reversed([place for place, one in enumerate(held) if one.name in set(names)]):
        one = held[place]
        if place + 1 < len(held):
            text = text[: one.start] + text[held[place + 1].start :]
        else:
            text = text[: held[place - 1].end if place else one.start] + text[one.end :]
        held = members(text, start)
    return text
