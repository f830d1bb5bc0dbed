"""All that is sealed in the journal is sealed under a new key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rotator.clients import files
from rotator.journal import upkeep
from rotator.journal.database import Database
from rotator.journal.journal import Journal
from rotator.usecases.runtime import Runtime


@dataclass(frozen=True)
class Rekeyed:
    """How many credentials were sealed anew, and the file that holds the new key."""

    credentials: int
    file: Path


def rekey(runtime: Runtime, lost: bool = False) -> Rekeyed:
    """Seal everything under a new key, and put that into the key file.

    `lost`: the old key is lost, and what no longer opens is erased. Raises JournalError where the
    old key does not open the journal.
    """
    fresh, kept = runtime.settings.key.new_key()
    path = runtime.settings.key.file
    # The new key is on the disk before anything is sealed by it: after a crash it is found there.
    beside = path.with_name(path.name + ".new")
    beside.touch(mode=0o600, exist_ok=True)
    beside.write_text(kept + "\n")
    number = upkeep.rekey(_journal(runtime, lost), fresh, lost=lost)
    snapshot = files.read(path)
    files.replace(path, (kept + "\n").encode(), snapshot.version if snapshot else "", "rekey")
    beside.unlink()
    return Rekeyed(number, path)


def _journal(runtime: Runtime, lost: bool) -> Journal:
    """Opened by its key; without any key where that is lost."""
    return Journal(Database(runtime.settings.url), "", None, "") if lost else runtime.journal
