"""Cron expressions as crontab(5) has them, on the wall clock of any zone; the fields are read by
APScheduler's triggers, of which nothing else is used.

A time that is fixed (`30 2 * * *`) comes once where the hour is repeated, and at once after the
jump where it is left out; with a star for minute or hour it comes as often as clocks show it.
Source: cron(8) of Debian, "daylight saving time and other time changes".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import takewhile
from typing import Any

from rotator.schedules import zones

_LONGEST = 8 * 366 * 86_400  # seconds: between two 29 February that lie farthest apart
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@lru_cache(maxsize=1024)
def _triggers(expression: str) -> Sequence[Any]:
    """One, or two of which either is enough: crontab(5) says so where both day fields are
    restricted.

    APScheduler counts weekdays from Monday, crontab from Sunday: numbers become names.
    """
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(
            f"'{expression}' is not a cron expression: it has five fields, for instance '0 3 * * 1'"
        )
    minute, hour, day, month, weekday = fields
    either = "*" not in day and "*" not in weekday
    try:
        return tuple(
            CronTrigger(
                minute=minute,
                hour=hour,
                day=of_month,
                month=month,
                day_of_week=of_week,
                timezone=UTC,
            )
            for of_month, of_week in (
                [(day, "*"), ("*", _named(weekday))] if either else [(day, _named(weekday))]
            )
        )
    except ValueError as error:
        raise ValueError(f"'{expression}' is not a cron expression: {error}") from error


def _named(weekday: str) -> str:
    if weekday == "*":
        return weekday
    days = {day % 7 for part in weekday.split(",") for day in _days(part)}
    return ",".join(_DAYS[day] for day in sorted(days))


def _days(part: str) -> range:
    """The days of one part of a weekday field, 0 and 7 = Sunday: 1, mon, 1-5, */2, 1-5/2."""
    head, slash, step = part.lower().partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        raise ValueError(f"'{part}' is not a weekday")
    first, dash, last = ("0", "-", "6") if head == "*" else head.partition("-")
    begin, end = _day(first, part), _day(last, part) if dash else 6
    if dash and end < begin:
        end += 7  # fri-mon goes over the week's end
    return range(begin, end + 1, int(step or 1)) if dash or slash else range(begin, begin + 1)


def _day(text: str, part: str) -> int:
    if text.isdigit() and int(text) <= 7:
        return int(text)
    if text[:3] in _DAYS and text.isalpha():
        return _DAYS.index(text[:3])
    raise ValueError(f"'{part}' is not a weekday")


def next_of(expression: str, zone: str, after: float) -> float | None:
    """The first of its moments (Unix seconds) that lies after this one; None where it never comes.

    Raises ValueError with the sentence that validation shows.
    """
    minute, hour = (*expression.split(), "", "")[:2]
    if minute.startswith("*") or hour.startswith("*"):
        return _each_time(expression, zone, after)
    wall: float | None = zones.wall(zone, after)
    while (wall := _next_wall(expression, wall)) is not None:
        moment = zones.moment(zone, wall)
        if moment > after:
            return moment
    return None


def _each_time(expression: str, zone: str, after: float) -> float | None:
    for begin, end, offset in takewhile(
        lambda one: one.begin < after + _LONGEST, zones.stretches(zone, after)
    ):
        wall = _next_wall(expression, (after if begin <= after else begin - 1) + offset)
        if wall is None:
            return None
        if wall - offset < end:
            return wall - offset
    return None


def _next_wall(expression: str, after: float | None) -> float | None:
    """The first reading of a wall clock after this one that the expression means."""
    assert after is not None
    later = datetime.fromtimestamp(math.floor(after) + 1, UTC)
    found = [trigger.get_next_fire_time(None, later) for trigger in _triggers(expression)]
    return min((moment.timestamp() for moment in found if moment is not None), default=None)


def check_cron(expression: str) -> None:
    """Raises ValueError with the sentence that validation shows."""
    if next_of(expression, "UTC", datetime.now(UTC).timestamp()) is None:
        raise ValueError(f"'{expression}' never comes")
