"""Leases with fencing tokens: one holder per playbook over all processes and machines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, bindparam, insert, select, text, update

from rotator.core import fence
from rotator.errors import LeaseLost
from rotator.journal import tables

SECONDS = 20.0

_LEASES = tables.leases
_THIS = _LEASES.c.playbook == bindparam("this")
_ROW = select(_LEASES).where(_THIS)
_LOCKED_ROW = _ROW.with_for_update()
_LOCKED_FENCE = select(_LEASES.c.fence).where(_THIS).with_for_update()
_ADD = insert(_LEASES)
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
    """The leases' clock: the server's on PostgreSQL (machines differ), this boot's on SQLite (one machine)."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    return boot_clock()


def _boot(connection: Connection) -> str:
    return "" if connection.dialect.name == "postgresql" else boot_id()


def holding(connection: Connection, playbook: str, *, lock: bool = False) -> Holding | None:
    """Who holds the playbook, if anybody ever did and has not given it back."""
    row = connection.execute(_LOCKED_ROW if lock else _ROW, {"this": playbook}).mappings().first()
    if row is None:
        return None
    expired = not row["holder"] or row["boot"] != _boot(connection) or row["until"] <= _now(connection)
    return Holding(row["holder"], row["fence"], row["purpose"], row["rotation"], row["since"], row["lock"], expired)


def take(connection: Connection, playbook: str, holder: str, *, lock: str, purpose: str, since: float) -> Lease:
    """The lease, with the next token. Whether it may be taken was judged in this transaction, by `holding`."""
    held = holding(connection, playbook, lock=True)
    values = {
        "holder": holder,
        "fence": held.fence + 1 if held else 1,
        "until": _now(connection) + SECONDS,
        "boot": _boot(connection),
        "lock": lock,
        "purpose": purpose,
        "since": since,
        "rotation": "",
    }
    if held is None:
        connection.execute(_ADD, {"playbook": playbook, **values})
    else:
        connection.execute(_SAVE, {"this": playbook, **values})
    return Lease(playbook, holder, int(str(values["fence"])))


def require(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless `lease` is the present one. Every journal write of a holder begins with this."""
    present = connection.execute(_LOCKED_FENCE, {"this": lease.playbook}).scalar()
    if present is None or not fence.admits(present, lease.fence):
        raise LeaseLost(f"{lease.playbook} was taken over by another process", "this one stops; nothing is lost")


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
    return connection.execute(_SAVE_MINE, {"this": lease.playbook, "token": lease.fence, **values}).rowcount == 1
