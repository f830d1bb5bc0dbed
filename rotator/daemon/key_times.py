"""When the key of a playbook is due, overdue, and ends: times, not ages. Nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.engine import retries
from rotator.journal.measures import KeyTimes
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER, Due

_OVERDUE = 86_400.0  # seconds after it was due, where the playbook names no limit of its own


def times(key: KeyTimes, book: Playbook, seen: float) -> Iterator[tuple[str, float]]:
    """Names of metrics and Unix seconds. `seen` is when this process first saw the playbook: one
    that was never begun is due since then.
    """
    if key.last_success is not None:
        yield "key_last_rotation_timestamp_seconds", key.last_success
    if key.ends is not None:
        yield "key_expires_timestamp_seconds", key.ends
    first = _first_due(key, book, seen)
    due = key.due
    if due is None and first is not None:  # nobody has reckoned it since its last rotation
        due = first.begins
    if due is not None and due < FOREVER:
        yield "key_next_due_timestamp_seconds", due
        if key.schedule and retries.is_after_failure(key.schedule, book):
            yield "rotation_retry_timestamp_seconds", due
    if (at := _overdue(key, book, first)) is not None:
        yield "key_overdue_timestamp_seconds", at


def put_off(key: KeyTimes, book: Playbook, seen: float, now: float) -> Due | None:
    """Why it does not begin now although it is due; None where it does, or is not due."""
    first = _first_due(key, book, seen)
    if first is None or first.at > now:
        return None
    due = book.due(key.counts_from, now, key.renew)
    if due is not None and key.due and key.schedule:
        if key.due > max(due.begins, now) and retries.is_after_failure(key.schedule, book):
            return Due(due.at, key.due, "failure")
    return due if due is not None and due.begins > now else None


def _first_due(key: KeyTimes, book: Playbook, seen: float) -> Due | None:
    """When it was due first, and might be begun: what puts it off since then, a closed window or a
    failure, does not move it.
    """
    if key.counts_from is not None:
        return book.due(key.counts_from, 0.0, key.renew)
    return book.due(None, seen if key.first_began is None else key.first_began, key.renew)


def _overdue(key: KeyTimes, book: Playbook, first: Due | None) -> float | None:
    """By the limits of its playbook, else a day after a timer might have begun it; before the key
    ends, in any case. None where nothing limits it.
    """
    schedule, max_age = book.shape.schedule, book.shape.max_age
    limits = []
    if first is not None and schedule is not None and schedule.max_overdue is not None:
        # How long a key is due that was never rotated, nobody knows: its window alone decides.
        limits += [first.at + schedule.max_overdue] if key.counts_from is not None else []
    if max_age is not None and key.last_success is not None:
        limits.append(key.last_success + max_age)
    # Where it has no schedule, a person is asked once its key is to be renewed.
    begins = key.renew if first is None else first.begins
    if not limits and begins is not None and begins < FOREVER:
        limits.append(begins + _OVERDUE)
    if key.ends is not None:
        limits.append(key.ends)
    return min(limits, default=None)
