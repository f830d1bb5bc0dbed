"""Mistakes of a playbook in words: where it is, what is wrong, how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rotator.playbook.yaml import Path_

# How a value of the wanted kind is written, by pydantic's name of the mistake.
WRITTEN = {
    "list_type": "a list: `- uses: …` on lines of their own, or [] for none",
    "dict_type": "a mapping: `name: value`",
    "model_type": "a mapping: `name: value`",
    "string_type": "a text; in quotes if it looks like a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}


def helps(model: Any) -> dict[str, str]:
    return {name: field.description or "" for name, field in model.model_fields.items()}


def meant(name: str, known: Mapping[str, str]) -> str:
    """What a key is for, as the reference says it."""
    help_text = known.get(name, "")
    return (
        f"{name}: {help_text[0].lower()}{help_text[1:]}"
        if help_text
        else "see the playbook reference, or `rotator schema`"
    )


def sentence(error: Any) -> str:
    words: str = error["msg"]
    return (
        words.removeprefix("Value error, ").removeprefix("Input should be ").strip()
        if words.startswith("Value error")
        else words[0].lower() + words[1:]
    )


def spoken(path: Path_) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the playbook"
