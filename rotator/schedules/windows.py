"""Times of the week: windows in which a rotation may begin, and blackouts in which none may.

`mon-fri 09:00-17:00` is open at each moment at which a clock on the wall there shows that: twice as
long in an hour that is repeated, and not at all in one that is left out. Past midnight
(`fri 22:00-06:00`) it belongs to the day on which it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from rotator.schedules import zones

DAY = 86_400
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_THURSDAY = 3  # 1 January 1970
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_WINDOW = re.compile(rf"(?:(\S+) )?{_TIME}-(?:{_TIME}|(24:00))")
_EXAMPLE = "for instance 'mon-fri 09:00-17:00'"


@dataclass(frozen=True, slots=True)
class Window:
    """Times of the week: `days` on which it opens (0 = Monday), times in seconds of the day."""

    days: frozenset[int]
    opens: int
    closes: int

    @property
    def lasts(self) -> int:
        return (
            self.closes - self.opens
            if self.closes > self.opens
            else (DAY - self.opens + self.closes)
        )

    def has(self, wall: float) -> bool:
        day = int(wall // DAY)
        return any(
            (one + _THURSDAY) % 7 in self.days and 0 <= wall - one * DAY - self.opens < self.lasts
            for one in (day, day - 1)
        )

    def edges(self, begin: float, end: float) -> Iterable[float]:
        """Wall seconds within these at which it opens or closes."""
        for day in range(int(begin // DAY) - 1, int(end // DAY) + 1):
            if (day + _THURSDAY) % 7 in self.days:
                opens = day * DAY + self.opens
                yield from (one for one in (opens, opens + self.lasts) if begin < one < end)


def window(text: str) -> Window:
    """Raises ValueError with the sentence that validation shows."""
    parts = _WINDOW.fullmatch(" ".join(text.lower().split()))
    if parts is None:
        raise ValueError(f"'{text}' is no window: {_EXAMPLE}")
    days, from_hour, from_minute, to_hour, to_minute, midnight = parts.groups()
    opens = int(from_hour) * 3600 + int(from_minute) * 60
    closes = DAY if midnight else int(to_hour) * 3600 + int(to_minute) * 60
    if opens == closes:
        raise ValueError(f"'{text}' begins when it ends; all day is 00:00-24:00")
    return Window(_days(days, text) if days else frozenset(range(7)), opens, closes)


def _days(words: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in words.split(","):
        first, dash, last = part.partition("-")
        if first not in _DAYS or (dash and last not in _DAYS):
            raise ValueError(f"'{part}' in '{text}' is no day: {_EXAMPLE}")
        begin, end = _DAYS.index(first), _DAYS.index(last if dash else first)
        found |= {day % 7 for day in range(begin, end + 1 + 7 * (end < begin))}
    return frozenset(found)


def moment(text: str, zone: str, whole_day: int = 0) -> float:
    """When a date, or a time, begins in this zone (Unix seconds); with `whole_day` a date's end.

    Raises ValueError with the sentence that validation shows.
    """
    return zones.moment(zone, _wall(text, whole_day))


def _wall(text: str, whole_day: int) -> float:
    try:
        if len(text) == len("2026-12-24"):
            day = date.fromisoformat(text)
            return datetime.combine(day, time(), UTC).timestamp() + whole_day
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(
            f"'{text}' is neither a date nor a time, for instance 2026-12-24 or 2026-12-24T18:00"
        ) from error
    if found.tzinfo is not None:
        raise ValueError(f"'{text}' has an offset of its own: say `timezone:`")
    return found.replace(tzinfo=UTC).timestamp()
