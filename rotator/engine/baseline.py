"""Reading what stores hold before anything is made, and refusing what is no baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rotator import stand_in
from rotator.core import baseline as core
from rotator.core.baseline import Refusal, StoreState, Why
from rotator.core.plan import Key
from rotator.engine.identity import ADOPT
from rotator.errors import RefusedError
from rotator.journal import cases, credentials, versions
from rotator.journal.journal import Journal
from rotator.model import Held
from rotator.playbook.playbook import Playbook, StoreEntry
from rotator.secret import Secret, hint_of


@dataclass(frozen=True)
class Stores:
    """What each store holds, by its name; and the journal's current key."""

    held: Mapping[str, Held | None]
    current: Key | None
    states: tuple[StoreState, ...]
    # Fingerprints, of those that are held, that the journal knows as keys of this playbook
    own: frozenset[str]

    @property
    def versions(self) -> tuple[str, ...]:
        return tuple(held.version if held else "" for held in self.held.values())

    @property
    def untold(self) -> tuple[str, ...]:
        """Stores that hold something which nobody can read, and which rotator never wrote."""
        return tuple(one.name for one in self.states if one.fingerprint is None and not one.wrote)

    def spelled(self, fingerprint: str) -> dict[str, Secret]:
        """How the key stands in each store that has ways to write it."""
        names = [state.name for state in self.states if state.fingerprint == fingerprint]
        spellings = {name: held.spelled for name in names if (held := self.held[name]) is not None}
        return {name: spelled for name, spelled in spellings.items() if spelled is not None}

    def holding(self, fingerprint: str) -> Held | None:
        """A store's content with this key, one that rotator writes before one that follows."""
        states = sorted(self.states, key=lambda state: state.follows)
        return next(
            (self.held[s.name] for s in states if s.fingerprint and s.fingerprint == fingerprint),
            None,
        )


def read(journal: Journal, playbook: Playbook, now: float, leaked: bool = False) -> Stores:
    """What every store holds, read now.

    Raises RefusedError where a note says that another rotator, or an unknown rotation, wrote a
    store; not where the key `leaked`: it must go from there whoever wrote it.
    """
    held = {entry.name: entry.store.read() for entry in playbook.stores}
    _refuse_stand_ins(held)
    if not leaked:
        _refuse_strangers_notes(journal, playbook, held)
    prints = {name: _print(journal, content) for name, content in held.items()}
    with journal.database.read() as connection:
        current = cases.current_key(connection, playbook.name)
        own = frozenset(
            p for p in set(prints.values()) if p and credentials.known(connection, playbook.name, p)
        )
        rows = {name: versions.last_write(connection, playbook.name, name) for name in held}
    youngest = max((row["at"] for row in rows.values() if row), default=float("-inf"))
    recent = now - youngest < playbook.plan.policy.deadline
    states = tuple(
        _state(entry, held[entry.name], prints[entry.name], rows[entry.name], current, recent, own)
        for entry in playbook.stores
    )
    return Stores(held, current, states, own)


def _print(journal: Journal, held: Held | None) -> str | None:
    """The fingerprint of what is held: "" nothing, None cannot tell."""
    if held is None:
        return ""
    if held.values is None:
        return None
    return journal.fingerprint(held.values) if held.values else ""


def _state(
    entry: StoreEntry,
    held: Held | None,
    fingerprint: str | None,
    row: Mapping[str, str] | None,
    current: Key | None,
    recent: bool,
    own: frozenset[str],
) -> StoreState:
    state = StoreState(
        entry.name,
        fingerprint,
        entry.create,
        entry.follows,
        lagging=entry.follows and recent and fingerprint in own,
    )
    if held is None or fingerprint is not None or row is None or not held.version:
        return state
    if row["version"] == held.version:
        return StoreState(entry.name, None, entry.create, entry.follows, wrote=row["fingerprint"])
    ours = held.note is not None and current is not None and held.note.key_id == current.id
    return StoreState(entry.name, None, entry.create, entry.follows, changed=not ours)


def fingerprint(playbook: Playbook, stores: Stores, fill_all: bool, lost: bool) -> str:
    """That of the key that all stores hold, "" where none tells.

    Raises RefusedError where they are no baseline.
    """
    current = stores.current.fingerprint if stores.current else ""
    agreed = core.baseline(stores.states, current, stores.own, fill_all, lost)
    if isinstance(agreed, Refusal):
        raise RefusedError(*_words(playbook, stores, agreed))
    return agreed.fingerprint


def _words(playbook: Playbook, stores: Stores, refusal: Refusal) -> tuple[str, str]:
    name, first = playbook.name, refusal.stores[0]
    match refusal.why:
        case Why.EMPTY:
            return (
                "; ".join(f"{store} {refusal.why}" for store in refusal.stores),
                (
                    "is the path right, and the variable or field in it? `create: true` in the"
                    " playbook if this is to be its first key"
                ),
            )
        case Why.DISAGREE:
            shown = ", ".join(_holds(playbook, stores, store) for store in refusal.stores)
            return f"the stores disagree: {shown}", "put the right key into each, then rotate again"
        case Why.LOST:
            return (
                "; ".join(f"{store} {refusal.why} ({stores.current})" for store in refusal.stores),
                (
                    f"is the path right? Put it back; if it is lost, `rotate {name} --compromised`"
                    " makes another"
                ),
            )
        case Why.CHANGED:
            return f"{first} {refusal.why}", "find out who; then " + ADOPT.format(name=name)
    return (
        (
            f"{_holds(playbook, stores, first)}, which is not the key that this journal knows"
            f" ({stores.current})"
        ),
        "is the path right, and the variable or field in it? If it is the key in use, "
        + ADOPT.format(name=name),
    )


def _holds(playbook: Playbook, stores: Stores, name: str) -> str:
    held = stores.held[name]
    if held is None or not held.values:
        return f"{name} holds the key of our last write"
    return f"{name} holds {hint_of(playbook.credential_in(held).primary.reveal())}"


def _refuse_stand_ins(held: Mapping[str, Held | None]) -> None:
    """What is encrypted, or refers to the key, is no key; and nobody would see where it went."""
    for name, content in held.items():
        for value in (content.values or {}).values() if content is not None else ():
            text, hint = stand_in.told(value.reveal())
            if text:
                raise RefusedError(f"{name} holds {text}", hint)


def _refuse_strangers_notes(
    journal: Journal, playbook: Playbook, held: Mapping[str, Held | None]
) -> None:
    notes = [
        content.note.rotation
        for content in held.values()
        if content is not None and content.note is not None
    ]
    with journal.database.read() as connection:
        known = cases.known_rotations(connection, playbook.name, notes)
    for name, content in held.items():
        note = content.note if content else None
        if note is None:
            continue
        if note.installation != journal.installation:
            raise RefusedError(
                f"{name} was written by another rotator (installation {note.installation})",
                ADOPT.format(name=playbook.name),
            )
        if note.rotation not in known:
            with journal.database.read() as connection:
                row = cases.find_rotation(connection, note.rotation)
            if row is not None:
                other = row["playbook"]
                raise RefusedError(
                    f"{name} was written by a rotation of the playbook {other}",
                    f"was it renamed? `rotator rename {other} {playbook.name}`; else a store"
                    " belongs to one playbook",
                )
            raise RefusedError(
                f"{name} was written by a rotation that this journal does not know"
                f" ({note.rotation})",
                "was the journal restored from a backup? " + ADOPT.format(name=playbook.name),
            )
