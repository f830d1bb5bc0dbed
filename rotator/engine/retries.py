"""What failed is not begun again at once: from when on a timer tries again. What a person undid is
not begun again by a timer at all.
"""

from __future__ import annotations

import hashlib
from functools import partial

from sqlalchemy import Connection

from rotator.core.order import UNDONE
from rotator.core.state import CLOCKS_AGREE, Outcome, Rotation
from rotator.journal import attempts, cases, due
from rotator.playbook.carry import is_of, said
from rotator.playbook.playbook import Playbook
from rotator.schedules.retries import again
from rotator.schedules.rules import FOREVER

_AFTER = " after a failure of "


def retry_at(
    connection: Connection,
    name: str,
    playbook: Playbook,
    now: float,
    without_key: bool = False,
    last: Rotation | None = None,
) -> float:
    """Unix seconds; 0 where it did not fail, FOREVER where a person undid it: only a person, or
    another text of the playbook, goes on from there. A change of the playbook clears it, a success,
    too. So does a clock that was set back before the failure: it would wait for all that time.

    `without_key`: consumers have none, so that it is tried sooner; so it is where the key in force
    is about to end. `last` is its newest rotation, where that was read already. Raises
    JournalError.
    """
    if not without_key and is_undone(connection, name, playbook, last):
        return FOREVER
    found = attempts.failures(connection, name, partial(is_of, playbook=playbook))
    if found.last > now + CLOCKS_AGREE:
        return 0.0
    if not found.number:
        return 0.0
    ends = due.ends(connection, name)
    return again(found.number, found.last, found.rotation, without_key, ends)


def is_undone(
    connection: Connection, name: str, playbook: Playbook, last: Rotation | None = None
) -> bool:
    """Whether a person undid its newest rotation, which was begun by the playbook as it is today.

    Raises JournalError.
    """
    last = last if last is not None else cases.load(connection, name).rotation
    if last is None or not _by_a_person(last):
        return False
    row = cases.find_rotation(connection, last.id)
    return row is not None and is_of(row["definition"], playbook)


def _by_a_person(rotation: Rotation) -> bool:
    if rotation.back:  # after its pivot, by a rotation of its own
        return rotation.outcome is Outcome.VERIFIED
    return rotation.outcome is Outcome.ROLLED_BACK and rotation.problem == UNDONE


def after_failure(playbook: Playbook) -> str:
    """As which schedule a time is kept that such a wait made: of this very playbook only."""
    digest = hashlib.sha256(said(playbook).encode()).hexdigest()[:16]
    return f"{playbook.when}{_AFTER}{digest}"


def is_after_failure(schedule: str, playbook: Playbook) -> bool:
    """Whether a time that is kept as this schedule is such a wait's."""
    return _AFTER in schedule and schedule == after_failure(playbook)
