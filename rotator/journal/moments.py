"""When anything is to be done next: asked of indexed columns, however many playbooks there are."""

from __future__ import annotations

from sqlalchemy import Connection, exists, func, select

from rotator.journal import tables

_PLAYBOOKS, _ROTATIONS, _DEBTS = tables.playbooks, tables.rotations, tables.debts
_EARLIEST = (
    select(func.min(_PLAYBOOKS.c.due)),
    select(func.min(_ROTATIONS.c.due)).where(tables.ACTIVE),
    select(func.min(_DEBTS.c.due)).where(tables.OPEN),
)
_AT_ONCE = (  # somebody wrote what is to be looked at now
    select(exists().where(_PLAYBOOKS.c.due.is_(None))),
    select(exists(select(tables.orders.c.n).where(tables.WAITING))),
    select(exists().where(~tables.strays.c.settled)),
)


def earliest(connection: Connection) -> float | None:
    """Unix seconds; 0 where something is to be looked at now, None where nothing ever is."""
    if any(connection.execute(query).scalar() for query in _AT_ONCE):
        return 0.0
    found = (connection.execute(query).scalar() for query in _EARLIEST)
    return min((at for at in found if at is not None), default=None)
