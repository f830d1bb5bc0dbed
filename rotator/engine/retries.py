"""What failed is not begun again at once: from when on a timer tries again."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection

from rotator.core.state import CLOCKS_AGREE
from rotator.journal import attempts, due
from rotator.playbook.carry import kept
from rotator.playbook.playbook import Playbook
from rotator.schedules.retries import again

_AFTER = " after a failure of "


def retry_at(
    connection: Connection, name: str, playbook: Playbook, now: float, without_key: bool = False
) -> float:
    """Unix seconds; 0 where it did not fail. A change of the playbook clears it, a success, too.
    So does a clock that was set back before the failure: it would wait for all that time.

    `without_key`: consumers have none, so that it is tried sooner; so it is where the key in force
    is about to end. Raises JournalError.
    """
    found = attempts.failures(connection, name, lambda: kept(playbook))
    if found.last > now + CLOCKS_AGREE:
        return 0.0
    if not found.number:
        return 0.0
    ends = due.ends(connection, name)
    return again(found.number, found.last, found.rotation, without_key, ends)


def after_failure(playbook: Playbook) -> str:
    """As which schedule a time is kept that such a wait made: of this very playbook only."""
    digest = hashlib.sha256(kept(playbook).encode()).hexdigest()[:16]
    return f"{playbook.when}{_AFTER}{digest}"


def is_after_failure(schedule: str, playbook: Playbook) -> bool:
    """Whether a time that is kept as this schedule is such a wait's."""
    return _AFTER in schedule and schedule == after_failure(playbook)
