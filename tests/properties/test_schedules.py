"""Schedules against a plain reading of their rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from rotator import durations
from rotator.counting import span
from rotator.schedules.rules import Rules

MOMENTS = st.integers(1_600_000_000, 2_000_000_000).map(float)


EVERY = st.integers(60, 400 * 86_400).map(float)


@given(moment=MOMENTS, every=EVERY)
def test_every_counts_from_the_moment_that_the_last_success_belonged_to(
    moment: float, every: float
) -> None:
    assert Rules(every).moment(moment) == moment + every
    assert Rules(every).moment(None) == 0.0, "never rotated is due at once"


@given(
    first=MOMENTS,
    every=EVERY,
    lateness=st.lists(
        st.tuples(st.floats(-0.04, 0.9), st.floats(0.0, 0.9)), min_size=1, max_size=30
    ),
)
def test_a_timer_of_the_same_interval_rotates_at_each_of_its_calls(
    first: float, every: float, lateness: list[tuple[float, float]]
) -> None:
    """Whenever each call comes within its interval, a little early, too, and however long the
    rotation takes.
    """
    rules = Rules(every)
    moment = rules.belongs_to(None, first)
    for number, (late, _took) in enumerate(lateness, 1):
        call = first + number * every + max(late * every, -rules.early + 0.001)
        assert rules.is_due(moment, call)
        moment = rules.belongs_to(moment, call)
        assert abs(moment - (first + number * every)) < 0.001, "it never drifts"


@given(moment=MOMENTS, every=EVERY, intervals=st.integers(1, 50), into=st.floats(0.0, 0.9))
def test_missed_intervals_are_not_made_up(
    moment: float, every: float, intervals: int, into: float
) -> None:
    """Slept for many of them: rotated once, and due again at the next of the old moments."""
    woken = moment + (intervals + into) * every
    rules = Rules(every)
    assert rules.is_due(moment, woken)
    belongs = rules.belongs_to(moment, woken)
    assert not rules.is_due(belongs, woken + 0.04 * every)
    assert abs(rules.moment(belongs) - (moment + (intervals + 1) * every)) < 0.01


Field = tuple[str, frozenset[int]]


def field(low: int, high: int) -> st.SearchStrategy[Field]:
    """A crontab field as text, and what it means."""
    values = st.integers(low, high)
    everything = frozenset(range(low, high + 1))
    return st.one_of(
        st.just(("*", everything)),
        values.map(lambda v: (str(v), frozenset({v}))),
        st.tuples(values, values).map(
            lambda p: (f"{min(p)}-{max(p)}", frozenset(range(min(p), max(p) + 1)))
        ),
        st.lists(values, min_size=2, max_size=3, unique=True).map(
            lambda vs: (",".join(map(str, vs)), frozenset(vs))
        ),
        st.integers(2, max(2, (high - low) // 2)).map(
            lambda step: (f"*/{step}", frozenset(range(low, high + 1, step)))
        ),
    )


@given(last=MOMENTS, minute=field(0, 59), hour=field(0, 23), weekday=field(0, 6))
@settings(max_examples=300)
def test_cron_means_what_crontab_says(
    last: float,
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
) -> None:
    """0 is Sunday; the first minute after the last success that fits, found by trying them all."""
    found = Rules(cron=f"{minute[0]} {hour[0]} * * {weekday[0]}").moment(last)
    at = datetime.fromtimestamp(last, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not (at.isoweekday() % 7 in weekday[1] and at.hour in hour[1]):
        at = (at + timedelta(hours=1)).replace(minute=0)
    while (
        at.minute not in minute[1]
        or at.hour not in hour[1]
        or at.isoweekday() % 7 not in weekday[1]
    ):
        at += timedelta(minutes=1)
    assert found == at.timestamp()


@given(last=MOMENTS, day=field(1, 31), weekday=field(0, 6))
@settings(max_examples=300)
def test_of_two_day_fields_either_is_enough(
    last: float, day: tuple[str, frozenset[int]], weekday: tuple[str, frozenset[int]]
) -> None:
    """crontab(5): where neither of them contains a star; else both must fit."""
    fits = any if "*" not in day[0] and "*" not in weekday[0] else all
    at = datetime.fromtimestamp(last, UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    while at.timestamp() <= last or not fits((at.day in day[1], at.isoweekday() % 7 in weekday[1])):
        at += timedelta(days=1)
    assert Rules(cron=f"0 3 {day[0]} * {weekday[0]}").moment(last) == at.timestamp()


@given(length=st.floats(0.01, 1e8))
def test_what_is_written_of_a_duration_is_read_as_such(length: float) -> None:
    """`1 d 4 h`, as messages and the docs have it, is a duration in a playbook, too."""
    written = span(length)
    assert span(durations.seconds(written)) == written


@given(parts=st.dictionaries(st.sampled_from("wdhms"), st.integers(1, 500), min_size=1))
def test_durations_add_up(parts: dict[str, int]) -> None:
    lengths = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
    text = "".join(f"{count}{unit}" for unit, count in parts.items())
    assert durations.seconds(text) == sum(lengths[unit] * count for unit, count in parts.items())
