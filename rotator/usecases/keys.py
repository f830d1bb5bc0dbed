"""Each key of a playbook: is it in force, does its provider still accept it? Only looks.

Of those that the journal knows, that the stores hold, and that bear this playbook's label at the
provider.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rotator.core.debt_state import DEAD_PHASES, Debt
from rotator.core.plan import Key
from rotator.engine import foreign, incident
from rotator.errors import PluginError, RefusedError, Rejected, RotatorError
from rotator.journal import cases, credentials
from rotator.journal.cases import Case
from rotator.model import Credential, KeyRecord
from rotator.playbook.playbook import Playbook
from rotator.usecases.runtime import Runtime

_REFUSALS = 3  # in a row: one alone may be a passing mistake of the provider


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


@dataclass(frozen=True, slots=True)
class _Role:
    """A key, what it is to the playbook, and whether it is to live."""

    key: Key
    role: str
    wanted: bool


def look(runtime: Runtime, name: str, key_id: str = "") -> list[Looked]:
    """Each key, or the one with this id, tried now.

    Raises ConfigError for a name that nobody knows, RefusedError for a key that nobody knows.
    """
    loaded = runtime.playbooks()
    present = runtime.situation(name, loaded)
    if present.row is None and present.playbook is None:
        loaded.get(name)
    book = present.playbook or runtime.last_known(name)
    records = _records(book)
    listed = {record.id for record in records if record.active} if records is not None else None
    seen = [
        Looked(role.key, role.role, *_seen(runtime, book, role.key, listed), role.wanted)
        for role in _roles(runtime, book, present.case)
        if not key_id or key_id in (role.key.id, role.key.hint)
    ]
    seen += [
        looked
        for looked in _labelled(runtime, book, records or [])
        if not key_id or key_id == looked.key.id
    ]
    return seen or ([_foreign(name, key_id, listed)] if key_id else [])


def _foreign(name: str, key_id: str, listed: set[str] | None) -> Looked:
    """A key that only the provider knows. Raises RefusedError where it does not, either."""
    if listed is None:
        raise RefusedError(
            f"the journal does not know {key_id}, and nobody can be asked",
            "the provider does not answer, or lists no keys: look in its console; `rotator"
            f" keys {name}`",
        )
    if key_id not in listed:
        raise RefusedError(
            f"neither the journal nor the provider's list knows {key_id}",
            f"`rotator keys {name}`",
        )
    return Looked(Key(key_id), "not of this journal", True, "the provider lists it")


def _roles(runtime: Runtime, book: Playbook, case: Case) -> Iterator[_Role]:
    """Of each key that the journal knows, then of those that only a store holds."""
    with runtime.journal.database.read() as connection:
        known = credentials.all_of(connection, book.name)
        current = cases.current_key(connection, book.name)
    for key in known:
        yield _role(key, case, current)
    for key, store in _in_stores(runtime, book):
        if not any(key.same(other) for other in known):
            with contextlib.suppress(RotatorError):  # its id, where it is certain
                sure = incident.in_the_stores(runtime.journal, book, runtime.clock.now())
                key = replace(key, id=sure.id) if sure.same(key) else key
            role = f"in {store}, and the journal does not know it"
            yield _Role(key, role, current is None)


def _role(key: Key, case: Case, current: Key | None) -> _Role:
    rotation = case.unfinished
    if rotation is not None and rotation.compromised and key.same(rotation.old):
        return _Role(key, "in force, and leaked", False)
    if key.same(current):
        return _Role(key, "in force", True)
    if rotation is not None and key.same(rotation.new):
        return _Role(key, "new, under way", True)
    debt = next((debt for debt in case.debts if debt.key.same(key)), None)
    return _Role(key, _of_old(debt), False)


def _of_old(debt: Debt | None) -> str:
    if debt is None or not debt.open:
        return "old"
    return "old, proven dead" if debt.phase in DEAD_PHASES and debt.proof else f"old, {debt.phase}"


def _in_stores(runtime: Runtime, book: Playbook) -> list[tuple[Key, str]]:
    """What the stores hold now, each key once, with the first store that holds it."""
    keys: list[tuple[Key, str]] = []
    for store, credential in _stored(book):
        key = runtime.journal.key_of(credential)
        if not any(key.same(other) for other, _ in keys):
            keys.append((key, store))
    return keys


def _stored(book: Playbook) -> Iterator[tuple[str, Credential]]:
    """The credential in each store that can be read now."""
    for entry in book.stores:
        try:
            content = entry.store.read()
        except (RotatorError, OSError):
            continue
        if content is not None and content.values:
            yield entry.name, book.credential_in(content)


def _labelled(runtime: Runtime, book: Playbook, records: Sequence[KeyRecord]) -> list[Looked]:
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
        for unknown in foreign.unknown_to_the_journal(runtime.journal, book, records)
    ]


def _records(book: Playbook) -> list[KeyRecord] | None:
    """None where the provider cannot list, or does not answer."""
    try:
        return list(book.provider.inventory())
    except (RotatorError, OSError):
        return None


def _seen(
    runtime: Runtime, book: Playbook, key: Key, listed: set[str] | None
) -> tuple[bool | None, str]:
    """By the key itself, three times where it is refused; else by the list."""
    value = _value(runtime, book, key)
    why = "its value is not known any more"
    if value is not None:
        try:
            for _ in range(_REFUSALS):
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
        how = "the provider lists it as active" if alive else "the provider lists it no more"
        return alive, how
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


def _value(runtime: Runtime, book: Playbook, key: Key) -> Credential | None:
    """As the journal has it sealed, else as a store holds it."""
    with runtime.journal.database.read() as connection:
        sealed = credentials.value_of(connection, runtime.journal.sealer, book.name, key)
    if sealed is not None:
        return Credential(sealed.values, key.id, key.hint)
    for _, credential in _stored(book):
        if runtime.journal.fingerprint(credential.values) == key.fingerprint:
            return Credential(credential.values, key.id, key.hint)
    return None
