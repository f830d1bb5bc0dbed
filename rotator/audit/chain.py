"""Appending to a chain, inside the journal's transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert, select

from rotator.audit.record import GENESIS, Actor, canonical, digest, rfc3339
from rotator.journal import tables
from rotator.journal.database import serialise
from rotator.secret import redact

INSTALLATION = "installation"  # the chain of what belongs to no rotation


def append(connection: Connection, chain: str, at: float, event: str, actor: Actor, **fields: Any) -> dict[str, Any]:
    """One record at the end of `chain` (a rotation's id, or 'installation'); returned as it was written.

    Every text in it has passed the redactor.
    """
    if chain == INSTALLATION:
        serialise(connection)
    last = connection.execute(
        select(tables.audit.c.seq, tables.audit.c.hash)
        .where(tables.audit.c.chain == chain)
        .order_by(tables.audit.c.seq.desc())
        .limit(1)
    ).first()
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
    body = json.loads(redact(canonical(body)))
    body["hash"] = digest(prev, body)
    connection.execute(insert(tables.audit).values(chain=chain, seq=seq, record=canonical(body), hash=body["hash"]))
    return body
