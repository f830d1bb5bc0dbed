"""Sealed credentials: kept while some step may need their value, erased as soon as none does."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from rotator.core.plan import Key
from rotator.errors import JournalError
from rotator.journal import tables
from rotator.journal.sealing import Sealer
from rotator.model import Credential
from rotator.secret import Secret

_ROWS = tables.credentials
_OF = _ROWS.c.playbook == bindparam("of")
_BY_FINGERPRINT = select(_ROWS).where(_OF & (_ROWS.c.fingerprint == bindparam("print")))
_BY_ID = select(_ROWS).where(_OF & (_ROWS.c.key_id == bindparam("id")))
_SEALED = select(_ROWS).where(_OF & _ROWS.c.sealed.is_not(None))
_IDS = select(_ROWS.c.key_id).where(_OF)
_OTHERS = select(_ROWS.c.key_id).where(
    _OF & (_ROWS.c.fingerprint != bindparam("print")) & (_ROWS.c.fingerprint != "")
)
_ANYWHERE = (
    select(_ROWS)
    .where(_ROWS.c.fingerprint == bindparam("print"))
    .order_by(_ROWS.c.n.desc())
    .limit(1)
)
_ALL = select(_ROWS).where(_OF).order_by(_ROWS.c.n)
_ADD = insert(_ROWS)
_SAVE = update(_ROWS).where(_ROWS.c.n == bindparam("this"))
RENEWED_AFTER = 2 / 3  # of a key's life


_SPELLED = "as written in "  # before the store's name, among the sealed values


def _context(playbook: str, key: Key, field: str) -> str:
    return f"{playbook}\0{key.fingerprint}\0{field}"


def _row(connection: Connection, playbook: str, key: Key) -> RowMapping | None:
    if key.fingerprint:
        found = connection.execute(_BY_FINGERPRINT, {"of": playbook, "print": key.fingerprint})
    else:
        found = connection.execute(_BY_ID, {"of": playbook, "id": key.id})
    return found.mappings().first()


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
        raise JournalError(
            "there is no sealing key", "`rotator db check` says where it is looked for"
        )
    spelled = {_SPELLED + store: text for store, text in credential.spelled.items()}
    texts = {**credential.values, **spelled}
    sealed = json.dumps(
        {name: sealer.seal(value, _context(playbook, key, name)) for name, value in texts.items()}
    )
    row = _row(connection, playbook, key)
    if row is None:
        _add(connection, playbook, rotation, key, at, sealed, credential.expires_at)
    else:
        ends = row["ends"] if credential.expires_at is None else credential.expires_at
        connection.execute(_SAVE, {"this": row["n"], "sealed": sealed, "ends": ends})


def _add(
    connection: Connection,
    playbook: str,
    rotation: str,
    key: Key,
    at: float,
    sealed: str | None = None,
    ends: float | None = None,
) -> None:
    named = {"key_id": key.id, "fingerprint": key.fingerprint, "hint": key.hint}
    values = {
        "playbook": playbook,
        "rotation": rotation,
        **named,
        "sealed": sealed,
        "made": at,
        "ends": ends,
    }
    connection.execute(_ADD, values)


def life(connection: Connection, playbook: str, key: Key) -> tuple[float | None, float | None]:
    """When a key ends, and when it is to be renewed for that: after two thirds of its life. None,
    None without an end.

    Since when it lives is when this journal first knew of it.
    """
    row = _row(connection, playbook, key)
    if row is None or row["ends"] is None:
        return None, None
    return row["ends"], row["made"] + max(0.0, row["ends"] - row["made"]) * RENEWED_AFTER


def value_of(
    connection: Connection, sealer: Sealer | None, playbook: str, key: Key
) -> Credential | None:
    """The credential with its values, or None where the seal is gone or does not open
    (a lost key).
    """
    row = _row(connection, playbook, key)
    if row is None or row["sealed"] is None or sealer is None:
        return None
    whole = Key(row["key_id"], row["fingerprint"], row["hint"])
    try:
        opened = {
            name: sealer.open(text, _context(playbook, whole, name))
            for name, text in json.loads(row["sealed"]).items()
        }
    except JournalError:
        return None
    spelled = {
        name.removeprefix(_SPELLED): text
        for name, text in opened.items()
        if name.startswith(_SPELLED)
    }
    values = {name: value for name, value in opened.items() if not name.startswith(_SPELLED)}
    return Credential(values=values, id=row["key_id"], hint=row["hint"], spelled=spelled)


def sealed_for(text: str, sealer: Sealer | None, key: Key, old: str, new: str) -> str:
    """What was sealed for one playbook, sealed for another one.

    Raises JournalError where it does not open.
    """
    if sealer is None:
        raise JournalError(
            "there is no sealing key", "`rotator db check` says where it is looked for"
        )
    opened = {
        name: sealer.open(one, _context(old, key, name)) for name, one in json.loads(text).items()
    }
    return json.dumps(
        {name: sealer.seal(value, _context(new, key, name)) for name, value in opened.items()}
    )


def is_sealed(connection: Connection, playbook: str, key: Key) -> bool:
    """Whether a value is kept for this key, whether or not it opens."""
    row = _row(connection, playbook, key)
    return row is not None and row["sealed"] is not None


def erase_all_but(connection: Connection, playbook: str, needed: Iterable[Key]) -> None:
    """Erase every seal of the playbook that no step needs any more."""
    needed = tuple(needed)
    for row in connection.execute(_SEALED, {"of": playbook}).mappings().all():
        key = Key(row["key_id"], row["fingerprint"])
        if not any(key.same(other) for other in needed):
            connection.execute(_SAVE, {"this": row["n"], "sealed": None})


def known(connection: Connection, playbook: str, fingerprint: str) -> Key | None:
    """The key of this playbook with this fingerprint, if the journal ever saw it."""
    row = _row(connection, playbook, Key("", fingerprint))
    return Key(row["key_id"], row["fingerprint"], row["hint"]) if row else None


def by_id(connection: Connection, playbook: str, key_id: str) -> Key | None:
    """The key of this playbook with this id at the provider, if the journal ever saw it."""
    row = connection.execute(_BY_ID, {"of": playbook, "id": key_id}).mappings().first()
    return Key(row["key_id"], row["fingerprint"], row["hint"]) if row else None


def all_of(connection: Connection, playbook: str) -> tuple[Key, ...]:
    """Every key of this playbook that the journal ever saw, the first one first."""
    rows = connection.execute(_ALL, {"of": playbook}).mappings()
    return tuple(Key(row["key_id"], row["fingerprint"], row["hint"]) for row in rows)


def ids(connection: Connection, playbook: str) -> tuple[str, ...]:
    """The ids at the provider of all keys of this playbook that the journal ever saw."""
    return tuple(row[0] for row in connection.execute(_IDS, {"of": playbook}) if row[0])


def ids_of_others(connection: Connection, playbook: str, fingerprint: str) -> tuple[str, ...]:
    """The ids of the keys of this playbook that have another value than this one."""
    found = connection.execute(_OTHERS, {"of": playbook, "print": fingerprint})
    return tuple(row[0] for row in found if row[0])


def seen_first_in(connection: Connection, playbook: str, key: Key) -> str:
    """The rotation that found or made this key, 'adopted' where a person named it, '' where nobody
    knows it.
    """
    row = _row(connection, playbook, key)
    return str(row["rotation"]) if row else ""


def known_anywhere(connection: Connection, fingerprint: str, but: str) -> str:
    """Another playbook that has this value as its own, in force or on its way in a
    rotation; or ''.
    """
    mine = (tables.playbooks.c.name != but) & tables.playbooks.c.current_key.like(
        f"%{fingerprint}%"
    )
    coming = (
        (tables.rotations.c.playbook != but)
        & tables.rotations.c.state.like(f"%{fingerprint}%")
        & tables.ACTIVE
    )
    queries = (
        select(tables.playbooks.c.name).where(mine),
        select(tables.rotations.c.playbook).where(coming),
    )
    found = next((name for query in queries if (name := connection.execute(query).scalar())), "")
    return str(found)


def anywhere(connection: Connection, fingerprint: str) -> Key | None:
    """The key with this value, whichever playbook it belongs to."""
    found = connection.execute(_ANYWHERE, {"print": fingerprint}).mappings().first()
    return Key(found["key_id"], found["fingerprint"], found["hint"]) if found else None


def remember(connection: Connection, playbook: str, rotation: str, key: Key, at: float) -> None:
    """Note that a key exists, without its value."""
    if _row(connection, playbook, key) is None:
        _add(connection, playbook, rotation, key, at)


def reseal(connection: Connection, old: Sealer, new: Sealer) -> int:
    """Open everything with the old key and seal it with the new one; the number of credentials."""
    rows = connection.execute(select(_ROWS).where(_ROWS.c.sealed.is_not(None)))
    resealed = 0
    for row in rows.mappings().all():
        key = Key(row["key_id"], row["fingerprint"])
        opened: dict[str, Secret] = {
            name: old.open(text, _context(row["playbook"], key, name))
            for name, text in json.loads(row["sealed"]).items()
        }
        sealed = json.dumps(
            {
                name: new.seal(value, _context(row["playbook"], key, name))
                for name, value in opened.items()
            }
        )
        connection.execute(_SAVE, {"this": row["n"], "sealed": sealed})
        resealed += 1
    return resealed
