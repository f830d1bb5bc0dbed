"""What the journal remembers, sealed, of the checkpoint that it signed last.

Who can write the database but lacks the sealing key can neither forge it nor go back unnoticed to
before it: it is made with the journal, so where it is missing it was taken away.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, desc, func, select

from rotator.errors import JournalError
from rotator.journal import tables
from rotator.journal.sealing import Sealer
from rotator.journal.settings import put_setting, setting
from rotator.secret import Secret

_NAME, _CONTEXT = "audit_anchor", "last checkpoint of the audit"
_NONE = "0" * 64  # the hash before the first one


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last checkpoint: its number, hash, the last record that it covers; and every key that
    ever signed.

    `broken` tells what was found when the checkpoints were not as remembered: until a person begins
    anew.
    """

    n: int = 0
    hash: str = _NONE
    upto: int = 0
    keys: tuple[str, ...] = ()
    broken: str = ""


def save(connection: Connection, sealer: Sealer, anchor: Anchor) -> None:
    put_setting(connection, _NAME, sealer.seal(Secret(json.dumps(asdict(anchor))), _CONTEXT))


def load(connection: Connection, sealer: Sealer) -> Anchor:
    """What is remembered; `broken` where nothing is."""
    sealed = setting(connection, _NAME)
    if not sealed:
        return Anchor(broken="what the journal remembered of its checkpoints is gone")
    try:
        found: dict[str, Any] = json.loads(sealer.open(sealed, _CONTEXT).reveal())
    except (JournalError, ValueError):
        return Anchor(broken="what the journal remembered of its checkpoints was changed")
    return Anchor(**{**found, "keys": tuple(found["keys"])})


def of_tables(connection: Connection) -> Anchor:
    """As the tables have it: believed once, of a journal that was made before there
    were anchors.
    """
    checkpoints = tables.checkpoints.c
    row = connection.execute(
        select(checkpoints.n, checkpoints.hash, checkpoints.upto).order_by(desc(checkpoints.n))
    )
    last = row.first()
    keys = tuple(key for key in setting(connection, "audit_public_keys").split(",") if key)
    return Anchor(last[0], last[1], last[2], keys) if last else Anchor(keys=keys)


def of_a_new_journal(connection: Connection) -> Anchor:
    """Nothing is signed yet; nor is anything written, or the journal was emptied of what it knew of
    itself alone.
    """
    written = connection.execute(select(func.count()).select_from(tables.audit)).scalar()
    return Anchor(
        broken="the journal forgot which installation it is of, and has records" if written else ""
    )
