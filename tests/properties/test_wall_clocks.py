"""Schedules on wall clocks, against an oracle that walks minute by minute and asks the standard
library what a clock on the wall shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.schedules import cron
from rotator.schedules.blackouts import Once, Span, Weekly
from rotator.schedules.opening import Opening
from rotator.schedules.rules import Rules
from rotator.schedules.windows import window
from tests.properties.test_schedules import Field, field

MINUTE, HOUR, DAY = 60, 3600, 86_400
# A zone, and a day on which its clocks jump: by an hour, by half of one, over a whole day.
JUMPS = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Pacific/Apia", "2011-12-30"),
    ("Asia/Kolkata", "2026-06-01"),
    ("UTC", "2024-02-29"),
]


@dataclass(frozen=True)
class Start:
    """A zone, and a whole minute within two days of a jump of its clocks."""

    zone: str
    at: int


def _start(jump: tuple[str, str], minutes: int) -> Start:
    zone, day = jump
    noon = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC)
    return Start(zone, int(noon.timestamp()) + minutes * MINUTE)


STARTS = st.builds(_start, st.sampled_from(JUMPS), st.integers(-2 * 1440, 2 * 1440))


def shown(zone: str, at: int) -> datetime:
    return datetime.fromtimestamp(at, ZoneInfo(zone))


def first(start: int, days: int, fits: Callable[[int], bool]) -> int | None:
    """The first minute from there on that fits, by trying them all."""
    return next((at for at in range(start, start + days * DAY, MINUTE) if fits(at)), None)


DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Hours:
    """A window as text, and what it means."""

    days: frozenset[int]
    opens: int  # minutes of the day
    closes: int

    @property
    def text(self) -> str:
        days = ",".join(DAYS[one] for one in sorted(self.days))
        return f"{days} {_clock(self.opens)}-{_clock(self.closes)}"

    def has(self, wall: datetime) -> bool:
        now, today = wall.hour * 60 + wall.minute, wall.weekday()
        if self.opens < self.closes:
            return today in self.days and self.opens <= now < self.closes
        return (today in self.days and now >= self.opens) or (
            (today - 1) % 7 in self.days and now < self.closes
        )


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


HOURS = st.builds(
    Hours,
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(0, 1439),
).filter(lambda one: one.opens != one.closes)


@given(
    start=STARTS, hours=st.lists(HOURS, min_size=1, max_size=2), closed=st.lists(HOURS, max_size=1)
)
@settings(max_examples=60)
def test_windows_are_open_while_clocks_show_their_times(
    start: Start, hours: list[Hours], closed: list[Hours]
) -> None:
    opening = Opening(
        start.zone,
        tuple(window(one.text) for one in hours),
        (Weekly(start.zone, tuple((window(one.text), one.text) for one in closed)),),
    )

    def is_open(at: int) -> bool:
        wall = shown(start.zone, at)
        return any(one.has(wall) for one in hours) and not any(one.has(wall) for one in closed)

    assert (opening.why_closed(start.at) == "") is is_open(start.at)
    expected = first(start.at, 9, is_open)
    found = opening.opens(start.at)
    assert found == expected if expected is not None else found is None or found > start.at
    ends = first(start.at, 9, lambda at: not is_open(at))
    if ends is not None:
        assert opening.closes(start.at) == ends


def fires(zone: str, minute: Field, hour: Field, days: Field, start: int) -> Iterator[int]:
    """When cron(8) runs it: fixed times once, and at once after a jump over them."""
    fixed = "*" not in (minute[0][0], hour[0][0])

    def meant(wall: datetime) -> bool:
        return (
            wall.minute in minute[1] and wall.hour in hour[1] and wall.isoweekday() % 7 in days[1]
        )

    for at in range(start + MINUTE, start + 9 * DAY, MINUTE):
        wall = shown(zone, at)
        if not fixed:
            if meant(wall):
                yield at
            continue
        before = shown(zone, at - MINUTE).replace(tzinfo=UTC)
        now = wall.replace(tzinfo=UTC)
        passed = range(int(before.timestamp()) + MINUTE, int(now.timestamp()) + 1, MINUTE)
        if wall.fold == 0 and any(meant(datetime.fromtimestamp(one, UTC)) for one in passed):
            yield at


@given(start=STARTS, minute=field(0, 59), hour=field(0, 23), days=field(0, 6))
@settings(max_examples=60)
def test_cron_runs_as_clocks_show_it(start: Start, minute: Field, hour: Field, days: Field) -> None:
    expression = f"{minute[0]} {hour[0]} * * {days[0]}"
    moment: float | None = start.at
    for count, expected in enumerate(fires(start.zone, minute, hour, days, start.at)):
        assert moment is not None
        moment = cron.next_of(expression, start.zone, moment)
        assert moment == expected, (expression, shown(start.zone, expected))
        if count == 5:
            break


@given(
    start=STARTS,
    every=st.integers(60, 40 * 1440).map(lambda minutes: minutes * 60.0),
    hours=st.lists(HOURS, max_size=2),
    phase=st.integers(0, 50).map(lambda minutes: minutes * 60.0),
    not_before=st.none() | st.integers(-3 * 1440, 5 * 1440),
    overdue=st.none() | st.integers(0, 4 * 1440).map(lambda minutes: minutes * 60.0),
    age=st.none() | st.integers(60, 50 * 1440).map(lambda minutes: minutes * 60.0),
    blackout=st.none() | st.tuples(st.integers(-1440, 1440), st.integers(1, 3 * 1440)),
    since=st.integers(0, 45 * 1440),
)
@settings(max_examples=60)
def test_what_is_due_begins_in_the_first_minute_that_every_rule_allows(
    start: Start,
    every: float,
    hours: list[Hours],
    phase: float,
    not_before: int | None,
    overdue: float | None,
    age: float | None,
    blackout: tuple[int, int] | None,
    since: int,
) -> None:
    """Asked at `start`, `since` minutes after the last success, whatever happened in between."""
    counts_from = float(start.at - since * MINUTE)
    floor = start.at + not_before * MINUTE if not_before is not None else 0
    spans = ()
    if blackout is not None:
        begin = start.at + blackout[0] * MINUTE
        spans = (Span(begin, begin + blackout[1] * MINUTE),)
    opening = Opening(start.zone, tuple(window(one.text) for one in hours), (Once(spans),))
    rules = Rules(every, None, start.zone, opening, phase, floor, max_age=age, max_overdue=overdue)

    def allowed(at: int) -> bool:
        if at < counts_from + every + phase or at < floor:
            return False
        if any(one.begin <= at < one.end for one in spans):
            return False
        wall = shown(start.zone, at)
        return (
            not hours
            or any(one.has(wall) for one in hours)
            or (overdue is not None and at >= counts_from + every + overdue)
            or (age is not None and at >= counts_from + age)
        )

    found = rules.due(counts_from, float(start.at))
    assert found.at == counts_from + every
    expected = first(start.at, 50, allowed)
    if expected is not None:
        assert found.begins == expected
        assert (found.why == "") is (found.begins <= max(found.at, start.at))
    assert rules.is_due(counts_from, found.begins)
