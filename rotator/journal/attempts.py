"""How often a playbook failed since it last succeeded, or was changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from rotator.core.state import Outcome
from rotator.journal import tables

_ENOUGH = 12  # in a row: more change nothing
_ROTATIONS = tables.rotations
_LAST = (
    select(_ROTATIONS.c.id, _ROTATIONS.c.outcome, _ROTATIONS.c.definition, _ROTATIONS.c.ended)
    .where(_ROTATIONS.c.playbook == bindparam("of"))
    .order_by(_ROTATIONS.c.began.desc())
    .limit(_ENOUGH)
)


@dataclass(frozen=True, slots=True)
class Failures:
    """`number` in a row; the last of them ended at `last` (Unix seconds), and has this id."""

    number: int = 0
    last: float = 0.0
    rotation: str = ""


NO_FAILURES = Failures()


def failures(connection: Connection, playbook: str, is_todays: Callable[[str], bool]) -> Failures:
    """Rotations that did not bring a new key out, the newest ones, by the playbook as it is today:
    `is_todays` tells of a definition. None while one is under way.
    """
    rows = connection.execute(_LAST, {"of": playbook}).all()
    if not rows or rows[0].outcome in (None, Outcome.VERIFIED):
        return NO_FAILURES
    number = 0
    for row in rows:
        if row.outcome in (None, Outcome.VERIFIED) or not is_todays(row.definition):
            break
        number += 1
    return Failures(number, rows[0].ended, rows[0].id) if number else NO_FAILURES
