"""When a key is due, overdue, and ends, as the metrics tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rotator.daemon.key_times import times
from rotator.engine.retries import after_failure
from rotator.journal.measures import KeyTimes
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER
from tests.unit.test_playbooks import GOOD, load

HOUR, DAY = 3_600.0, 86_400.0
TUESDAY = 1_826_841_600.0 + DAY  # 2027-11-23 00:00 UTC
ROTATED = TUESDAY - 30 * DAY
SEEN = TUESDAY + HOUR
KEY = KeyTimes("one", last_success=ROTATED, counts_from=ROTATED, due=TUESDAY)
_DUE, _OVERDUE = "key_next_due_timestamp_seconds", "key_overdue_timestamp_seconds"
_MONTHLY = "schedule: {every: 30d}"
_RETRY = "rotation_retry_timestamp_seconds"


def book(folder: Path, more: str) -> Playbook:
    loaded = load(folder, one=f"{GOOD}{more}\n")
    assert not loaded.mistakes
    return loaded.playbooks["one"]


@pytest.mark.parametrize(
    ("more", "overdue"),
    [
        ("schedule: {every: 30d}", TUESDAY + DAY),
        ("schedule: {every: 30d}\nmax_age: 35d", ROTATED + 35 * DAY),
        ('schedule: {every: 30d, window: "sat 02:00-04:00"}', TUESDAY + 4 * DAY + 2 * HOUR + DAY),
        (
            'schedule: {every: 30d, window: "sat 02:00-04:00", max_overdue: 2d}',
            TUESDAY + 2 * DAY,
        ),
        (
            'schedule: {every: 30d, window: "sat 02:00-04:00", max_overdue: 9d}\nmax_age: 33d',
            ROTATED + 33 * DAY,
        ),
        (
            "schedule: {every: 30d, blackout: {from: 2027-11-20, to: 2027-11-30}}",
            TUESDAY + 8 * DAY + DAY,
        ),
        ("schedule: {every: 30d, not_before: 2099-12-01}", None),
        ("max_age: 35d", ROTATED + 35 * DAY),
        ("", None),
    ],
)
def test_overdue_is_by_the_playbooks_limits_else_a_day_after_it_might_have_begun(
    tmp_path: Path, more: str, overdue: float | None
) -> None:
    assert dict(times(KEY, book(tmp_path, more), SEEN)).get(_OVERDUE) == overdue


@pytest.mark.parametrize("due", [TUESDAY, TUESDAY + 32 * HOUR, TUESDAY + 4 * DAY, FOREVER])
def test_what_puts_it_off_does_not_move_when_it_is_overdue(tmp_path: Path, due: float) -> None:
    """A failure, a window that closed meanwhile, or that it is not begun for many years."""
    key = KeyTimes("one", ROTATED, ROTATED, due)
    found = dict(times(key, book(tmp_path, "schedule: {every: 30d}"), SEEN))
    assert found[_OVERDUE] == TUESDAY + DAY
    assert found.get(_DUE) == (due if due != FOREVER else None)


def test_a_time_that_nobody_has_reckoned_yet_is_told_all_the_same(tmp_path: Path) -> None:
    """Where its file was broken while it was rotated, nobody does until it is mended."""
    found = dict(times(KeyTimes("one", ROTATED, ROTATED), book(tmp_path, _MONTHLY), SEEN))
    assert (found[_DUE], found[_OVERDUE]) == (TUESDAY, TUESDAY + DAY)


@pytest.mark.parametrize(
    ("more", "ends", "overdue"),
    [
        ("schedule: {every: 30d}", TUESDAY + HOUR, TUESDAY + HOUR),
        ("schedule: {every: 30d}", TUESDAY + 9 * DAY, TUESDAY + DAY),
        ("max_age: 60d", TUESDAY + HOUR, TUESDAY + HOUR),
    ],
)
def test_a_key_that_ends_is_overdue_before_it_does(
    tmp_path: Path, more: str, ends: float, overdue: float
) -> None:
    key = KeyTimes("one", ROTATED, ROTATED, TUESDAY, ends=ends)
    found = dict(times(key, book(tmp_path, more), SEEN))
    assert (found["key_expires_timestamp_seconds"], found[_OVERDUE]) == (ends, overdue)


def test_a_key_that_ends_before_its_schedule_is_due_for_that(tmp_path: Path) -> None:
    """With a schedule by a timer, without one by a person."""
    ends, renew = TUESDAY + 30 * DAY, TUESDAY + 10 * DAY
    key = KeyTimes("one", ROTATED, ROTATED, renew, ends, renew)
    for more in ("schedule: {every: 90d}", ""):
        assert dict(times(key, book(tmp_path, more), SEEN))[_OVERDUE] == renew + DAY, more


@pytest.mark.parametrize(
    ("key", "due", "overdue"),
    [
        (KeyTimes("one"), SEEN, SEEN + DAY),
        (KeyTimes("one", due=SEEN), SEEN, SEEN + DAY),
        (
            KeyTimes("one", due=TUESDAY + 9 * HOUR, first_began=TUESDAY - 9 * HOUR),
            TUESDAY + 9 * HOUR,
            TUESDAY - 9 * HOUR + DAY,
        ),
    ],
    ids=["nobody began it", "adopted", "it failed"],
)
def test_one_that_was_never_rotated_is_due_since_it_is_known(
    tmp_path: Path, key: KeyTimes, due: float, overdue: float
) -> None:
    """Not since 1970: that would wake somebody at once."""
    found = dict(times(key, book(tmp_path, "schedule: {every: 30d}"), SEEN))
    assert (found[_DUE], found[_OVERDUE]) == (due, overdue)
    assert "key_last_rotation_timestamp_seconds" not in found


def test_one_that_was_never_rotated_waits_for_its_window_and_its_first_day(tmp_path: Path) -> None:
    more = 'schedule: {every: 30d, window: "sat 02:00-04:00", not_before: 2027-12-01}'
    found = dict(times(KeyTimes("one"), book(tmp_path, more), SEEN))
    saturday = TUESDAY + 11 * DAY + 2 * HOUR  # the first one in December
    assert (found[_DUE], found[_OVERDUE]) == (saturday, saturday + DAY)


def test_a_time_is_a_retry_where_this_very_playbook_failed(tmp_path: Path) -> None:
    failed = book(tmp_path, "schedule: {every: 30d}")
    key = KeyTimes("one", ROTATED, ROTATED, SEEN, schedule=after_failure(failed))
    assert dict(times(key, failed, SEEN))[_RETRY] == SEEN
    usual = KeyTimes("one", ROTATED, ROTATED, SEEN, schedule=failed.when)
    assert _RETRY not in dict(times(usual, failed, SEEN))
    changed = book(tmp_path, "schedule: {every: 30d}\nmax_age: 40d")
    assert _RETRY not in dict(times(key, changed, SEEN))
