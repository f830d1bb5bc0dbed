"""What our last write to each store was."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, String, bindparam, insert, select, update

from rotator.journal import tables

# Built once: building a statement costs more than SQLite takes to run it.
_VERSIONS = tables.store_versions
_MINE = (_VERSIONS.c.playbook == bindparam("of", type_=String)) & (
    _VERSIONS.c.store == bindparam("at_store")
)
_LAST = select(_VERSIONS).where(_MINE)
_ADD = insert(_VERSIONS)
_SAVE = update(_VERSIONS).where(_MINE)


def last_write(connection: Connection, playbook: str, store: str) -> Any | None:
    """What our last write to this store was: version, fingerprint, at."""
    return connection.execute(_LAST, {"of": playbook, "at_store": store}).mappings().first()


def set_last_write(
    connection: Connection, playbook: str, store: str, version: str, fingerprint: str, at: float
) -> None:
    values = {"version": version, "fingerprint": fingerprint, "at": at}
    if not connection.execute(_SAVE, {"of": playbook, "at_store": store, **values}).rowcount:
        connection.execute(_ADD, {"playbook": playbook, "store": store, **values})


def move(connection: Connection, playbook: str, by: float) -> None:
    """The wall clock was set by so many seconds: what was written was so by the clock that it is
    now.
    """
    known = (_VERSIONS.c.playbook == playbook) & (_VERSIONS.c.at > 0)
    connection.execute(update(_VERSIONS).where(known).values(at=_VERSIONS.c.at + by))


def set_back(connection: Connection, playbook: str, now: float, by: float) -> None:
    """What was written, it now seems, in the future: its time is set back by so many seconds."""
    later = (_VERSIONS.c.playbook == playbook) & (_VERSIONS.c.at > now)
    connection.execute(update(_VERSIONS).where(later).values(at=_VERSIONS.c.at - by))
