"""When each playbook is due, and was last looked through for strays: columns that are asked for,
not reckoned anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Float, bindparam, select, update

from rotator.journal import tables

_PLAYBOOKS = tables.playbooks
_ROW = (
    _PLAYBOOKS.c.name,
    _PLAYBOOKS.c.counts_from,
    _PLAYBOOKS.c.renew,
    _PLAYBOOKS.c.schedule,
    _PLAYBOOKS.c.due,
)
_ALL = select(*_ROW)
_UNRECKONED = select(*_ROW).where(_PLAYBOOKS.c.due.is_(None))
_BEFORE = select(*_ROW).where(_PLAYBOOKS.c.due <= bindparam("at", type_=Float))
_NAMED = select(_PLAYBOOKS.c.name).where(_PLAYBOOKS.c.name.in_(bindparam("names", expanding=True)))
_RECKONED = (
    update(_PLAYBOOKS)
    .where(_PLAYBOOKS.c.name == bindparam("this"))
    .values(schedule=bindparam("text"), due=bindparam("at", type_=Float))
)
_UNRECONCILED = (
    select(_PLAYBOOKS.c.name).where(_PLAYBOOKS.c.reconciled.is_(None)),
    select(_PLAYBOOKS.c.name).where(_PLAYBOOKS.c.reconciled <= bindparam("at", type_=Float)),
)
_SAVE_RECONCILED = (
    update(_PLAYBOOKS)
    .where(_PLAYBOOKS.c.name == bindparam("this"))
    .values(reconciled=bindparam("at", type_=Float))
)


_ENDS = select(_PLAYBOOKS.c.ends).where(_PLAYBOOKS.c.name == bindparam("of"))


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal knows of a playbook's schedule. Times are Unix seconds."""

    name: str
    counts_from: float | None
    renew: float | None  # its key ends soon after that
    schedule: str | None
    due: float | None


@dataclass(frozen=True, slots=True)
class Reckoned:
    """When it is due, by which schedule."""

    name: str
    schedule: str
    due: float


def known(connection: Connection, all_of_them: bool) -> list[Known]:
    """Each playbook that was ever begun or adopted; or those alone whose due time is
    not reckoned.
    """
    return [Known(*row) for row in connection.execute(_ALL if all_of_them else _UNRECKONED)]


def reckon(connection: Connection, found: Iterable[Reckoned]) -> None:
    """At least one, in the order of names: two who reckon at once would wait for each other."""
    ordered = sorted(found, key=lambda one: one.name)
    rows = [{"this": one.name, "text": one.schedule, "at": one.due} for one in ordered]
    connection.execute(_RECKONED, rows)


def before(connection: Connection, at: float) -> list[Known]:
    """Those that are due by then."""
    return [Known(*row) for row in connection.execute(_BEFORE, {"at": at})]


def begun(connection: Connection, names: Iterable[str]) -> set[str]:
    """Those of these names that the journal knows by now."""
    asked = list(names)
    return {name for (name,) in connection.execute(_NAMED, {"names": asked})} if asked else set()


def not_reconciled(connection: Connection, since: float) -> set[str]:
    """Playbooks that were not looked through for strays since then."""
    return {name for query in _UNRECONCILED for (name,) in connection.execute(query, {"at": since})}


def reconciled(connection: Connection, playbook: str, at: float) -> None:
    connection.execute(_SAVE_RECONCILED, {"this": playbook, "at": at})


def ends(connection: Connection, name: str) -> float | None:
    """When the playbook's key in force ends (Unix seconds); None where nobody said so."""
    found: float | None = connection.execute(_ENDS, {"of": name}).scalar()
    return found
