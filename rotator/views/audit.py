"""The audit log as it is read: its newest records, what is signed of it, and whether it is whole.

Records stay the text that was hashed and signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rotator.audit import chain, checkpoint, verify
from rotator.audit.record import canonical
from rotator.audit.verify import Verdict
from rotator.usecases.service import Service


@dataclass(frozen=True, slots=True)
class Tail:
    """Records in the order in which they were written, and the number of the last one."""

    records: tuple[str, ...]
    last: int


def newest(service: Service, limit: int) -> Tail:
    with service.journal.database.read() as connection:
        rows = chain.newest(connection, limit)
    return Tail(tuple(text for _, text in rows), rows[-1][0] if rows else 0)


def after(service: Service, number: int) -> Tail:
    """What was written since the record with this number."""
    with service.journal.database.read() as connection:
        rows = chain.after(connection, number)
    return Tail(tuple(text for _, text in rows), rows[-1][0] if rows else number)


def signed_lines(service: Service) -> list[str]:
    """All records and checkpoints up to the last record that one of these covers."""
    with service.journal.database.read() as connection:
        covered = checkpoint.covers(connection, service.journal)
        return [canonical(line) for line in verify.lines_of(connection, covered)]


def verdict(service: Service, kept: Iterable[dict[str, Any]] = (), key: str = "") -> Verdict:
    """Of the journal's log. `kept`: checkpoints that were kept elsewhere; `key`: the public key."""
    with service.journal.database.read() as connection:
        return verify.verify_journal(connection, service.journal, kept, key)
