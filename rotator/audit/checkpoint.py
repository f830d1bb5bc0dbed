"""Signed checkpoints over the heads of all chains: a cut tail shows against any checkpoint that
left the machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, func, insert, select

from rotator.audit import chain
from rotator.audit.record import GENESIS, Actor, canonical, rfc3339
from rotator.journal import anchor, tables
from rotator.journal.anchor import Anchor
from rotator.journal.database import serialise
from rotator.journal.journal import Journal
from rotator.journal.sealing import Sealer
from rotator.journal.settings import put_setting, setting
from rotator.secret import Secret, redact

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_CONTEXT, _PRIVATE = "audit signing key", "audit_private_key"
_NAMED = 20  # mistakes of a broken log that the next one names

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
_KEY_PAIR = select(_SETTINGS.name, _SETTINGS.value).where(
    _SETTINGS.name.in_(("audit_public_key", "audit_private_key"))
)


def add(connection: Connection, journal: Journal, at: float) -> dict[str, Any] | None:
    """Sign the heads of the chains that grew since the last checkpoint.

    None where nothing grew or nothing can sign; also where the checkpoints are not as the journal
    remembers them: that is remembered, and nothing is signed until a person begins anew.
    """
    serialise(connection)
    if journal.sealer is None:
        return None
    known = anchor.load(connection, journal.sealer)
    if wrong := lost(connection, known):
        if not known.broken:
            anchor.save(connection, journal.sealer, replace(known, broken=wrong))
        return None
    upto = connection.execute(_UPTO).scalar() or 0
    if upto <= known.upto:
        return None
    return _sign(connection, journal.sealer, at, replace(known, upto=upto), known.upto)


def standing(connection: Connection, journal: Journal) -> str:
    """The same by the journal's own memory, which the sealing key opens."""
    if journal.sealer is None:
        return f"nobody can tell whether these are the last checkpoints: {journal.no_key.message}"
    return lost(connection, anchor.load(connection, journal.sealer))


def covers(connection: Connection, journal: Journal) -> int | None:
    """The number of the last record that is signed; None where nothing can be signed, or the
    checkpoints are lost.
    """
    if journal.sealer is None:
        return None
    known = anchor.load(connection, journal.sealer)
    return None if lost(connection, known) else known.upto


def lost(connection: Connection, known: Anchor) -> str:
    """What of the checkpoints is not as the journal remembers it, or ''."""
    if known.broken:
        return known.broken
    last = connection.execute(_LAST).mappings().first()
    there = (last["n"], last["hash"], hash_of(last["body"])) if last else (0, GENESIS, GENESIS)
    if there != (known.n, known.hash, known.hash):
        said = f"the last one here is {there[0]}" if last else "there is none"
        return (
            f"the journal remembers that it signed checkpoint {known.n} ({known.hash[:12]}…), and"
            f" {said}"
        )
    if (connection.execute(_UPTO).scalar() or 0) < known.upto:
        return f"records are gone that checkpoint {known.n} covers"
    if known.keys and not setting(connection, _PRIVATE):
        return "the key that signs checkpoints is gone"
    return ""


def restart(
    connection: Connection,
    journal: Journal,
    at: float,
    actor: Actor,
    reason: str,
    mistakes: Sequence[str],
) -> dict[str, Any]:
    """Begin anew after a log that is broken; the first checkpoint names it for ever, with who said
    so and why.

    Raises JournalError without the sealing key.
    """
    serialise(connection)
    if journal.sealer is None:
        raise journal.no_key
    known = anchor.load(connection, journal.sealer)
    last = connection.execute(_LAST).mappings().first()
    named = {
        "by": actor.text,
        "reason": redact(reason),
        "remembered": {"checkpoint": known.n, "hash": known.hash},
        "found": [redact(mistake) for mistake in mistakes[:_NAMED]],
        "mistakes": len(mistakes),
    }
    found, many = named["found"], len(mistakes)
    chain.append(
        connection,
        chain.INSTALLATION,
        at,
        "audit restarted",
        actor,
        reason=reason,
        found=found,
        mistakes=many,
    )
    if not setting(connection, _PRIVATE):
        put_setting(connection, "audit_public_key", "")
    begun = Anchor(
        max(known.n, last["n"] if last else 0),
        GENESIS,
        connection.execute(_UPTO).scalar() or 0,
        known.keys,
    )
    return _sign(connection, journal.sealer, at, begun, 0, named)


