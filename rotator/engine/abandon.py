"""A rotation is over by a person's order: what the stores hold is in force, or what the person
says.
"""

from __future__ import annotations

from dataclasses import dataclass

from rotator.core import incident
from rotator.core.order import ABANDONED
from rotator.core.plan import Key
from rotator.core.state import Cause, Phase, Rotation
from rotator.engine.holder import Holder
from rotator.errors import RefusedError, RotatorError
from rotator.journal import cases, credentials, versions
from rotator.playbook.playbook import StoreEntry


@dataclass(frozen=True, slots=True)
class Holds:
    """What one store holds: a key that the journal knows, a value that it does not, or in words why
    neither.
    """

    store: str
    key: Key | None
    known: bool
    text: str


def abandon(holder: Holder, key_id: str, reason: str, who: str = "") -> Key | None:
    """The key that is in force from now on.

    Raises RefusedError, store by store, where only a person can say which.
    """
    rotation = holder.case.rotation
    if rotation is None or rotation.phase is Phase.ENDED:
        raise RefusedError(
            f"{holder.playbook} has no unfinished rotation", "`rotator status` shows how it stands"
        )
    written = any(write.intended for write in rotation.writes)
    held = _held(holder, rotation) if written or key_id else []
    current = (
        _named(holder, rotation, key_id, held)
        if key_id
        else rotation.old
        if not written
        else _agreed(held)
    )
    if current is None and written:
        names = ", ".join(str(key) for key in (rotation.old, rotation.new) if key is not None)
        raise RefusedError(
            "the stores do not agree: " + "; ".join(f"{one.store} {one.text}" for one in held),
            f"say which key is in force: `rotator abandon {holder.playbook} --current ID`"
            f" ({names})",
        )
    with holder.writing() as writing:
        key = str(current) if current else None
        writing.record(rotation, "order", order="abandon", reason=reason, key=key, by=who or None)
        writing.put_rotation(
            rotation, incident.over(rotation, ABANDONED, current, at=holder.clock.now())
        )
        if current is not None:
            cases.set_current(writing.connection, holder.playbook, current)
        strange = {
            one.key.fingerprint: one.key for one in held if one.key is not None and not one.known
        }
        writing.owe(
            tuple(key for key in strange.values() if not key.same(current)), Cause.UNDECIDED
        )
    return current


def _held(holder: Holder, rotation: Rotation) -> list[Holds]:
    """Every store of the rotation's playbook and of today's."""
    books = [holder.books.of(rotation.id), *([holder.books.today] if holder.books.today else [])]
    entries = {entry.name: entry for book in books for entry in book.stores}
    return [_of(holder, entry) for entry in entries.values()]


def _of(holder: Holder, entry: StoreEntry) -> Holds:
    name, journal = holder.playbook, holder.journal
    try:
        held = entry.store.read()
    except (RotatorError, OSError) as error:
        return Holds(entry.name, None, False, f"cannot be read: {error}")
    if held is None:
        return Holds(entry.name, None, False, "holds no key")
    with journal.database.read() as connection:
        row = versions.last_write(connection, name, entry.name) if held.values is None else None
        ours = row is not None and row["version"] == held.version
        print_ = (
            journal.fingerprint(held.values)
            if held.values
            else row["fingerprint"]
            if row and ours
            else ""
        )
        known = credentials.known(connection, name, print_) if print_ else None
    if known is not None:
        return Holds(entry.name, known, True, f"holds {known}")
    if not held.values:
        return Holds(entry.name, None, False, "cannot tell what it holds")
    key = journal.key_of(holder.books.of(holder.case.rotation.id).credential_in(held))  # type: ignore[union-attr]
    return Holds(entry.name, key, False, f"holds {key.hint}, which the journal does not know")


def _agreed(held: list[Holds]) -> Key | None:
    """The one key that every store holds."""
    keys = [one.key if one.known else None for one in held]
    first = keys[0] if keys else None
    return first if first is not None and all(first.same(key) for key in keys) else None


def _named(holder: Holder, rotation: Rotation, key_id: str, held: list[Holds]) -> Key:
    """The key that a person named: one of this rotation, of the stores, of the journal, or of the
    provider's list.
    """
    keys = [
        key for key in (rotation.old, rotation.new, *(one.key for one in held)) if key is not None
    ]
    found = next((key for key in keys if key_id in (key.id, key.hint)), None)
    if found is not None:
        return found
    with holder.journal.database.read() as connection:
        known = credentials.by_id(connection, holder.playbook, key_id)
    if known is not None:
        return known
    try:
        listed = holder.books.of(rotation.id).provider.inventory()
    except RotatorError:
        listed = []
    if any(record.id == key_id for record in listed):
        return Key(key_id)
    names = ", ".join(dict.fromkeys(str(key) for key in keys))
    raise RefusedError(f"nobody knows the key {key_id}", f"one of these: {names}" if names else "")
