"""Pauses: until when, by whom and why the clock leaves playbooks alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select

from rotator.journal import tables

ALL = "all"

_PAUSES = tables.pauses
_STANDING = select(_PAUSES).where(_PAUSES.c.until > bindparam("now"))
_END = delete(_PAUSES).where(_PAUSES.c.scope == bindparam("this"))


@dataclass(frozen=True, slots=True)
class Pause:
    """`scope` is 'playbook NAME', 'tag TAG' or 'all'. Times are Unix seconds."""

    scope: str
    until: float
    reason: str
    who: str
    since: float

    @property
    def typed(self) -> str:
        """The scope as it stands in a command."""
        kind, _, name = self.scope.partition(" ")
        return {"playbook": name, "tag": f"--tag {name}"}.get(kind, "--all")

    def covers(self, playbook: str, tags: Iterable[str]) -> bool:
        return self.scope in (ALL, f"playbook {playbook}", *(f"tag {tag}" for tag in tags))


def begin(connection: Connection, pause: Pause) -> None:
    """Another pause of the same scope replaces the first."""
    end(connection, pause.scope)
    connection.execute(insert(_PAUSES), asdict(pause))


def end(connection: Connection, scope: str) -> bool:
    """Whether there was one."""
    return bool(connection.execute(_END, {"this": scope}).rowcount)


def standing(connection: Connection, now: float) -> list[Pause]:
    rows = connection.execute(_STANDING, {"now": now}).mappings()
    return sorted((Pause(**row) for row in rows), key=lambda pause: -pause.until)


def covering(standing: Iterable[Pause], playbook: str, tags: Iterable[str]) -> Pause | None:
    """The first of these that covers a playbook."""
    tags = tuple(tags)
    return next((pause for pause in standing if pause.covers(playbook, tags)), None)
