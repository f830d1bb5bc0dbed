"""When a playbook is due. Counted from its last success; cron expressions by APScheduler, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")


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
    def name(part: str) -> str:
        head, slash, step = part.partition("/")
        ends = [_DAYS[int(end)] if end.isdigit() and int(end) <= 7 else end for end in head.split("-")]
        if len(ends) == 2 and ends[0] == "sun":  # a week that begins on Sunday
            return "*" + slash + step if ends[1] in ("sat", "sun") else f"sun,mon-{ends[1]}{slash}{step}"
        return "-".join(ends) + slash + step

    return ",".join(name(part) for part in weekday.split(","))


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
