"""Each key that the journal knows of a playbook: is it in force, does its provider still accept it? Only looks."""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core.state import DEAD_PHASES, Debt, Key
from rotator.errors import PluginError, RefusedError, Rejected, RotatorError
from rotator.journal import cases, credentials
from rotator.model import Credential
from rotator.playbook.playbook import Playbook
from rotator.service import Service


@dataclass(frozen=True, slots=True)
class Looked:
    """`alive` is what was seen now, None where nobody can tell; `how` says by what."""

    key: Key
    role: str
    alive: bool | None
    how: str


def look(service: Service, name: str, key_id: str = "") -> list[Looked]:
    """Raises ConfigError for a name that nobody knows, RefusedError for a key that the journal does not know."""
    loaded = service.playbooks()
    with service.journal.database.read() as connection:
        row = cases.playbook_row(connection, name)
        case = cases.load(connection, name)
        known = credentials.all_of(connection, name)
        current = cases.current_key(connection, name)
    if row is None and name not in loaded.playbooks:
        loaded.get(name)
    book = loaded.playbooks.get(name) or service.last_known(name)
    rotation = case.rotation if case.rotation is not None and case.rotation.outcome is None else None
    listed = _listed(book)
    found = []
    for key in known:
        if key_id and key_id not in (key.id, key.hint):
            continue
        debt = next((one for one in case.debts if one.key.same(key)), None)
        new = rotation is not None and key.same(rotation.new)
        role = "in force" if key.same(current) else "new, under way" if new else _role(debt)
        found.append(Looked(key, role, *_seen(service, book, key, listed)))
    if key_id and not found:
        if listed is None or key_id not in listed:
            raise RefusedError(f"neither the journal nor the provider's list knows {key_id}", f"`rotator keys {name}`")
        found.append(Looked(Key(key_id), "not of this journal", True, "the provider lists it"))
    return found


def _role(debt: Debt | None) -> str:
    if debt is None or not debt.open:
        return "old"
    return "old, proven dead" if debt.phase in DEAD_PHASES and debt.proof else f"old, {debt.phase}"


def _listed(book: Playbook) -> set[str] | None:
    """Ids of the active keys; None where the provider cannot list, or does not answer."""
    try:
        return {record.id for record in book.provider.inventory() if record.active}
    except (RotatorError, OSError):
        return None


def _seen(service: Service, book: Playbook, key: Key, listed: set[str] | None) -> tuple[bool | None, str]:
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
        return alive, "the provider lists it as active" if alive else "the provider lists it no more"
    return None, f"nobody can tell: {why}"


def _try(book: Playbook, value: Credential) -> None:
    """At its provider; by the playbook's probes where that has none. Raises PluginError where there is neither."""
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
        if held is not None and held.values and service.journal.fingerprint(held.values) == key.fingerprint:
            return Credential(held.values, key.id, key.hint)
    return None
