"""Signed checkpoints over the heads of all chains: a cut tail shows against any checkpoint that left the machine."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select

from rotator.audit.record import GENESIS, canonical, rfc3339
from rotator.journal import tables
from rotator.journal.database import serialise
from rotator.journal.journal import Journal, put_setting, setting
from rotator.journal.sealing import Sealer
from rotator.secret import Secret

_CONTEXT = "audit signing key"

_AUDIT, _CHECKPOINTS = tables.audit, tables.checkpoints
_LAST = select(_CHECKPOINTS).order_by(_CHECKPOINTS.c.n.desc()).limit(1)
_UPTO = select(func.max(_AUDIT.c.n))
_GROWN = (
    select(_AUDIT.c.chain, func.max(_AUDIT.c.seq).label("seq"))
    .where((_AUDIT.c.n > bindparam("since")) & (_AUDIT.c.n <= bindparam("upto")))
    .group_by(_AUDIT.c.chain)
    .subquery()
)
_HEADS = select(_AUDIT.c.chain, _AUDIT.c.seq, _AUDIT.c.hash).join(
    _GROWN, (_AUDIT.c.chain == _GROWN.c.chain) & (_AUDIT.c.seq == _GROWN.c.seq)
)
_ADD = insert(_CHECKPOINTS)
_SETTINGS = tables.meta.c
_KEY_PAIR = select(_SETTINGS.name, _SETTINGS.value).where(_SETTINGS.name.in_(("audit_public_key", "audit_private_key")))


def add(connection: Connection, journal: Journal, at: float) -> dict[str, Any] | None:
    """Sign the heads of the chains that grew since the last checkpoint. None where nothing grew or nothing can sign."""
    serialise(connection)
    previous = connection.execute(_LAST).mappings().first()
    upto = connection.execute(_UPTO).scalar() or 0
    since = previous["upto"] if previous else 0
    if upto <= since or journal.sealer is None:
        return None
    public, private = _key_pair(connection, journal)
    body = {
        "checkpoint": (previous["n"] if previous else 0) + 1,
        "time": rfc3339(at),
        "upto": upto,
        "heads": _heads(connection, since, upto),
        "prev": previous["hash"] if previous else GENESIS,
        "key": public,
    }
    text = canonical(body)
    signature = _sign(journal.sealer, private, text)
    connection.execute(
        _ADD, {"n": body["checkpoint"], "upto": upto, "body": text, "hash": hash_of(text), "signature": signature}
    )
    return {**body, "hash": hash_of(text), "signature": signature}


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _heads(connection: Connection, since: int, upto: int) -> dict[str, list[Any]]:
    found = connection.execute(_HEADS, {"since": since, "upto": upto})
    return {row[0]: [row[1], row[2]] for row in found}


def public_key(connection: Connection, journal: Journal) -> str:
    """The installation's Ed25519 public key, base64; made on first use."""
    if journal.sealer is None:
        return setting(connection, "audit_public_key")
    return _key_pair(connection, journal)[0]


def renew_key(connection: Connection, journal: Journal) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    assert journal.sealer is not None
    private = Ed25519PrivateKey.generate()
    raw = Secret(base64.b64encode(private.private_bytes_raw()).decode())
    put_setting(connection, "audit_private_key", journal.sealer.seal(raw, _CONTEXT))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    put_setting(connection, "audit_public_key", public)
    trusted = setting(connection, "audit_public_keys")
    put_setting(connection, "audit_public_keys", f"{trusted},{public}" if trusted else public)
    return public


def _key_pair(connection: Connection, journal: Journal) -> tuple[str, str]:
    """The installation's public key and its private one, sealed; made on first use, and if the sealing key was lost."""
    known: dict[str, str] = {row[0]: row[1] for row in connection.execute(_KEY_PAIR)}
    if not known.get("audit_public_key"):
        renew_key(connection, journal)
        return _key_pair(connection, journal)
    return known["audit_public_key"], known["audit_private_key"]


def _sign(sealer: Sealer, private: str, text: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    raw = sealer.open(private, _CONTEXT)
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(raw.reveal()))
    return base64.b64encode(key.sign(text.encode())).decode()


def signed_by(public: str, text: str, signature: str) -> bool:
    """Whether this text was signed with the private part of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(base64.b64decode(signature), text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def load(connection: Connection) -> list[dict[str, Any]]:
    """All checkpoints, oldest first, as they were written."""
    rows = connection.execute(select(_CHECKPOINTS).order_by(_CHECKPOINTS.c.n)).mappings()
    return [{**json.loads(row["body"]), "hash": row["hash"], "signature": row["signature"]} for row in rows]
