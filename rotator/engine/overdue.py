"""When a key was due first, and from when on it is overdue. Nobody is asked."""

from __future__ import annotations

from rotator.journal.measures import KeyTimes
from rotator.playbook.playbook import Playbook
from rotator.schedules.rules import FOREVER, Due

_OVERDUE = 86_400.0  # seconds after it was due, where the playbook names no limit of its own


def first_due(key: KeyTimes, book: Playbook, seen: float) -> Due | None:
    """When it was due first, and might be begun: what puts it off since then, a closed window or a
    failure, does not move it.
    """
    if key.counts_from is not None:
        return book.due(key.counts_from, 0.0, key.renew)
    return book.due(None, seen if key.first_began is None else key.first_began, key.renew)


def overdue(key: KeyTimes, book: Playbook, first: Due | None) -> float | None:
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
