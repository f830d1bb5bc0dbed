"""States, calls and keys as JSON, and back; strict both ways."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from rotator.core.action import Call
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation


@lru_cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def dump(value: Rotation | Debt | Call | Key) -> str:
    """JSON of a state, without its defaults."""
    text: str = _adapter(_kind(value)).dump_json(value, exclude_defaults=True).decode()
    return text


def _kind(value: object) -> Any:
    return type(value)


def rotation_of(text: str) -> Rotation:
    found: Rotation = _adapter(Rotation).validate_json(text)
    return found


def debt_of(text: str) -> Debt:
    found: Debt = _adapter(Debt).validate_json(text)
    return found


def seen_at(text: str) -> float:
    """When this state was written, in Unix seconds: before the journal had a column for it."""
    return float(json.loads(text).get("now", 0.0))


def needs_attention(text: str) -> bool:
    """Whether a rotation or a debt in this state stands until a person acts: before there was a
    column for it.
    """
    found = json.loads(text)
    return bool(found.get("attention")) or found.get("phase") == Phase.STUCK


def call_of(text: str) -> Call:
    found: Call = _adapter(Call).validate_json(text)
    return found


def key_of(text: str) -> Key:
    found: Key = _adapter(Key).validate_json(text)
    return found
