"""The daemons of this journal: since when, which version, whether they read the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from rotator.journal import nodes
from rotator.journal.nodes import Node


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One daemon. Times are Unix seconds; `playbooks` is how many it has read."""

    name: str
    started: float
    seen: float
    alive: bool
    version: str
    playbooks: int
    differs: tuple[str, ...]  # playbooks of which another living node has read another text


def read(connection: Connection, now: float) -> tuple[NodeStatus, ...]:
    """By name. Raises JournalError."""
    return of(nodes.load(connection, now))


def of(found: Sequence[Node]) -> tuple[NodeStatus, ...]:
    differing = nodes.differing(found)
    return tuple(
        NodeStatus(
            one.name,
            one.started,
            one.seen,
            one.alive,
            one.version,
            len(one.texts),
            tuple(name for name, where in differing.items() if one.alive and one.name in where),
        )
        for one in found
    )
