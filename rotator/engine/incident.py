"""Which keys die when a person orders that the leaked one die first.

Reads; nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rotator.core import incident
from rotator.core.plan import Key
from rotator.core.state import Phase
from rotator.engine import baseline, identity
from rotator.errors import RefusedError, RotatorError
from rotator.journal import cases, credentials
from rotator.journal.cases import Case
from rotator.journal.journal import Journal
from rotator.model import Credential
from rotator.playbook.playbook import Playbook


def targets(
    journal: Journal, playbook: Playbook, case: Case, key_id: str, now: float
) -> tuple[Key, ...]:
    """The keys to kill: the one that a person named, else the one in force and every older one that
    lives. Away from its node no store is asked: it would be another one.

    Raises RefusedError where nobody knows which key it is, or where one of them authenticates the
    making of another.
    """
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
    keys = (
        (_named(journal, playbook, key_id),)
        if key_id
        else incident.to_kill(case.rotation, case.debts, current)
    )
    if not keys and case.away:
        raise _nobody_knows(playbook, "its stores are another node's")
    if not keys:
        keys = (in_the_stores(journal, playbook, now),)
    for key in keys:
        _refuse_the_hand(journal, playbook, key)
    return keys


def replaces(
    journal: Journal, playbook: Playbook, case: Case, key_id: str, keys: tuple[Key, ...], now: float
) -> bool:
    """Whether one of these is in force, or on its way: then another one is brought out. Where
    nobody can tell, yes.

    A key that a person named may be anybody's: nobody else's key is touched for it.
    """
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
    rotation = case.rotation
    coming = rotation.new if rotation is not None and rotation.phase is not Phase.ENDED else None
    if not key_id or any(key.same(coming) for key in keys):
        return True
    if current is None:
        if case.away:
            return True
        try:
            current = in_the_stores(journal, playbook, now)
        except RefusedError:
            return True
    return any(key.same(current) for key in keys)


def _named(journal: Journal, playbook: Playbook, key_id: str) -> Key:
    """The key that a person named: one that the journal knows, or that the provider lists."""
    with journal.database.read() as connection:
        known = credentials.by_id(connection, playbook.name, key_id)
    if known is not None:
        return known
    records = _records(playbook)
    if records is not None and key_id not in {record.id for record in records}:
        raise RefusedError(
            f"nobody knows the key {key_id}: neither the journal nor the provider's"
            f" list{_told(records)}",
            "say `--key ID` with one of these; what is not listed there any more is dead",
        )
    return Key(key_id)


def in_the_stores(journal: Journal, playbook: Playbook, now: float) -> Key:
    """The journal knows no key of this playbook: the one that the stores hold, if that
    is certain.
    """
    why = "no store shows it"
    try:
        stores = baseline.read(journal, playbook, now, leaked=True)
        fingerprint = baseline.fingerprint(playbook, stores, fill_all=True, lost=True)
        held = stores.holding(fingerprint)
        if held is not None:
            credential = playbook.credential_in(held)
            listing = playbook.provider.inventory
            return identity.identify(journal, playbook, credential, now, listing, leaked=True)[0]
    except RotatorError as error:
        why = error.message
    raise _nobody_knows(playbook, why)


def _nobody_knows(playbook: Playbook, why: str) -> RefusedError:
    return RefusedError(
        f"nobody knows which key of {playbook.name} leaked: {why}{_told(_records(playbook) or [])}",
        f"name it: `rotate {playbook.name} --compromised --revoke-first --key ID`",
    )


def _records(playbook: Playbook) -> list[Any] | None:
    """What the provider lists; None where it cannot, or does not answer."""
    try:
        return list(playbook.provider.inventory())
    except RotatorError:
        return None


def _told(records: list[Any]) -> str:
    return identity.listed(records) if records else ""


def _refuse_the_hand(journal: Journal, playbook: Playbook, key: Key) -> None:
    """Without this key no other one could be made: it would be the last."""
    with journal.database.read() as connection:
        sealed = credentials.value_of(connection, journal.sealer, playbook.name, key)
    value = sealed or next(_held(journal, playbook, key), Credential({}, key.id, key.hint))
    if playbook.provider.authenticated_by(value):
        raise RefusedError(
            f"{key} is the very key by which {playbook.provider_name} makes keys: there would be no"
            " other one",
            f"`rotate {playbook.name} --compromised` makes the new one first; or give the playbook"
            " another administrator's credential, then say this again",
        )


def _held(journal: Journal, playbook: Playbook, key: Key) -> Iterator[Credential]:
    for entry in playbook.stores:
        try:
            held = entry.store.read()
        except (RotatorError, OSError):
            continue
        if held is not None and held.values and journal.fingerprint(held.values) == key.fingerprint:
            yield Credential(held.values, key.id, key.hint)
