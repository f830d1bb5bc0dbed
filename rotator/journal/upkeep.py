"""Upkeep of the journal: upgrade, check, backup, rekey."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from rotator.errors import JournalError
from rotator.journal import anchor, credentials, tables
from rotator.journal.database import Database
from rotator.journal.journal import Journal
from rotator.journal.sealing import AesGcmSealer
from rotator.journal.settings import put_setting, setting
from rotator.secret import Secret


def upgrade(database: Database) -> tuple[str, str]:
    """Run the migrations; the versions before and after. Alembic is imported only here.

    Raises JournalError for a journal of a newer rotator, which is left as it is.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "rotator.journal:migrations")
    before = database.version()
    if before > tables.HEAD:
        raise database.of_another_version(before)
    with database.unhurried(), database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return before, database.version()


def check(journal: Journal) -> list[str]:
    """What is wrong with the journal; nothing if it is whole."""
    wrong: list[str] = []
    with journal.database.read() as connection:
        if journal.database.is_sqlite:
            found = connection.execute(text("PRAGMA integrity_check")).scalar()
            if found != "ok":
                wrong.append(f"the file is damaged: {found}")
        if journal.sealer is None:
            wrong.append(journal.no_key.message)
        for table in tables.metadata.sorted_tables:
            connection.execute(table.select().limit(1))
    return wrong


def backup(journal: Journal, target: Path) -> None:
    """A consistent copy of a SQLite journal while it is in use. The sealing key is not in it."""
    source = journal.database.path
    if source is None:
        raise JournalError(
            "a PostgreSQL journal is backed up by PostgreSQL", "pg_dump, or your base backups"
        )
    try:  # a link that leads nowhere is there, too
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    except FileExistsError as error:
        raise JournalError(f"{target} exists already", "give another name") from error
    except OSError as error:
        raise JournalError(
            f"{target} cannot be written: {error.strerror}", "is its directory there?"
        ) from error
    with sqlite3.connect(source) as origin, sqlite3.connect(target) as copy:
        origin.backup(copy)


def rekey(journal: Journal, new_key: Secret, *, lost: bool = False) -> int:
    """Seal everything anew under another key; the number of credentials.

    `lost`: erase what no longer opens.
    """
    new = AesGcmSealer(new_key)
    with journal.database.write() as connection:
        if lost:
            connection.execute(tables.credentials.update().values(sealed=None))
            put_setting(connection, "audit_public_key", "")
            broken = (
                "the sealing key was lost, and with it what the journal remembered of its"
                " checkpoints"
            )
            anchor.save(connection, new, replace(anchor.of_tables(connection), broken=broken))
            count = 0
        elif journal.sealer is None:
            raise journal.no_key
        else:
            count = credentials.reseal(connection, journal.sealer, new)
            anchor.save(connection, new, anchor.load(connection, journal.sealer))
            private = setting(connection, "audit_private_key")
            if private:
                opened = journal.sealer.open(private, "audit signing key")
                put_setting(connection, "audit_private_key", new.seal(opened, "audit signing key"))
        put_setting(connection, "sealing_key", new.fingerprint)
    return count
