"""Windows in which a rotation may begin, and blackouts in which none may.

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
HORIZON = 2 * 366 * DAY  # seconds in which something must open, else it never does


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


@dataclass(frozen=True, slots=True)
class Span:
    """From one moment up to another (Unix seconds)."""

    begin: float
    end: float


def span(begin: str, end: str, zone: str) -> Span:
    """From and to as dates or times in this zone; a date as the end means that whole day.

    Raises ValueError with the sentence that validation shows.
    """
    found = Span(moment(begin, zone), moment(end, zone, DAY))
    if found.end <= found.begin:
        raise ValueError(f"{end} does not come after {begin}")
    return found


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


@dataclass(frozen=True, slots=True)
class Opening:
    """When rotations may begin: within one of the windows (any time, where there is none), outside
    all blackouts.
    """

    zone: str = "UTC"
    windows: tuple[Window, ...] = ()
    closed: tuple[Window, ...] = ()  # blackouts that come back each week
    spans: tuple[Span, ...] = ()  # blackouts that come once

    def why_closed(self, at: float, windows: bool = True) -> str:
        """`blackout`, `window`, or '' where a rotation may begin. `windows`: whether they count."""
        if any(one.begin <= at < one.end for one in self.spans) or self._within(self.closed, at):
            return "blackout"
        inside = not windows or not self.windows or self._within(self.windows, at)
        return "" if inside else "window"

    def _within(self, windows: tuple[Window, ...], at: float) -> bool:
        """Most schedules have none: then no zone is asked."""
        if not windows:
            return False
        wall = zones.wall(self.zone, at)
        return any(one.has(wall) for one in windows)

    def opens(self, at: float, windows: bool = True) -> float | None:
        """The first moment from this one on at which a rotation may begin; None where there is none
        within two years.
        """
        if not self.why_closed(at, windows):
            return at
        return next((one for one in self._edges(at) if not self.why_closed(one, windows)), None)

    def closes(self, at: float) -> float | None:
        """When it is open no more, or, where it never closes, None."""
        if self.why_closed(at):
            return at
        return next((one for one in self._edges(at) if self.why_closed(one)), None)

    def _edges(self, at: float) -> Iterable[float]:
        """Moments after this one at which something may open or close, in their order."""
        ends = [edge for one in self.spans for edge in (one.begin, one.end)]
        for begin, end, offset in _weeks(self.zone, at):
            edges = {begin, *(edge for edge in ends if begin <= edge < end)}
            for one in (*self.windows, *self.closed):
                edges |= {wall - offset for wall in one.edges(begin + offset, end + offset)}
            yield from sorted(one for one in edges if one > at)


def _weeks(zone: str, at: float) -> Iterable[tuple[float, float, int]]:
    """Pieces of the time from `at` up to the horizon, each of one offset from UTC."""
    for stretch in zones.stretches(zone, at):
        begin = max(float(stretch.begin), at)
        while begin < min(stretch.end, at + HORIZON):
            end = min(begin + 7 * DAY, float(stretch.end))
            yield begin, end, stretch.offset
            begin = end
        if stretch.end > at + HORIZON:
            return
