"""Mistakes of a playbook in words: where it is, what is wrong, how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.playbook.mistakes import nearest
from rotator.playbook.schema import NOT_YET, Shape
from rotator.playbook.yaml import Path_

_PYDANTICS = ("function-after[", "function-before[")  # parts of a location that nobody wrote
# How a value of the wanted kind is written, by pydantic's name of the mistake.
_WRITTEN = {
    "list_type": "a list: `- uses: …` on lines of their own, or [] for none",
    "dict_type": "a mapping: `name: value`",
    "model_type": "a mapping: `name: value`",
    "string_type": "a text; in quotes if it looks like a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def of_pydantic(
    mistake: Any, location: tuple[Any, ...], known: Mapping[str, str], path: Path_ = ()
) -> tuple[Path_, str, str]:
    """Where it is, what is wrong, and a hint, of one of pydantic's `errors()`.

    `location` is the mistake's below `path`, in the words of the playbook; `known` has the keys
    that may stand there, with what each is for.
    """
    location = tuple(part for part in location if not str(part).startswith(_PYDANTICS))
    where: Path_ = (*path, *location)
    last = str(location[-1]) if location else ""
    nested = _known_below(location) or known
    match mistake["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument" if last in NOT_YET:
            return (*where, "=key"), f"'{last}' is of a later version", "remove it"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return (*where, "=key"), f"unknown key '{last}'", nearest(last, nested)
        case "missing" | "missing_argument":
            text = f"'{last}' is missing in {spoken(where[:-1])}"
            return where[:-1], text, meant(last, nested)
        case kind:
            inner = next((str(part) for part in reversed(location) if str(part) in nested), last)
            hint = _WRITTEN.get(kind) or meant(inner, nested)
            return where, f"{spoken(where)}: {_sentence(mistake)}", hint


def _known_below(location: tuple[Any, ...]) -> dict[str, str]:
    """The keys below a key of the playbook that is a mapping itself."""
    if len(location) < 2:
        return {}
    field = Shape.model_fields.get(str(location[0]))
    annotation = getattr(field, "annotation", None)
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if hasattr(part, "model_fields"):
            return helps(part)
    return {}


def helps(model: Any) -> dict[str, str]:
    """The keys of a pydantic model, and what each is for."""
    return {name: field.description or "" for name, field in model.model_fields.items()}


def meant(name: str, known: Mapping[str, str]) -> str:
    """What a key is for, as the reference says it."""
    help_text = known.get(name, "")
    return (
        f"{name}: {help_text[0].lower()}{help_text[1:]}"
        if help_text
        else "see the playbook reference, or `rotator schema`"
    )


def _sentence(mistake: Any) -> str:
    words: str = mistake["msg"]
    return (
        words.removeprefix("Value error, ").removeprefix("Input should be ").strip()
        if words.startswith("Value error")
        else words[0].lower() + words[1:]
    )


def spoken(path: Path_) -> str:
    """A place as people write it: `store[1].path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the playbook"
