"""What people are to be told now, as the journal has it. Nothing is written, nobody is asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from rotator.core import machine
from rotator.core.action import Ask
from rotator.core.debt_state import Debt
from rotator.core.state import Outcome, Phase, Rotation
from rotator.engine.overdue import first_due, overdue
from rotator.engine.staying import needs_attention
from rotator.journal import codec, killed, measures, unfinished
from rotator.journal.notices import Untold
from rotator.notices import words
from rotator.playbook.playbook import Playbook
from rotator.plugin.channel import Kind
from rotator.schedules.rules import FOREVER

_NUMBERS = re.compile(r"\b\w*\d\w*\b")
_OF_UNIT, _OF_CAUSE = 14, 18  # digits of a digest
FAILED = (Kind.ROLLED_BACK, Kind.REFUSED)  # these stand until a rotation succeeds
# So do these, whose moments are those of a playbook: another node may have another text of it, or
# none, and one that ended what the other tells would have it told again and again.
OF_TIMES = (Kind.OVERDUE, Kind.BEFORE)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why people are told something of a playbook. `of` tells causes of one kind apart; those of
    one `unit` (`of`, where that is empty) are told once until none of it stands any more.
    """

    playbook: str
    kind: Kind
    of: str
    at: float  # Unix seconds
    text: str
    rotation: str = ""
    since: float = 0.0  # when its key was brought out: what is told ahead comes after that
    unit: str = ""

    @property
    def digest(self) -> str:
        """Of the unit first: see `unit_of`."""
        return f"{_digest(self.unit or self.of)[:_OF_UNIT]}{_digest(self.of)[:_OF_CAUSE]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def unit_of(digest: str) -> str:
    """What digests of one unit's causes have in common."""
    return digest[:_OF_UNIT]


def of_rotation(untold: Untold) -> Iterator[Cause]:
    """That it began, and how it ended, as far as nobody was told."""
    name, rotation = untold.playbook, untold.rotation
    if not untold.told:
        text = words.began(untold.reason, untold.actor)
        yield Cause(name, Kind.STARTED, rotation, untold.began, text, rotation)
    if untold.active:
        return
    state, at = codec.rotation_of(untold.state), untold.ended or untold.began
    match state.outcome:
        case Outcome.VERIFIED:
            yield Cause(name, Kind.DONE, rotation, at, words.done(state), rotation)
        case Outcome.ROLLED_BACK:
            of = _without_numbers(state.problem)
            yield Cause(name, Kind.ROLLED_BACK, of, at, words.failed(state), rotation)
        case Outcome.REFUSED:
            of = _without_numbers(state.problem)
            yield Cause(name, Kind.REFUSED, of, at, words.failed(state), rotation)
        case _:
            yield Cause(name, Kind.ATTENTION, rotation, at, words.abandoned(state), rotation)


def _without_numbers(problem: str) -> str:
    """One cause is one, whichever id, moment or length of time is in its words."""
    return _NUMBERS.sub("", problem)


def standing(connection: Connection, now: float) -> Iterator[Cause]:
    """What stands until a person acts, or waits for one; and what fails since an old key died."""
    rotations, debts = unfinished.that_may_wait(connection)
    for rotation in rotations:
        yield from _of_running(rotation)
    for debt in debts:
        yield from _of_old_key(debt)
    for name in sorted(killed.names(connection)):
        key = killed.in_force(connection, name)
        if key is not None:
            yield Cause(name, Kind.ATTENTION, f"without {key}", now, words.without(key))


def _of_running(rotation: Rotation) -> Iterator[Cause]:
    name, at = rotation.playbook, rotation.since
    if rotation.phase is Phase.STUCK:
        of = f"{rotation.id} {_without_numbers(rotation.question)}"
        text = rotation.question
        yield Cause(name, Kind.ATTENTION, of, at, text, rotation.id, unit=rotation.id)
    elif rotation.attention or needs_attention(rotation):
        text = rotation.attention or rotation.problem
        of = f"{rotation.id} {_without_numbers(text)}"
        yield Cause(name, Kind.ATTENTION, of, at, text, rotation.id, unit=rotation.id)
    elif rotation.phase is Phase.GENERATE and isinstance(machine.next_action(rotation), Ask):
        yield Cause(name, Kind.WAITING, rotation.id, at, words.wanted(name), rotation.id)


def _of_old_key(debt: Debt) -> Iterator[Cause]:
    if debt.asks:
        text = words.to_destroy(debt)
        yield Cause(debt.playbook, Kind.WAITING, debt.id, debt.since, text, debt.rotation)
    elif debt.attention:
        of = f"{debt.id} {_without_numbers(debt.attention)}"
        text, at = words.of_old_key(debt), debt.since
        yield Cause(debt.playbook, Kind.ATTENTION, of, at, text, debt.rotation, unit=debt.id)


def of_times(
    connection: Connection,
    books: Mapping[str, Playbook],
    before: Callable[[Playbook], float | None],
    now: float,
) -> Iterator[Cause]:
    """Keys that are overdue, and those that are due or end in less than `before` says."""
    for key in measures.keys(connection):
        book = books.get(key.playbook)
        if book is None or (key.last_success is None and key.first_began is None):
            continue  # nobody has begun it: it is not late yet
        first = first_due(key, book, now)
        late = overdue(key, book, first)
        if late is not None and late <= now:
            yield Cause(book.name, Kind.OVERDUE, f"{late:.0f}", late, words.overdue(late))
        ahead = before(book)
        if ahead is None or key.last_success is None:
            continue
        due = first.begins if first is not None and first.begins < FOREVER else None
        for what, moment in (("due", due), ("ends", key.ends)):
            if moment is not None and moment - ahead <= now:
                of, text = f"{what} {moment:.0f}", words.ahead(what, moment)
                yield Cause(book.name, Kind.BEFORE, of, now, text, since=key.last_success)
