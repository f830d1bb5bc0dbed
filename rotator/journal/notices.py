"""What people are told: rows that are written before anything is sent, and of which a process that
sends one takes hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Float, String, bindparam, delete, func, insert, select, update
from ulid import ULID

from rotator.journal import nodes, tables
from rotator.journal.settings import put_setting, setting

BEGINNING, END = 1, 2  # what has been told of a rotation
HOLD = 60.0  # seconds for which who sends one has it; a try takes a sixth of that
LONGEST = 3_600.0  # seconds between two tries at most
_NAMES, _WANTED = "notices by", "notices wanted"
_WAITING, _SENT, _GIVEN_UP = "waiting", "sent", "given up"
_PAST = "past"  # given up, and its channel has worked since

_ROTATIONS, _NOTICES = tables.rotations, tables.notices
_TO_TELL = select(
    _ROTATIONS.c.id,
    _ROTATIONS.c.playbook,
    _ROTATIONS.c.active,
    _ROTATIONS.c.told,
    _ROTATIONS.c.began,
    _ROTATIONS.c.ended,
    _ROTATIONS.c.reason,
    _ROTATIONS.c.actor,
    _ROTATIONS.c.state,
).where(tables.TO_TELL & (_ROTATIONS.c.told.is_(None) | ~_ROTATIONS.c.active))
_TOLD = (
    update(_ROTATIONS).where(_ROTATIONS.c.id == bindparam("this")).values(told=bindparam("so_far"))
)
_STANDING = select(
    _NOTICES.c.n, _NOTICES.c.channel, _NOTICES.c.playbook, _NOTICES.c.kind, _NOTICES.c.cause
).where(tables.NOTICES_STAND)
_RENEWED = select(_NOTICES.c.n).where(
    tables.NOTICES_STAND
    & (tables.playbooks.c.name == _NOTICES.c.playbook)
    & (tables.playbooks.c.last_success > _NOTICES.c.at)
)
_OVER = update(_NOTICES).where(_NOTICES.c.n == bindparam("this")).values(stands=False)
_AT = bindparam("now", type_=Float)
# A clock that was set back leaves moments that no wait has made: they are over.
_IS_TIME = (_NOTICES.c.next <= _AT) | (_NOTICES.c.next > _AT + 2 * LONGEST)
_CHANNELS_DUE = select(_NOTICES.c.channel).where(tables.NOTICES_WAIT & _IS_TIME).distinct()
_DUE = (
    select(_NOTICES)
    .where(tables.NOTICES_WAIT & _IS_TIME & (_NOTICES.c.channel == bindparam("of", type_=String)))
    .order_by(_NOTICES.c.next, _NOTICES.c.n)
    .limit(bindparam("most"))
)
_EARLIEST = (
    select(_NOTICES.c.channel, _NOTICES.c.playbook, func.min(_NOTICES.c.next))
    .where(tables.NOTICES_WAIT)
    .group_by(_NOTICES.c.channel, _NOTICES.c.playbook)
)
_CLAIM = (
    update(_NOTICES)
    .where(
        tables.NOTICES_WAIT
        & (_NOTICES.c.n == bindparam("this"))
        & (_NOTICES.c.next == bindparam("known", type_=Float))
    )
    .values(next=bindparam("until", type_=Float), tries=_NOTICES.c.tries + 1)
)
_MINE = update(_NOTICES).where(_NOTICES.c.n == bindparam("this"))
_OF_CHANNEL = _NOTICES.c.channel == bindparam("of", type_=String)
_WELL = update(_NOTICES).where(tables.NOTICES_WAIT & _OF_CHANNEL).values(failing=None)
_PUT_OFF = (
    update(_NOTICES)
    .where(tables.NOTICES_WAIT & _OF_CHANNEL)
    .values(
        next=bindparam("until", type_=Float),
        failing=func.coalesce(_NOTICES.c.failing, _AT),
    )
)
_PASSED = (  # what still holds of it is told anew
    update(_NOTICES).where(tables.NOTICES_GIVEN_UP & _OF_CHANNEL).values(state=_PAST, stands=False)
)
_PRUNE = delete(_NOTICES).where((_NOTICES.c.ended < _AT) & ~_NOTICES.c.stands)
_COUNTED = (_NOTICES.c.channel, func.count(), func.min(_NOTICES.c.at), func.max(_NOTICES.c.error))
_COUNTS = tuple(
    select(*_COUNTED).where(state).group_by(_NOTICES.c.channel)
    for state in (tables.NOTICES_WAIT, tables.NOTICES_GIVEN_UP)
)


@dataclass(frozen=True, slots=True)
class Untold:
    """A rotation of which somebody may be to be told. Times are Unix seconds."""

    rotation: str
    playbook: str
    active: bool
    told: int
    began: float
    ended: float | None
    reason: str
    actor: str
    state: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A cause that was told, and still holds."""

    n: int
    channel: str
    playbook: str
    kind: str
    cause: str


