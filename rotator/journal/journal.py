"""The journal as the engine sees it: a database, the sealer, the installation's name and its
fingerprint key.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from rotator.core.plan import Key
from rotator.errors import ConfigError, JournalError
from rotator.journal import anchor, sealing
from rotator.journal.database import Database, serialise
from rotator.journal.lasting import must_last
from rotator.journal.sealing import AesGcmSealer, KeySource, Sealer
from rotator.journal.settings import put_setting, setting
from rotator.model import Credential
from rotator.secret import Secret, hint_of

FIND_THE_KEY = (
    "is it elsewhere, or is this another journal? ROTATOR_KEY_FILE, ROTATOR_KEY or `key_command`"
    " say where the key is, ROTATOR_HOME and ROTATOR_DATABASE_URL which journal. Only where it is"
    " gone for good: `rotator db rekey --lost`"
)


@dataclass(frozen=True)
class Journal:
    """An opened journal.

    `sealer` is None where its sealing key is not found: debts then go on by key id.
    """

    database: Database
    installation: str
    sealer: Sealer | None
    fingerprint_key: str
    keyless: str = ""  # where the sealing key was looked for, and which one it must be

    @property
    def no_key(self) -> JournalError:
        """What to say where the sealing key is wanted."""
        return JournalError(f"the sealing key is not found: {self.keyless}", FIND_THE_KEY)

    def fingerprint(self, values: Mapping[str, Secret]) -> str:
        return sealing.fingerprint(values, self.fingerprint_key)

    def key_of(self, credential: Credential) -> Key:
        """Which key a credential is."""
        return Key(
            credential.id,
            self.fingerprint(credential.values),
            credential.hint or hint_of(credential.primary.reveal()),
        )


def open_journal(url: str, source: KeySource, ephemeral: bool = True) -> Journal:
    """Open (and where it is new, make) the journal; unless `ephemeral`, only where it outlives a
    container. Raises JournalError, ConfigError.
    """
    database = Database(url)
    if not ephemeral:
        must_last(database.path)
    database.prepare()
    sealer = _sealer(database, source)
    with database.write() as connection:
        serialise(connection)
        installation = setting(connection, "installation")
        if not installation:
            installation = _begin_installation(connection, sealer)
        _check_key(connection, sealer, database.where)
        fingerprint_key = setting(connection, "fingerprint_key")
        wanted = setting(connection, "sealing_key")
    keyless = (
        ""
        if sealer
        else f"there is no {source.file}; this journal was sealed with the key {wanted}"
    )
    return Journal(database, installation, sealer, fingerprint_key, keyless)


def _sealer(database: Database, source: KeySource) -> AesGcmSealer | None:
    """The sealing key. A key file is made only together with an empty SQLite journal."""
    key = source.load()
    if key is None and database.is_sqlite and database.empty() and not _has_key(database):
        try:
            key = source.make()
        except FileExistsError:  # another process was faster
            key = source.load()
    elif key is None:  # it may just have been made
        key = source.load()
    if key is None and not _has_key(database):
        raise ConfigError(
            f"there is no sealing key at {source.file}",
            "a PostgreSQL journal's key is given, never made: openssl rand -base64 32",
        )
    return AesGcmSealer(key) if key is not None else None


def _has_key(database: Database) -> bool:
    with database.read() as connection:
        return bool(setting(connection, "sealing_key"))


def _begin_installation(connection: Connection, sealer: AesGcmSealer | None) -> str:
    assert sealer is not None  # an empty journal's key was made, or given
    name = secrets.token_hex(4)
    put_setting(connection, "installation", name)
    # In clear on purpose: fingerprints must go on comparing when the sealing key is changed or
    # lost.
    put_setting(connection, "fingerprint_key", base64.b64encode(secrets.token_bytes(32)).decode())
    put_setting(connection, "sealing_key", sealer.fingerprint)
    anchor.save(connection, sealer, anchor.of_a_new_journal(connection))
    return name


def _check_key(connection: Connection, sealer: AesGcmSealer | None, where: str) -> None:
    expected = setting(connection, "sealing_key")
    if sealer is not None and expected == sealer.fingerprint_before_anchors:
        anchor.save(connection, sealer, anchor.of_tables(connection))
        put_setting(connection, "sealing_key", expected := sealer.fingerprint)
    if sealer is not None and expected and sealer.fingerprint != expected:
        raise JournalError(
            f"the journal {where} was sealed with the key {expected}, this one is"
            f" {sealer.fingerprint}",
            FIND_THE_KEY,
        )
