"""The daemons of this journal, and which text of each playbook was read when."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from rotator.journal import tables

ALIVE = 90.0  # seconds since it was seen last in which a node counts as alive
_KEPT = 7 * 86_400.0  # seconds for which one that was seen no more is told

_NODES, _TEXTS = tables.nodes, tables.texts
_ALL = select(_NODES).order_by(_NODES.c.name, _NODES.c.started)
_LIVING = select(_NODES.c.name).where(_NODES.c.seen > bindparam("since"))
_MINE = _NODES.c.instance == bindparam("this")
_READ = select(_TEXTS.c.playbook, _TEXTS.c.digest, _TEXTS.c.since)
_READ_OF_ONE = _READ.where(_TEXTS.c.playbook == bindparam("name"))
# Two that read a text at once are one
_NOTE = text(
    "INSERT INTO texts (playbook, digest, since) VALUES (:playbook, :digest, :since)"
    " ON CONFLICT DO NOTHING"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One daemon. Times are seconds of the journal's clock: `now` is when it was asked."""

    name: str
    instance: str
    started: float
    seen: float
    version: str
    texts: Mapping[str, str]  # by playbook, the digest of what it read
    now: float

    @property
    def alive(self) -> bool:
        return self.now - self.seen < ALIVE


def clock(connection: Connection, now: float) -> float:
    """Unix seconds: the server's on PostgreSQL, as those of machines differ; else `now`."""
    if connection.dialect.name != "postgresql":
        return now
    return float(
        connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    )


def report(
    connection: Connection,
    name: str,
    instance: str,
    version: str,
    texts: Mapping[str, str] | None,
    now: float,
) -> None:
    """This daemon is alive. `texts`: None where they are the same as when it last said so."""
    at = clock(connection, now)
    said = {"seen": at} if texts is None else {"seen": at, "texts": json.dumps(dict(texts))}
    if connection.execute(update(_NODES).where(_MINE).values(**said), {"this": instance}).rowcount:
        return
    row = {"instance": instance, "name": name, "started": at, "version": version}
    connection.execute(insert(_NODES), {**row, "texts": "{}", **said})
    connection.execute(delete(_NODES).where(_NODES.c.seen < at - _KEPT))


def leave(connection: Connection, instance: str) -> None:
    """This daemon ends."""
    connection.execute(delete(_NODES).where(_MINE), {"this": instance})


def load(connection: Connection, now: float) -> list[Node]:
    """All that report themselves, by name."""
    at = clock(connection, now)
    return [
        Node(
            row["name"],
            row["instance"],
            row["started"],
            row["seen"],
            row["version"],
            json.loads(row["texts"]),
            at,
        )
        for row in connection.execute(_ALL).mappings()
    ]


def living(connection: Connection, now: float) -> frozenset[str]:
    """The names of those that are alive."""
    since = clock(connection, now) - ALIVE
    return frozenset(name for (name,) in connection.execute(_LIVING, {"since": since}))


def note(connection: Connection, texts: Mapping[str, str], now: float) -> None:
    """These texts of playbooks (by name, their digests) were read: those that nobody read before
    are the newest from now on.
    """
    known = {
        (playbook, digest)
        for playbook, digest in connection.execute(select(_TEXTS.c.playbook, _TEXTS.c.digest))
    }
    at = clock(connection, now)
    rows = [
        {"playbook": playbook, "digest": digest, "since": at}
        for playbook, digest in sorted(texts.items())
        if (playbook, digest) not in known
    ]
    if rows:
        connection.execute(_NOTE, rows)


def decide(connection: Connection, playbook: str, digest: str, now: float) -> None:
    """A person rotates by this text: it is the newest from now on."""
    at = clock(connection, now)
    mine = (_TEXTS.c.playbook == playbook) & (_TEXTS.c.digest == digest)
    if not connection.execute(update(_TEXTS).where(mine).values(since=at)).rowcount:
        connection.execute(_NOTE, {"playbook": playbook, "digest": digest, "since": at})


def newest(connection: Connection, name: str = "") -> dict[str, frozenset[str]]:
    """Of each playbook that anybody read, or of this one, the digest of its newest text; several
    where they were read at the very same moment.
    """
    rows = connection.execute(_READ_OF_ONE, {"name": name}) if name else connection.execute(_READ)
    found: dict[str, list[tuple[float, str]]] = {}
    for playbook, digest, since in rows:
        found.setdefault(playbook, []).append((since, digest))
    return {
        playbook: frozenset(digest for since, digest in several if since == max(several)[0])
        for playbook, several in found.items()
    }


def differing(nodes: Iterable[Node]) -> dict[str, tuple[str, ...]]:
    """Playbooks of which living nodes have read different texts, each with those nodes."""
    found: dict[str, dict[str, set[str]]] = {}
    for node in nodes:
        if node.alive:
            for playbook, digest in node.texts.items():
                found.setdefault(playbook, {}).setdefault(digest, set()).add(node.name)
    return {
        playbook: tuple(sorted(set().union(*texts.values())))
        for playbook, texts in sorted(found.items())
        if len(texts) > 1
    }
