"""Whether the journal itself is whole."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.audit import checkpoint
from rotator.journal import upkeep
from rotator.usecases.service import Service


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """`where`: the file or database. `audit`: why its log is not the one that was signed, or ''."""

    where: str
    mistakes: tuple[str, ...]
    audit: str


def journal_health(service: Service) -> JournalHealth:
    """Whether the database is whole, and its key opens it."""
    journal = service.journal
    mistakes = tuple(upkeep.check(journal))
    with journal.database.read() as connection:
        audit = checkpoint.standing(connection, journal)
    return JournalHealth(journal.database.where, mistakes, audit)
