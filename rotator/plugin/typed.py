"""Whether a value is of the type that a contract names; where it is not, in words.

A contract's types are those of `rotator.model`, and what Python has for numbers, texts, lists and
mappings. No value is ever part of the words: it may be a key.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Misfit:
    """`where` within the value: '' for all of it, or a path (`[2].created_at`); `what` is wrong
    there: "a str, not a float or None".
    """

    where: str
    what: str


def misfit(value: Any, wanted: Any) -> Misfit | None:
    """The first thing in a value that is of another type, None where nothing is."""
    if type(value) in _plain(wanted):
        return None
    kind = next((arm for arm in _arms(wanted) if _is_of(value, arm)), misfit)
    if kind is misfit:
        return Misfit("", f"{_kind_of(value)}, not {spoken(wanted)}")
    for step, part, type_of_part in _parts(value, kind):
        if found := misfit(part, type_of_part):
            return Misfit(step + found.where, found.what)
    return None


@lru_cache(maxsize=1024)
def _plain(wanted: Any) -> frozenset[type]:
    """Of a type, the classes whose values have nothing inside that is to be looked at."""
    arms = {type(None) if arm is None else arm for arm in _arms(wanted)}
    return frozenset(
        arm
        for arm in arms
        if isinstance(arm, type)
        and (arm in (str, int, float, bool, type(None)) or issubclass(arm, Enum))
    )


def _is_of(value: Any, wanted: Any) -> bool:
    """Whether it is of the type, whatever stands inside it."""
    if wanted in (int, float):
        number = int if wanted is int else (int, float)
        return isinstance(value, number) and not isinstance(value, bool)
    kind = _class_of(wanted)
    return kind is None or isinstance(value, kind)


def _parts(value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """What stands inside a value: where, what, and its type by the contract."""
    inside = typing.get_args(kind)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, wanted in _fields(type(value)).items():
            yield f".{name}", getattr(value, name), wanted
    elif isinstance(value, Mapping) and len(inside) == 2:
        for at, one in enumerate(value.values()):
            yield f".values()[{at}]", one, inside[1]
    elif isinstance(value, list | tuple) and inside:
        for at, one in enumerate(value):
            yield f"[{at}]", one, inside[0]


def are_strangers(one: Any, other: Any) -> bool:
    """Whether no value of the one type can be of the other, as far as types tell."""
    return not any(_are_related(a, b) for a in _arms(one) for b in _arms(other))


def _are_related(one: Any, other: Any) -> bool:
    first, second = _class_of(one), _class_of(other)
    if first is None or second is None or {first, second} <= {int, float}:
        return True
    return issubclass(first, second) or issubclass(second, first)


def spoken(wanted: Any) -> str:
    """The type, as a sentence names it."""
    return " or ".join(_named(arm) for arm in _arms(wanted))


def _named(kind: Any) -> str:
    if kind is None or kind is type(None):
        return "None"
    inside = [getattr(one, "__name__", str(one)) for one in typing.get_args(kind)]
    words = article(getattr(typing.get_origin(kind) or kind, "__name__", str(kind)))
    return (
        f"{words} of {inside[0]}"
        if inside and issubclass(_class_of(kind) or type, list | tuple)
        else words
    )


def article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _kind_of(value: Any) -> str:
    return "None" if value is None else article(type(value).__name__)


def _arms(wanted: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    return typing.get_args(wanted) if is_union else (wanted,)


def _class_of(wanted: Any) -> type[Any] | None:
    """The class that a value would be of, None where no value can be asked (`Any`, a protocol)."""
    kind = type(None) if wanted is None else typing.get_origin(wanted) or wanted
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return None
    return kind


@lru_cache
def _fields(kind: Any) -> Mapping[str, Any]:
    """The fields of a type of `rotator.model`, and their types."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
