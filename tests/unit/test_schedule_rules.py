"""Schedules on wall clocks, and what of them cannot be."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from rotator.playbook.schema import Schedule
from rotator.schedules import retries, rules
from rotator.schedules.rules import Rules

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "expression", "expected"),
    [
        ("2026-03-29", "30 2 * * *", ["29 03:00+0200", "30 02:30+0200"]),
        ("2026-03-29", "15,45 2 * * *", ["29 03:00+0200", "30 02:15+0200"]),
        ("2026-03-29", "*/30 1,2 * * *", ["29 01:00+0100", "29 01:30+0100", "30 01:00+0200"]),
        ("2026-10-25", "30 2 * * *", ["25 02:30+0200", "26 02:30+0100"]),
        ("2026-10-25", "*/30 2 * * 0", ["25 02:00+0200", "25 02:30+0200", "25 02:00+0100"]),
    ],
)
def test_a_fixed_time_comes_once_where_clocks_are_set_back_and_at_once_where_they_are_set_forward(
    day: str, expression: str, expected: list[str]
) -> None:
    at, seen = datetime.fromisoformat(day).replace(tzinfo=BERLIN).timestamp() - 1, []
    for _ in expected:
        at = Rules(cron=expression, zone="Europe/Berlin").moment(at)
        seen.append(datetime.fromtimestamp(at, BERLIN).strftime("%d %H:%M%z"))
    assert seen == expected


def test_a_leap_day_comes_every_fourth_year() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    at = Rules(cron="0 3 29 2 *", zone=zone.key).moment(1_795_392_000.0)
    assert datetime.fromtimestamp(at, zone).isoformat() == "2028-02-29T03:00:00+11:00"


def test_in_samoa_the_day_that_was_left_out_came_at_midnight() -> None:
    zone = ZoneInfo("Pacific/Apia")
    noon = datetime(2011, 12, 29, 12, tzinfo=zone).timestamp()
    at = Rules(cron="0 3 * * *", zone=zone.key).moment(noon)
    assert datetime.fromtimestamp(at, zone).isoformat() == "2011-12-31T00:00:00+14:00"


def test_each_playbook_has_its_own_part_of_the_jitter() -> None:
    parts = [rules.phase(f"playbook-{number}", 3600.0) for number in range(1000)]
    assert all(0 <= part < 3600 for part in parts)
    tenths = [sum(part // 360 == tenth for part in parts) for tenth in range(10)]
    assert min(tenths) > 60, "spread evenly"
    assert rules.phase("playbook-1", 3600.0) == parts[1], "and the same each time"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"every": "1d", "window": "mon-fry 09:00-17:00"}, "'mon-fry' in"),
        ({"every": "1d", "window": "9-17"}, "'9-17' is no window: for instance"),
        ({"every": "1d", "window": "09:00-09:00"}, "all day is 00:00-24:00"),
        ({"every": "1d", "window": ["mon 25:00-26:00"]}, "is no window"),
        ({"every": "1d", "timezone": "Europe/Berlim"}, "no time zone 'Europe/Berlim'"),
        ({"every": "1d", "timezone": "../../etc/passwd"}, "no time zone"),
        ({"every": "1d", "blackout": {"from": "2026-12-24", "to": "2026-12-20"}}, "does not come"),
        ({"every": "1d", "blackout": {"from": "Christmas", "to": "2026-12-27"}}, "'Christmas' is"),
        ({"every": "1d", "not_before": "2026-13-01"}, "neither a date nor a time"),
        ({"every": "1d", "not_before": "2026-12-01T00:00+01:00"}, "say `timezone:`"),
        ({"every": "1d", "max_overdue": "7d"}, "there is none"),
        ({"every": "1h", "jitter": "2h"}, "shorter than `every`"),
        (
            {"every": "1d", "window": "mon 01:00-03:00", "blackout": "00:00-04:00"},
            "it would never begin",
        ),
        ({"every": "1d", "blackout": "00:00-24:00"}, "it would never begin"),
        ({"cron": "0 3 31 2 *"}, "never comes"),
    ],
)
def test_what_cannot_be_is_a_mistake_and_never_a_schedule_that_sleeps(
    given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        Schedule.model_validate(given)
    assert words in str(raised.value)


def test_no_wait_takes_more_than_half_of_what_is_left_of_a_key() -> None:
    for seed in map(str, range(100)):
        for failures in (1, 5, 12):
            at = retries.again(failures, 1e9, seed, ends=1e9 + 3 * 3600.0)
            assert 1e9 + 3600.0 <= at <= 1e9 + 1.5 * 3600.0