@dataclass(frozen=True, slots=True)
class New:
    """What is to be told over one channel. `stands`: until its cause is said to be over."""

    channel: str
    playbook: str
    kind: str
    cause: str
    at: float
    title: str
    text: str
    data: Mapping[str, str] = field(default_factory=dict)
    stands: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of what a channel of the settings tells, by its daemon. `before` is in seconds."""

    name: str
    when: tuple[str, ...]
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One that waits to be sent. `failing`: since when its channel has failed."""

    n: int
    id: str
    channel: str
    playbook: str
    kind: str
    at: float
    next: float
    failing: float | None
    tries: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outstanding:
    """Of one channel: how many wait, since when the oldest has (Unix seconds), how many were given
    up since it last worked; and the last error.
    """

    channel: str
    waiting: int = 0
    since: float | None = None
    given_up: int = 0
    error: str = ""


# --- what is to be told ---
def begin(connection: Connection, by: Iterable[str]) -> None:
    """Of what was before the first look nobody is told. `by`: the channels of the settings, which
    `names` gives from then on.
    """
    first, text = not setting(connection, _NAMES), json.dumps(sorted(by))
    put_setting(connection, _NAMES, text)
    if not first:
        return
    active = _ROTATIONS.c.active
    connection.execute(update(_ROTATIONS).where(active).values(told=BEGINNING))
    connection.execute(update(_ROTATIONS).where(~active).values(told=END))


def names(connection: Connection) -> frozenset[str] | None:
    """The channels of the settings, of the last process that said so; None before the first."""
    text = setting(connection, _NAMES)
    return frozenset(json.loads(text)) if text else None


def wanted(connection: Connection, now: float) -> dict[str, tuple[Wanted, ...]]:
    """By instance, what each living daemon has channels for, as far as it has said so."""
    alive = {one.instance for one in nodes.load(connection, now) if one.alive}
    return {one: found for one, found in _said(connection).items() if one in alive}


def say(connection: Connection, instance: str, mine: Iterable[Wanted], now: float) -> None:
    """What this daemon has channels for. Of daemons that are gone it is forgotten."""
    others = {one: found for one, found in wanted(connection, now).items() if one != instance}
    said = {**others, instance: tuple(mine)}
    text = {
        one: [[each.name, each.when, each.before] for each in found] for one, found in said.items()
    }
    put_setting(connection, _WANTED, json.dumps(text))


def differing(connection: Connection, now: float) -> tuple[str, ...]:
    """Channels that not all living daemons have in the same way, by name."""
    found = list(wanted(connection, now).values())
    every = {one for each in found for one in each}
    return tuple(sorted({one.name for one in every if not all(one in each for each in found)}))


def is_said(connection: Connection, instance: str, mine: Iterable[Wanted]) -> bool:
    return _said(connection).get(instance) == tuple(mine)


def _said(connection: Connection) -> dict[str, tuple[Wanted, ...]]:
    text = json.loads(setting(connection, _WANTED) or "{}")
    return {
        one: tuple(Wanted(name, tuple(when), before) for name, when, before in found)
        for one, found in text.items()
    }


def untold(connection: Connection) -> list[Untold]:
    """Rotations whose beginning or end nobody was told of, in the order of their beginnings."""
    rows = connection.execute(_TO_TELL).all()
    found = (Untold(row[0], row[1], bool(row[2]), row[3] or 0, *row[4:]) for row in rows)
    return sorted(found, key=lambda one: (one.began, one.rotation))


def told(connection: Connection, rotation: str, so_far: int) -> None:
    connection.execute(_TOLD, {"this": rotation, "so_far": so_far})


