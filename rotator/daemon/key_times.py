"""When the key of a playbook is due, overdue, and ends: times, not ages. Nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator

from rotator.engine import retries
from rotator.engine.overdue import first_due, overdue
from rotator.journal.measures import KeyTimes
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER, Due


def times(key: KeyTimes, book: Playbook, seen: float) -> Iterator[tuple[str, float]]:
    """Names of metrics and Unix seconds. `seen` is when this process first saw the playbook: one
    that was never begun is due since then.
    """
    if key.last_success is not None:
        yield "key_last_rotation_timestamp_seconds", key.last_success
    if key.ends is not None:
        yield "key_expires_timestamp_seconds", key.ends
    first = first_due(key, book, seen)
    due = key.due
    if due is None and first is not None:  # nobody has reckoned it since its last rotation
        due = first.begins
    if due is not None and due < FOREVER:
        yield "key_next_due_timestamp_seconds", due
        if key.schedule and retries.is_after_failure(key.schedule, book):
            yield "rotation_retry_timestamp_seconds", due
    if (at := overdue(key, book, first)) is not None:
        yield "key_overdue_timestamp_seconds", at


def put_off(key: KeyTimes, book: Playbook, seen: float, now: float) -> Due | None:
    """Why it does not begin now although it is due; None where it does, or is not due."""
    first = first_due(key, book, seen)
    if first is None or first.at > now:
        return None
    due = book.due(key.counts_from, now, key.renew)
    if due is not None and key.due and key.schedule:
        if key.due > max(due.begins, now) and retries.is_after_failure(key.schedule, book):
            return Due(due.at, key.due, "failure")
    return due if due is not None and due.begins > now else None