def _sign(
    connection: Connection,
    sealer: Sealer,
    at: float,
    known: Anchor,
    since: int,
    restarted: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The next checkpoint over what was written after `since`, up to what the anchor says."""
    private = _private_key(connection, sealer)
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    body = {
        "checkpoint": known.n + 1,
        "time": rfc3339(at),
        "upto": known.upto,
        "heads": _heads(connection, since, known.upto),
        "prev": known.hash,
        "key": public,
        **({"restart": restarted} if restarted else {}),
    }
    text = canonical(body)
    signature = base64.b64encode(private.sign(text.encode())).decode()
    signed = {
        "n": body["checkpoint"],
        "upto": known.upto,
        "body": text,
        "hash": hash_of(text),
        "signature": signature,
    }
    connection.execute(_ADD, signed)
    keys = known.keys if public in known.keys else (*known.keys, public)
    anchor.save(connection, sealer, Anchor(known.n + 1, hash_of(text), known.upto, keys))
    return {**body, "hash": hash_of(text), "signature": signature}


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _heads(connection: Connection, since: int, upto: int) -> dict[str, list[Any]]:
    found = connection.execute(_HEADS, {"since": since, "upto": upto})
    return {row[0]: [row[1], row[2]] for row in found}


def public_key(connection: Connection, journal: Journal) -> str:
    """The installation's Ed25519 public key, base64; made on first use."""
    if journal.sealer is not None:
        _private_key(connection, journal.sealer)
    return setting(connection, "audit_public_key")


def renew_key(connection: Connection, journal: Journal) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    assert journal.sealer is not None
    return _keep(connection, journal.sealer, Ed25519PrivateKey.generate())


def _keep(connection: Connection, sealer: Sealer, private: Ed25519PrivateKey) -> str:
    raw = Secret(base64.b64encode(private.private_bytes_raw()).decode())
    put_setting(connection, _PRIVATE, sealer.seal(raw, _CONTEXT))
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    put_setting(connection, "audit_public_key", public)
    trusted = setting(connection, "audit_public_keys")
    put_setting(connection, "audit_public_keys", f"{trusted},{public}" if trusted else public)
    return public


def _private_key(connection: Connection, sealer: Sealer) -> Ed25519PrivateKey:
    """The installation's key; made on first use, and if the sealing key was lost."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    found: dict[str, str] = {row[0]: row[1] for row in connection.execute(_KEY_PAIR)}
    if found.get("audit_public_key") and (sealed := found.get(_PRIVATE)):
        return Ed25519PrivateKey.from_private_bytes(
            base64.b64decode(sealer.open(sealed, _CONTEXT).reveal())
        )
    private = Ed25519PrivateKey.generate()
    _keep(connection, sealer, private)
    return private


def signed_by(public: str, text: str, signature: str) -> bool:
    """Whether this text was signed with the private part of this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(
            base64.b64decode(signature), text.encode()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def load(connection: Connection) -> list[dict[str, Any]]:
    """All checkpoints, oldest first, as they were written; of one that is damaged, what the columns
    tell.
    """
    found = []
    for row in connection.execute(select(_CHECKPOINTS).order_by(_CHECKPOINTS.c.n)).mappings():
        try:
            body = json.loads(row["body"])
        except (ValueError, RecursionError):
            body = {}
        whole = (
            isinstance(body, dict)
            and body.get("checkpoint") == row["n"]
            and canonical(body) == row["body"]
        )
        told = body if whole else {"checkpoint": row["n"], "damaged": True}
        found.append({**told, "hash": row["hash"], "signature": row["signature"]})
    return found
