"""Who looks what is due, and when it last did: a daemon, or a timer that calls `rotate --due`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Connection

from rotator.journal.settings import put_setting, setting

_NAME = "ticks"
_KEPT = 20  # callers: the newest ones


@dataclass(frozen=True, slots=True)
class Tick:
    """`way` is `due` or `daemon`, `who` a user and a host; `at` is in Unix seconds."""

    way: str
    who: str
    at: float


def save(connection: Connection, tick: Tick) -> None:
    """It replaces the last one of the same way and caller."""
    others = [one for one in load(connection) if (one.way, one.who) != (tick.way, tick.who)]
    kept = sorted([*others, tick], key=lambda one: -one.at)[:_KEPT]
    put_setting(connection, _NAME, json.dumps([asdict(one) for one in kept]))


def load(connection: Connection) -> list[Tick]:
    """The newest first."""
    return [Tick(**one) for one in json.loads(setting(connection, _NAME) or "[]")]
