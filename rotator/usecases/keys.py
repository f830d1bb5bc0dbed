"""Each key of a playbook: is it in force, does its provider still accept it? Only looks.

Of those that the journal knows, that the stores hold, and that bear this playbook's label at the
provider.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.engine import identity, incident
from rotator.errors import PluginError, RefusedError, Rejected, RotatorError
from rotator.journal import cases, credentials
from rotator.model import Credential, KeyRecord
from rotator.playbook.playbook import Playbook
from rotator.usecases.service import Service


@dataclass(frozen=True, slots=True)
class Looked:
    """`alive` is what was seen now, None where nobody can tell; `how` says by what."""

    key: Key
    role: str
    alive: bool | None
    how: str
    wanted: bool = False  # whether it is as it should be if it lives

    @property
    def right(self) -> bool:
        return self.alive is self.wanted


def look(service: Service, name: str, key_id: str = "") -> list[Looked]:
    """Raises ConfigError for a name that nobody knows, RefusedError for a key that nobody knows."""
    loaded = service.playbooks()
    with service.journal.database.read() as connection:
        row = cases.playbook_row(connection, name)
        case = cases.load(connection, name)
        known = credentials.all_of(connection, name)
        current = cases.current_key(connection, name)
    if row is None and name not in loaded.playbooks:
        loaded.get(name)
    book = loaded.playbooks.get(name) or service.last_known(name)
    rotation = (
        case.rotation if case.rotation is not None and case.rotation.outcome is None else None
    )
    records = _records(book)
    listed = {record.id for record in records if record.active} if records is not None else None
    leaked = rotation.old if rotation is not None and rotation.compromised else None
    found = []
    for key in known:
        debt = next((one for one in case.debts if one.key.same(key)), None)
        new = rotation is not None and key.same(rotation.new)
        if key.same(leaked):
            role, wanted = "in force, and leaked", False
        elif key.same(current) or new:
            role, wanted = "in force" if key.same(current) else "new, under way", True
        else:
            role, wanted = _role(debt), False
        found.append((key, role, wanted))
    for key, where in _in_stores(service, book):
        if not any(key.same(one) for one in known):
            with contextlib.suppress(RotatorError):  # its id, where it is certain
                sure = incident.in_the_stores(service.journal, book, service.clock.now())
                key = replace(key, id=sure.id) if sure.same(key) else key
            found.append((key, f"in {where}, and the journal does not know it", current is None))
    seen = [
        Looked(key, role, *_seen(service, book, key, listed), wanted)
        for key, role, wanted in found
        if not key_id or key_id in (key.id, key.hint)
    ]
    seen += [
        one for one in _labelled(service, book, records or []) if not key_id or key_id == one.key.id
    ]
    if key_id and not seen:
        if listed is None:
            hint = (
                "the provider does not answer, or lists no keys: look in its console; `rotator"
                f" keys {name}`"
            )
            raise RefusedError(f"the journal does not know {key_id}, and nobody can be asked", hint)
        if key_id not in listed:
            raise RefusedError(
                f"neither the journal nor the provider's list knows {key_id}",
                f"`rotator keys {name}`",
            )
        seen.append(Looked(Key(key_id), "not of this journal", True, "the provider lists it"))
    return seen


def _in_stores(service: Service, book: Playbook) -> list[tuple[Key, str]]:
    """What the stores hold now, each key once, with the first store that holds it."""
    found: list[tuple[Key, str]] = []
    for entry in book.stores:
        try:
            held = entry.store.read()
        except (RotatorError, OSError):
            continue
        if held is not None and held.values:
            key = service.journal.key_of(book.credential_in(held))
            if not any(key.same(other) for other, _ in found):
                found.append((key, entry.name))
    return found


def _labelled(service: Service, book: Playbook, records: Sequence[KeyRecord]) -> list[Looked]:
    """Keys that bear this playbook's label, and that the journal does not know: from a journal that
    was lost.
    """
    return [
        Looked(
            Key(unknown.record.id, hint=unknown.record.hint or ""),
            unknown.origin,
            unknown.record.active,
            "the provider lists it",
        )
        for unknown in identity.unknown_to_the_journal(service.journal, book, records)
    ]


def _role(debt: Debt | None) -> str:
    if debt is None or not debt.open:
        return "old"
    return "old, proven dead" if debt.phase in DEAD_PHASES and debt.proof else f"old, {debt.phase}"


def _records(book: Playbook) -> list[KeyRecord] | None:
    """None where the provider cannot list, or does not answer."""
    try:
        return list(book.provider.inventory())
    except (RotatorError, OSError):
        return None


def _seen(
    service: Service, book: Playbook, key: Key, listed: set[str] | None
) -> tuple[bool | None, str]:
    """By the key itself, three times where it is refused; else by the list."""
    value = _value(service, book, key)
    why = "its value is not known any more"
    if value is not None:
        try:
            for _ in range(3):
                try:
                    _try(book, value)
                    return True, "it works: it was accepted just now"
                except Rejected:
                    continue
            return False, "it was refused just now, three times"
        except PluginError as error:
            why = error.message
    if listed is not None and key.id:
        alive = key.id in listed
        return (
            alive,
            "the provider lists it as active" if alive else "the provider lists it no more",
        )
    return None, f"nobody can tell: {why}"


def _try(book: Playbook, value: Credential) -> None:
    """At its provider; by the playbook's probes where that has none.

    Raises PluginError where there is neither.
    """
    others = [probe for probe in book.probes if probe.name != "provider"]
    try:
        book.provider.probe(value)
    except PluginError as error:
        if isinstance(error, Rejected) or not others:
            raise
        for probe in others:
            probe.probe(value)


def _value(service: Service, book: Playbook, key: Key) -> Credential | None:
    with service.journal.database.read() as connection:
        sealed = credentials.value_of(connection, service.journal.sealer, book.name, key)
    if sealed is not None:
        return Credential(sealed.values, key.id, key.hint)
    for entry in book.stores:
        try:
            held = entry.store.read()
        except (RotatorError, OSError):
            continue
        if (
            held is not None
            and held.values
            and service.journal.fingerprint(held.values) == key.fingerprint
        ):
            return Credential(held.values, key.id, key.hint)
    return None
