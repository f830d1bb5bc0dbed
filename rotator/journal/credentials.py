"""Sealed credentials: kept while some step may need their value, erased as soon as none does."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, insert, select, update

from rotator.core.state import Key
from rotator.errors import JournalError
from rotator.journal import tables
from rotator.journal.sealing import Sealer
from rotator.model import Credential
from rotator.secret import Secret


def _context(playbook: str, key: Key, field: str) -> str:
    return f"{playbook}\0{key.fingerprint}\0{field}"


def _mine(playbook: str, key: Key) -> object:
    same = tables.credentials.c.playbook == playbook
    if key.fingerprint:
        return same & (tables.credentials.c.fingerprint == key.fingerprint)
    return same & (tables.credentials.c.key_id == key.id)


def keep(
    connection: Connection,
    sealer: Sealer | None,
    playbook: str,
    rotation: str,
    key: Key,
    credential: Credential,
    at: float,
) -> None:
    """Seal the values, in the transaction that records that the key exists. Twice is once."""
    if sealer is None:
        raise JournalError("there is no sealing key", "`rotator db check` says where it is looked for")
    sealed = json.dumps(
        {name: sealer.seal(value, _context(playbook, key, name)) for name, value in credential.values.items()}
    )
    row = connection.execute(select(tables.credentials.c.n).where(_mine(playbook, key))).first()  # type: ignore[arg-type]
    if row is None:
        connection.execute(
            insert(tables.credentials).values(
                playbook=playbook,
                rotation=rotation,
                key_id=key.id,
                fingerprint=key.fingerprint,
                hint=key.hint,
                sealed=sealed,
                made=at,
            )
        )
    else:
        connection.execute(update(tables.credentials).where(tables.credentials.c.n == row[0]).values(sealed=sealed))


def value_of(connection: Connection, sealer: Sealer | None, playbook: str, key: Key) -> Credential | None:
    """The credential with its values, or None where the seal is gone or does not open (a lost key)."""
    row = connection.execute(select(tables.credentials).where(_mine(playbook, key))).mappings().first()  # type: ignore[arg-type]
    if row is None or row["sealed"] is None or sealer is None:
        return None
    whole = Key(row["key_id"], row["fingerprint"], row["hint"])
    try:
        values = {
            name: sealer.open(text, _context(playbook, whole, name)) for name, text in json.loads(row["sealed"]).items()
        }
    except JournalError:
        return None
    return Credential(values=values, id=row["key_id"], hint=row["hint"])


def erase_all_but(connection: Connection, playbook: str, needed: Iterable[Key]) -> None:
    """Erase every seal of the playbook that no step needs any more."""
    needed = tuple(needed)
    rows = (
        connection.execute(
            select(tables.credentials).where(
                (tables.credentials.c.playbook == playbook) & tables.credentials.c.sealed.is_not(None)
            )
        )
        .mappings()
        .all()
    )
    for row in rows:
        key = Key(row["key_id"], row["fingerprint"])
        if not any(key.same(other) for other in needed):
            connection.execute(update(tables.credentials).where(tables.credentials.c.n == row["n"]).values(sealed=None))


def known(connection: Connection, playbook: str, fingerprint: str) -> Key | None:
    """The key of this playbook with this fingerprint, if the journal ever saw it."""
    same = (tables.credentials.c.playbook == playbook) & (tables.credentials.c.fingerprint == fingerprint)
    row = connection.execute(select(tables.credentials).where(same)).mappings().first()
    return Key(row["key_id"], row["fingerprint"], row["hint"]) if row else None


def known_anywhere(connection: Connection, fingerprint: str, but: str) -> str:
    """Another playbook that knows this value as its own, or ''."""
    query = select(tables.playbooks.c.name).where(
        (tables.playbooks.c.name != but) & tables.playbooks.c.current_key.like(f"%{fingerprint}%")
    )
    found = connection.execute(query).scalar()
    return str(found) if found else ""


def remember(connection: Connection, playbook: str, rotation: str, key: Key, at: float) -> None:
    """Note that a key exists, without its value."""
    row = connection.execute(select(tables.credentials.c.n).where(_mine(playbook, key))).first()  # type: ignore[arg-type]
    if row is None:
        connection.execute(
            insert(tables.credentials).values(
                playbook=playbook, rotation=rotation, key_id=key.id, fingerprint=key.fingerprint, hint=key.hint, made=at
            )
        )


def reseal(connection: Connection, old: Sealer, new: Sealer) -> int:
    """Open everything with the old key and seal it with the new one; the number of credentials."""
    rows = connection.execute(select(tables.credentials).where(tables.credentials.c.sealed.is_not(None)))
    resealed = 0
    for row in rows.mappings().all():
        key = Key(row["key_id"], row["fingerprint"])
        opened: dict[str, Secret] = {
            name: old.open(text, _context(row["playbook"], key, name))
            for name, text in json.loads(row["sealed"]).items()
        }
        sealed = json.dumps(
            {name: new.seal(value, _context(row["playbook"], key, name)) for name, value in opened.items()}
        )
        connection.execute(update(tables.credentials).where(tables.credentials.c.n == row["n"]).values(sealed=sealed))
        resealed += 1
    return resealed
