"""When a playbook is due. Counted from its last success; cron expressions by APScheduler, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def _trigger(expression: str) -> Any:
    """APScheduler counts weekdays from Monday, crontab from Sunday: numbers become names."""
    from apscheduler.triggers.cron import CronTrigger

    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"'{expression}' is not a cron expression: it has five fields, for instance '0 3 * * 1'")
    minute, hour, day, month, weekday = fields
    try:
        return CronTrigger(minute=minute, hour=hour, day=day, month=month, day_of_week=_named(weekday), timezone=UTC)
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


def check_cron(expression: str) -> None:
    """Raises ValueError with the sentence that validation shows."""
    if _trigger(expression).get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError(f"'{expression}' never comes")


def next_due(every: float | None, cron: str | None, last_success: float | None) -> float | None:
    """When it is due next (Unix seconds); None without a schedule. Never rotated = due at once."""
    if every is None and cron is None:
        return None
    if last_success is None:
        return 0.0
    if every is not None:
        return last_success + every
    after = datetime.fromtimestamp(last_success, UTC) + timedelta(seconds=1)
    found = _trigger(cron or "").get_next_fire_time(None, after)
    return float(found.timestamp()) if found else None
