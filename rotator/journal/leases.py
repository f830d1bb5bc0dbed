"""Leases with fencing tokens: one holder per playbook over all processes and machines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, RowMapping, bindparam, select, text, update

from rotator.core import fence
from rotator.errors import LeaseLost
from rotator.journal import tables

SECONDS = 20.0

_LEASES = tables.leases
_THIS = _LEASES.c.playbook == bindparam("this")
_ROW = select(_LEASES).where(_THIS)
_LOCKED_ROW = _ROW.with_for_update()
_LOCKED_FENCE = select(_LEASES.c.fence).where(_THIS).with_for_update()
# Two that come first both make the row: the later one waits for the other's transaction, and then
# finds it.
_MAKE = text(
    "INSERT INTO leases (playbook, holder, fence, until, boot, lock, purpose, since, rotation) "
    "VALUES (:this, '', 0, 0, '', '', '', 0, '') ON CONFLICT DO NOTHING"
)
_SAVE = update(_LEASES).where(_THIS)
_SAVE_MINE = update(_LEASES).where(_THIS & (_LEASES.c.fence == bindparam("token")))


@dataclass(frozen=True, slots=True)
class Lease:
    """What a holder shows with every write."""

    playbook: str
    holder: str
    fence: int


@dataclass(frozen=True, slots=True)
class Holding:
    """Who holds a playbook now."""

    holder: str
    fence: int
    purpose: str
    rotation: str
    since: float
    lock: str
    expired: bool


@cache
def boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def boot_clock() -> float:
    """Seconds since boot, suspend included: it never jumps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _now(connection: Connection) -> float:
    """The leases' clock: the server's on PostgreSQL (machines differ), this boot's on SQLite (one
    machine).
    """
    if connection.dialect.name == "postgresql":
        return float(
            connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        )
    return boot_clock()


def _boot(connection: Connection) -> str:
    return "" if connection.dialect.name == "postgresql" else boot_id()


def holding(connection: Connection, playbook: str) -> Holding | None:
    """Who holds the playbook, or did last; None if nobody ever did."""
    row = connection.execute(_ROW, {"this": playbook}).mappings().first()
    return None if row is None else _judged(connection, row)


def locked(connection: Connection, playbook: str) -> Holding:
    """The same, and until this transaction ends nobody else changes it.

    A lease comes first in a transaction, what is in one order over all machines (`serialise`) after
    it: two that took these in different orders would wait for each other.
    """
    row = connection.execute(_LOCKED_ROW, {"this": playbook}).mappings().first()
    if row is None:
        connection.execute(_MAKE, {"this": playbook})
        row = connection.execute(_LOCKED_ROW, {"this": playbook}).mappings().one()
    return _judged(connection, row)


def _judged(connection: Connection, row: RowMapping) -> Holding:
    expired = (
        not row["holder"] or row["boot"] != _boot(connection) or row["until"] <= _now(connection)
    )
    return Holding(
        row["holder"],
        row["fence"],
        row["purpose"],
        row["rotation"],
        row["since"],
        row["lock"],
        expired,
    )


def take(
    connection: Connection, playbook: str, holder: str, *, lock: str, purpose: str, since: float
) -> Lease:
    """The lease, with the next token.

    Whether it may be taken was judged in this transaction, by `locked`.
    """
    fence = locked(connection, playbook).fence + 1
    values = {
        "holder": holder,
        "fence": fence,
        "until": _now(connection) + SECONDS,
        "boot": _boot(connection),
        "lock": lock,
        "purpose": purpose,
        "since": since,
        "rotation": "",
    }
    connection.execute(_SAVE, {"this": playbook, **values})
    return Lease(playbook, holder, fence)


def require(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless `lease` is the present one.

    Every journal write of a holder begins with this.
    """
    present = connection.execute(_LOCKED_FENCE, {"this": lease.playbook}).scalar()
    if present is None or not fence.admits(present, lease.fence):
        raise LeaseLost(
            f"{lease.playbook} was taken over by another process", "this one stops; nothing is lost"
        )


def renew(connection: Connection, lease: Lease) -> bool:
    """Another full term from now; False if somebody else holds it."""
    return _save_mine(connection, lease, until=_now(connection) + SECONDS)


def describe(connection: Connection, lease: Lease, *, rotation: str, purpose: str) -> None:
    """Say what the lease is held for."""
    _save_mine(connection, lease, rotation=rotation, purpose=purpose)


def give_back(connection: Connection, lease: Lease) -> None:
    """Free it at once; the token stays spent."""
    _save_mine(connection, lease, holder="", until=0.0)


def _save_mine(connection: Connection, lease: Lease, **values: object) -> bool:
    """Change the row, if the lease is still the present one."""
    return (
        connection.execute(
            _SAVE_MINE, {"this": lease.playbook, "token": lease.fence, **values}
        ).rowcount
        == 1
    )
