"""Appending to a chain, inside the journal's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from rotator.audit.record import GENESIS, Actor, canonical, digest, rfc3339
from rotator.journal import tables
from rotator.journal.database import serialise
from rotator.secret import redact

INSTALLATION = "installation"  # the chain of what belongs to no rotation

_AUDIT = tables.audit
_HEAD = (
    select(_AUDIT.c.seq, _AUDIT.c.hash)
    .where(_AUDIT.c.chain == bindparam("of"))
    .order_by(_AUDIT.c.seq.desc())
    .limit(1)
)
_ADD = insert(_AUDIT)
_RECORDS = select(_AUDIT.c.record).where(_AUDIT.c.chain == bindparam("of")).order_by(_AUDIT.c.seq)
_NEWEST = select(_AUDIT.c.n, _AUDIT.c.record).order_by(_AUDIT.c.n.desc())
_AFTER = (
    select(_AUDIT.c.n, _AUDIT.c.record).where(_AUDIT.c.n > bindparam("number")).order_by(_AUDIT.c.n)
)

_STRUCTURE = frozenset({"time", "chain", "seq", "event", "prev"})

Head = tuple[int, str]  # seq and hash of a chain's last record


def records(connection: Connection, chain: str) -> list[dict[str, Any]]:
    """What was recorded in a chain, oldest first."""
    return [json.loads(row[0]) for row in connection.execute(_RECORDS, {"of": chain})]


def newest(connection: Connection, limit: int) -> list[tuple[int, str]]:
    """The last records of all chains with their numbers, oldest first."""
    rows = connection.execute(_NEWEST.limit(limit))
    return [(number, text) for number, text in rows][::-1]


def after(connection: Connection, number: int) -> list[tuple[int, str]]:
    """The records of all chains that were written after this number, oldest first."""
    rows = connection.execute(_AFTER, {"number": number})
    return [(number, text) for number, text in rows]


def append(
    connection: Connection,
    chain: str,
    at: float,
    event: str,
    actor: Actor,
    heads: dict[str, Head] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """One record at the end of `chain` (a rotation's id, or 'installation'); returned as it was
    written.
    """
    body = record(connection, chain, at, event, actor, {} if heads is None else heads, **fields)
    write(connection, [body])
    return body


def write(connection: Connection, bodies: Sequence[dict[str, Any]]) -> None:
    """Records as `record` made them, in their order."""
    rows = [
        {
            "chain": body["chain"],
            "seq": body["seq"],
            "record": canonical(body),
            "hash": body["hash"],
        }
        for body in bodies
    ]
    if rows:
        connection.execute(_ADD, rows)


def record(
    connection: Connection,
    chain: str,
    at: float,
    event: str,
    actor: Actor,
    heads: dict[str, Head],
    **fields: Any,
) -> dict[str, Any]:
    """The next record of `chain`, not written yet. Every text in it has passed the redactor.

    `heads` remembers the ends of chains that only the caller writes.
    """
    if chain == INSTALLATION:
        serialise(connection)
    last = heads.get(chain) or connection.execute(_HEAD, {"of": chain}).first()
    seq, prev = (last[0] + 1, last[1]) if last else (1, GENESIS)
    body: dict[str, Any] = {
        "time": rfc3339(at),
        "chain": chain,
        "seq": seq,
        "event": event,
        "actor": {"who": actor.who, "where": actor.where, "way": actor.way},
        **{name: value for name, value in fields.items() if value not in (None, "")},
        "prev": prev,
    }
    text = canonical(body)
    if (
        redact(text) != text
    ):  # once over all of it, as that is quicker; what the chain hangs on stays as it is
        body = {
            name: found if name in _STRUCTURE else _redacted(found) for name, found in body.items()
        }
        text = canonical(body)
    body["hash"] = digest(prev, text)
    heads[chain] = (seq, body["hash"])
    return body


def _redacted(value: Any) -> Any:
    """Text by text: what is between them must stay JSON."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(name): _redacted(found) for name, found in value.items()}
    return [_redacted(found) for found in value] if isinstance(value, (list, tuple)) else value
