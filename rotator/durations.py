"""Durations as people write them, alike everywhere: 30d, 24h, 10m, 0s; several parts, 1h30m;
blanks, 1 d 4 h.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from rotator.counting import SECONDS

_PART = re.compile(r"(\d+(?:\.\d+)?) *(min|ms|[wdhms])(?![a-z]) *")
_PATTERN = r"^((\d+(\.\d+)?) *(min|ms|[wdhms]) *)+$"
_EXAMPLES = ["30d", "24h", "10m", "0s", "1h30m", "1 d 4 h"]
_HINT = "write it like 30d, 24h, 10m or 0s"


def seconds(value: Any) -> float:
    """Seconds of a duration. A number without a unit is none, but 0: of days or of seconds?

    Raises ValueError with the sentence that validation shows.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0.0
    text = str(value).strip()
    # "1h30m" and "1 h 30 m" are the same: a part may follow the one before at once.
    parts = re.sub(r"(?<=[a-z])(?=\d)", " ", text)
    if isinstance(value, bool) or not text or _PART.sub("", parts):
        raise ValueError(f"'{value}' is not a duration; {_HINT}")
    return sum(float(number) * SECONDS[unit] for number, unit in _PART.findall(parts))


def seconds_or_number(value: Any) -> float:
    """The same in a plugin's settings and in catalog files, where a number alone was always of
    seconds.

    Raises ValueError.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < 0 or not math.isfinite(value):
            raise ValueError(f"{value} is not a duration; {_HINT}")
        return float(value)
    return seconds(value)


_TEXT = {"type": "string", "pattern": _PATTERN, "examples": _EXAMPLES}
Duration = Annotated[float, BeforeValidator(seconds), WithJsonSchema(_TEXT)]
Seconds = Annotated[
    float,
    BeforeValidator(seconds_or_number),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "number", "minimum": 0, "description": "seconds"}]}),
]
