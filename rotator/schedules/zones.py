"""Time zones as stretches of one offset from UTC, between which wall clocks jump.

Within a stretch, wall seconds are Unix seconds plus its offset; so every rule about wall clocks is
plain arithmetic in each stretch, and what happens at a jump is said in one place.
Source of the offsets: the IANA time zone database, by the standard library's `zoneinfo`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_STEP = 6 * 3600  # seconds; no zone has ever jumped twice within that
_FARTHEST = 26 * 3600  # seconds; more than any offset or jump (Samoa left out a day in 2011)


class Stretch(NamedTuple):
    """From `begin` up to `end` (Unix seconds) a wall clock is `offset` seconds ahead of UTC."""

    begin: int
    end: int
    offset: int


def check(name: str) -> None:
    """Raises ValueError where no zone has this name."""
    _zone(name)


def stretches(zone: str, at: float) -> Iterator[Stretch]:
    """Without end: the one that has this moment, and those that follow."""
    year = datetime.fromtimestamp(at, UTC).year
    while year < datetime.max.year:
        yield from (one for one in _of_year(zone, year) if one.end > at)
        year += 1


def wall(zone: str, at: float) -> float:
    """What a clock on the wall shows at this moment, as wall seconds."""
    return at + next(stretches(zone, at)).offset


def moment(zone: str, wall_seconds: float) -> float:
    """When a clock on the wall shows this for the first time.

    Where it is never shown, as the clock jumps over it: the moment of that jump.
    """
    for one in stretches(zone, wall_seconds - _FARTHEST):
        if one.end + one.offset > wall_seconds:
            return max(float(one.begin), wall_seconds - one.offset)
    raise ValueError(f"{wall_seconds} is beyond the calendar")


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone '{name}', for instance Europe/Berlin") from error


@lru_cache(maxsize=4096)
def _of_year(zone: str, year: int) -> tuple[Stretch, ...]:
    begin, end = (int(datetime(each, 1, 1, tzinfo=UTC).timestamp()) for each in (year, year + 1))
    edges = [begin]
    for before in range(begin, end, _STEP):
        after = min(before + _STEP, end - 1)
        if _offset(zone, before) != _offset(zone, after):
            edges.append(_edge(zone, before, after))
    return tuple(
        Stretch(first, last, _offset(zone, first))
        for first, last in zip(edges, [*edges[1:], end], strict=True)
    )


def _edge(zone: str, before: int, after: int) -> int:
    """The first second that has the later offset."""
    earlier = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == earlier else (before, middle)
    return after


def _offset(zone: str, at: int) -> int:
    if zone == "UTC":
        return 0
    shift = datetime.fromtimestamp(at, _zone(zone)).utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0
