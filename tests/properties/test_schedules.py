"""Schedules against a plain reading of their rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from rotator.playbook import durations
from rotator.playbook.schedule import next_due

MOMENTS = st.integers(1_600_000_000, 2_000_000_000).map(float)


@given(last=MOMENTS, every=st.integers(60, 400 * 86_400).map(float))
def test_every_counts_from_the_last_success(last: float, every: float) -> None:
    assert next_due(every, None, last) == last + every
    assert next_due(every, None, None) == 0.0, "never rotated is due at once"


Field = tuple[str, frozenset[int]]


def field(low: int, high: int) -> st.SearchStrategy[Field]:
    """A crontab field as text, and what it means."""
    values = st.integers(low, high)
    everything = frozenset(range(low, high + 1))
    return st.one_of(
        st.just(("*", everything)),
        values.map(lambda v: (str(v), frozenset({v}))),
        st.tuples(values, values).map(lambda p: (f"{min(p)}-{max(p)}", frozenset(range(min(p), max(p) + 1)))),
        st.lists(values, min_size=2, max_size=3, unique=True).map(lambda vs: (",".join(map(str, vs)), frozenset(vs))),
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
    found = next_due(None, f"{minute[0]} {hour[0]} * * {weekday[0]}", last)
    at = datetime.fromtimestamp(last, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    while not (at.isoweekday() % 7 in weekday[1] and at.hour in hour[1]):
        at = (at + timedelta(hours=1)).replace(minute=0)
    while at.minute not in minute[1] or at.hour not in hour[1] or at.isoweekday() % 7 not in weekday[1]:
        at += timedelta(minutes=1)
    assert found == at.timestamp()


@given(parts=st.dictionaries(st.sampled_from("wdhms"), st.integers(1, 500), min_size=1))
def test_durations_add_up(parts: dict[str, int]) -> None:
    lengths = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
    text = "".join(f"{count}{unit}" for unit, count in parts.items())
    assert durations.seconds(text) == sum(lengths[unit] * count for unit, count in parts.items())