def standing(connection: Connection) -> list[Standing]:
    """Each cause that was told, by channel."""
    return [Standing(*row) for row in connection.execute(_STANDING)]


def renewed(connection: Connection) -> frozenset[int]:
    """The numbers of those that stand, and whose playbook has brought a new key out since."""
    return frozenset(number for (number,) in connection.execute(_RENEWED))


def over(connection: Connection, causes: Iterable[Standing]) -> None:
    """These hold no more: where one comes again, it is told again."""
    for one in causes:
        connection.execute(_OVER, {"this": one.n})


def add(connection: Connection, found: New, now: float) -> None:
    """It waits to be sent from here on, with an id of its own."""
    body = {"title": found.title, "text": found.text, "data": dict(found.data)}
    connection.execute(
        insert(_NOTICES),
        {
            "id": f"msg_{ULID()}",
            "channel": found.channel,
            "playbook": found.playbook,
            "kind": found.kind,
            "cause": found.cause,
            "stands": found.stands,
            "body": json.dumps(body, ensure_ascii=False),
            "at": found.at,
            "state": _WAITING,
            "next": now,
            "tries": 0,
            "error": "",
        },
    )


# --- sending ---
def due(connection: Connection, now: float, most: int) -> list[Row]:
    """Those that are tried now, the longest due first; so many of each channel at most."""
    names = [one for one in Row.__dataclass_fields__ if one != "body"]
    found = []
    for (channel,) in connection.execute(_CHANNELS_DUE, {"now": now}).all():
        rows = connection.execute(_DUE, {"of": channel, "now": now, "most": most}).mappings()
        found += [
            Row(**{name: row[name] for name in names}, body=json.loads(row["body"])) for row in rows
        ]
    return sorted(found, key=lambda one: (one.next, one.n))


def earliest(connection: Connection) -> list[tuple[str, str, float]]:
    """Of each channel and playbook for which any waits, when the next one is tried (Unix
    seconds).
    """
    return [(row[0], row[1], row[2]) for row in connection.execute(_EARLIEST)]


def claim(connection: Connection, row: Row, now: float) -> bool:
    """Whether it is ours to send: nobody else has it for HOLD seconds, or has sent it since."""
    values = {"this": row.n, "known": row.next, "until": now + HOLD}
    return connection.execute(_CLAIM, values).rowcount == 1


def sent(connection: Connection, row: Row, now: float) -> None:
    """Its channel works: what it gave up before is no failure any more."""
    values = {"state": _SENT, "ended": now, "error": "", "failing": None}
    connection.execute(_MINE.values(values), {"this": row.n})
    connection.execute(_WELL, {"of": row.channel})
    connection.execute(_PASSED, {"of": row.channel})


def failed(connection: Connection, row: Row, error: str, now: float, wait: float) -> None:
    """Its channel is asked again after so many seconds, for all that waits there."""
    connection.execute(_MINE.values(error=error), {"this": row.n})
    connection.execute(_PUT_OFF, {"of": row.channel, "now": now, "until": now + wait})


def give_up(connection: Connection, row: Row, error: str, now: float, failing_before: float) -> int:
    """This one, and all of its channel that has failed since before then; how many."""
    fails = _NOTICES.c.failing <= failing_before
    chosen = tables.NOTICES_WAIT & (
        (_NOTICES.c.n == row.n) | ((_NOTICES.c.channel == row.channel) & fails)
    )
    ended = {"state": _GIVEN_UP, "ended": now, "error": error}
    return connection.execute(update(_NOTICES).where(chosen).values(ended)).rowcount


def outstanding(connection: Connection) -> dict[str, Outstanding]:
    """By channel; none where all was sent."""
    waiting, given_up = (connection.execute(query).all() for query in _COUNTS)
    found = {
        channel: Outstanding(channel, number, since, 0, error)
        for channel, number, since, error in waiting
    }
    for channel, number, _, error in given_up:
        before = found.get(channel, Outstanding(channel))
        found[channel] = replace(before, given_up=number, error=before.error or error)
    return found


def prune(connection: Connection, before: float) -> None:
    """Those that ended before then, and whose cause holds no more."""
    connection.execute(_PRUNE, {"now": before})
