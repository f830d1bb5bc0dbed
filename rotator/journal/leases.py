"""Leases with fencing tokens: one holder per playbook over all processes and machines."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, insert, select, text, update

from rotator.core import fence
from rotator.errors import LeaseLost
from rotator.journal import tables

SECONDS = 20.0


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
    query = select(tables.leases).where(tables.leases.c.playbook == playbook)
    if lock:
        query = query.with_for_update()
    row = connection.execute(query).mappings().first()
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
        connection.execute(insert(tables.leases).values(playbook=playbook, **values))
    else:
        connection.execute(update(tables.leases).where(tables.leases.c.playbook == playbook).values(**values))
    return Lease(playbook, holder, int(str(values["fence"])))


def require(connection: Connection, lease: Lease) -> None:
    """Raises LeaseLost unless `lease` is the present one. Every journal write of a holder begins with this."""
    query = select(tables.leases.c.fence).where(tables.leases.c.playbook == lease.playbook).with_for_update()
    present = connection.execute(query).scalar()
    if present is None or not fence.admits(present, lease.fence):
        raise LeaseLost(f"{lease.playbook} was taken over by another process", "this one stops; nothing is lost")


def renew(connection: Connection, lease: Lease) -> bool:
    """Another full term from now; False if somebody else holds it."""
    mine = (tables.leases.c.playbook == lease.playbook) & (tables.leases.c.fence == lease.fence)
    done = connection.execute(update(tables.leases).where(mine).values(until=_now(connection) + SECONDS))
    return done.rowcount == 1


def describe(connection: Connection, lease: Lease, *, rotation: str, purpose: str) -> None:
    """Say what the lease is held for."""
    mine = (tables.leases.c.playbook == lease.playbook) & (tables.leases.c.fence == lease.fence)
    connection.execute(update(tables.leases).where(mine).values(rotation=rotation, purpose=purpose))


def give_back(connection: Connection, lease: Lease) -> None:
    """Free it at once; the token stays spent."""
    mine = (tables.leases.c.playbook == lease.playbook) & (tables.leases.c.fence == lease.fence)
    connection.execute(update(tables.leases).where(mine).values(holder="", until=0.0))
