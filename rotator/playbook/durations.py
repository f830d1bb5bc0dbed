"""Durations as people write them: 30d, 24h, 10m, 0s; also several parts, 1h30m."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

_UNITS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[wdhms])")


def seconds(value: Any) -> float:
    """Seconds of a duration. Raises ValueError with the sentence that validation shows."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0.0
    text = str(value).replace(" ", "")
    if isinstance(value, bool) or not text or _PART.sub("", text):
        raise ValueError(f"'{value}' is not a duration; write it like 30d, 24h, 10m or 0s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def words(length: float) -> str:
    """A duration for people, its two largest parts: 1 d 4 h."""
    if 0 < length < 1:
        return f"{length:.1f} s"
    parts: list[str] = []
    for unit in ("d", "h", "m", "s"):
        count, length = divmod(length, _UNITS[unit])
        if count:
            parts.append(f"{count:.0f} {'min' if unit == 'm' else unit}")
    return " ".join(parts[:2]) or "0 s"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|[wdhms]) ?)+$", "examples": ["30d", "24h", "10m", "0s"]}
    ),
]
