"""When a playbook is due, as arithmetic on Unix seconds, in UTC; cron expressions by APScheduler.

`every` counts from the due moment that the last success belonged to, or from its beginning where a
person began it: never from its end, or a timer of the same interval would come too early every
second time. What was missed meanwhile is not made up. `cron` names its moments itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

FOREVER = 4e9  # Unix seconds: never, where a number must stand
EARLIEST = 300.0  # seconds before its moment at which a timer may begin it at most
_EARLY = 1 / 20  # of the interval
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


def _next_of(expression: str, after: datetime) -> datetime | None:
    found = [trigger.get_next_fire_time(None, after) for trigger in _triggers(expression)]
    return min((moment for moment in found if moment is not None), default=None)


def check_cron(expression: str) -> None:
    """Raises ValueError with the sentence that validation shows."""
    if _next_of(expression, datetime.now(UTC)) is None:
        raise ValueError(f"'{expression}' never comes")


def next_due(every: float | None, cron: str | None, counts_from: float | None) -> float | None:
    """When it is due next (Unix seconds); None without a schedule. Never rotated = due at once."""
    if every is None and cron is None:
        return None
    if counts_from is None:
        return 0.0
    if every is not None:
        return counts_from + every
    found = _next_of(cron or "", datetime.fromtimestamp(counts_from, UTC) + timedelta(seconds=1))
    return float(found.timestamp()) if found else FOREVER


def early(every: float | None) -> float:
    """Seconds by which a timer that comes too early still counts: it may not come at the very same
    second each time.
    """
    return 0.0 if every is None else min(every * _EARLY, EARLIEST)


def is_due(every: float | None, cron: str | None, counts_from: float | None, now: float) -> bool:
    """Whether a timer that comes now begins it."""
    due = next_due(every, cron, counts_from)
    return due is not None and due - early(every) <= now


def belongs_to(every: float | None, counts_from: float | None, now: float) -> float:
    """The due moment that a rotation belongs to which a timer begins now: the last one, whatever
    was missed before.

    Its beginning, where it was never due before.
    """
    if every is None or counts_from is None:
        return now
    intervals = math.floor((now + early(every) - counts_from) / every)
    return counts_from + intervals * every if intervals > 0 else now
