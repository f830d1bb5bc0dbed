"""A rotation takes stores, restarters and probes as the playbook says today: by a person's order,
shown and audited.

A store that it wrote stays under look and undo though the playbook names it no longer, unless a
person gives it up.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rotator.core import resume
from rotator.core.debt_state import Debt
from rotator.core.plan import Key
from rotator.core.state import Phase, Rotation
from rotator.engine import identity
from rotator.engine.holder import Holder
from rotator.errors import ConfigError, RefusedError
from rotator.journal import cases, credentials
from rotator.model import Credential, Held
from rotator.playbook.playbook import Playbook

TAKEN = ("store", "restart", "evidence", "verify")


@dataclass(frozen=True)
class _Taken:
    """What one rotation goes on with."""

    rotation: str
    definition: str
    book: Playbook
    differences: tuple[str, ...]


def differences(then: Mapping[str, Any], today: Mapping[str, Any]) -> tuple[str, ...]:
    """What of the parts that can be taken differs, a line each."""
    return tuple(line for part in TAKEN for line in _of_part(part, then.get(part), today.get(part)))


def _of_part(part: str, then: Any, today: Any) -> Iterator[str]:
    before, after = _entries(then), _entries(today)
    yield from (f"{part}: no longer {_shown(entry)}" for entry in before if entry not in after)
    yield from (f"{part}: now {_shown(entry)}" for entry in after if entry not in before)


def _entries(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _shown(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    return ", ".join(f"{name} {found}" for name, found in entry.items())


def take(holder: Holder, given_up: Collection[str]) -> tuple[str, ...]:
    """What differs, now taken by the unfinished rotation and by every old key.

    Raises RefusedError, ConfigError.
    """
    book = holder.books.today
    if book is None:
        raise ConfigError(
            f"the playbook {holder.playbook} is gone",
            "put it back, or `rotator rename` its history",
        )
    rotation = holder.case.rotation
    running = rotation if rotation is not None and rotation.phase is not Phase.ENDED else None
    debts = [debt for debt in holder.case.debts if debt.open]
    ids = dict.fromkeys([*([running.id] if running else []), *(debt.rotation for debt in debts)])
    taken = {one: _taken(holder, one, book, given_up) for one in ids}
    fresh, old = (
        ({}, None) if running is None else _new_stores(holder, running, taken[running.id].book)
    )
    told = tuple(dict.fromkeys(line for one in taken.values() for line in one.differences))
    with holder.writing() as writing:
        for one in taken.values():
            cases.set_definition(writing.connection, one.rotation, one.definition)
        for debt in debts:
            writing.put_debt(debt, resume.owed_as_today(debt, taken[debt.rotation].book.plan))
        if running is not None:
            if old is not None:
                sealer, now = holder.journal.sealer, holder.clock.now()
                credentials.keep(
                    writing.connection, sealer, holder.playbook, running.id, old[0], old[1], now
                )
            versions = {name: held.version if held else "" for name, held in fresh.items()}
            plan = taken[running.id].book.plan
            changed = resume.as_today(running, plan, versions, old[0] if old else None)
            writing.record(
                running,
                "order",
                order="resume as today",
                differences=list(told),
                given_up=list(given_up),
            )
            writing.put_rotation(running, changed)
        elif debts:
            writing.record(debts[0], "order", order="resume as today", differences=list(told))
    holder.books.opened.clear()
    return told


def _taken(holder: Holder, rotation: str, today: Playbook, given_up: Collection[str]) -> _Taken:
    with holder.journal.database.read() as connection:
        row = cases.find_rotation(connection, rotation)
    assert row is not None
    kept = json.loads(row["definition"])
    then = holder.books.of(rotation)
    data = copy.deepcopy(kept["data"])
    told = differences(data, today.definition)
    for part in TAKEN:
        data.pop(part, None)
        if part in today.definition:
            data[part] = copy.deepcopy(today.definition[part])
    written = _written(holder, rotation, then) - _named(then, today) - set(given_up)
    data["store"] = [*_entries(data["store"]), *_kept_entries(kept, then, written)]
    definition = json.dumps({**kept, "data": data})
    return _Taken(rotation, definition, holder.books.load(definition), told)


def _written(holder: Holder, rotation: str, then: Playbook) -> set[str]:
    """Stores that this rotation wrote, or may have."""
    with holder.journal.database.read() as connection:
        row = cases.find_rotation(connection, rotation)
    state = cases.state_of(row)
    writes = zip(state.plan.stores, state.writes, strict=False)
    names = {store.name for store, write in writes if write.intended}
    # Begun when two could have one name: each of them may have been written
    return {one.name for one in then.stores if not names.isdisjoint((one.name, one.store.name))}


def _named(then: Playbook, today: Playbook) -> set[str]:
    """Stores that today's playbook has, too, by their names of then: who is alone by now has no
    name that tells it apart.
    """
    names, stores = {one.name for one in today.stores}, [one.store for one in today.stores]
    return {one.name for one in then.stores if one.name in names or one.store in stores}


def _kept_entries(kept: Mapping[str, Any], then: Playbook, written: Collection[str]) -> list[Any]:
    """The old playbook's entries of stores that stay.

    Raises RefusedError where one means others, too.
    """
    found = []
    for index, entry in enumerate(_entries(kept["data"]["store"])):
        names = {one.name for one in then.stores if one.entry == index}
        if names & set(written):
            if not names <= set(written):
                left = ", ".join(sorted(names & set(written)))
                hint = f"`--give-up {left}` says that nobody looks there any more"
                raise RefusedError(
                    f"{left} was written, and stands in one entry with stores that stay", hint
                )
            found.append(entry)
    return found


def _new_stores(
    holder: Holder, rotation: Rotation, book: Playbook
) -> tuple[dict[str, Held | None], tuple[Key, Credential] | None]:
    """What the stores hold that this rotation did not have; and the key in force, where only they
    show it.

    Raises RefusedError where one holds another key: it would be written over.
    """
    if not rotation.writes:  # preflight will see to it
        return {}, None
    had = {store.name for store in rotation.plan.stores}
    held: dict[str, Held | None] = {}
    old: tuple[Key, Credential] | None = None
    mine = {key.fingerprint for key in (rotation.old, rotation.new) if key is not None}
    for entry in book.stores:
        if entry.name in had:
            continue
        found = held[entry.name] = entry.store.read()
        if found is None and not entry.create:
            hint = (
                "is the path right, and the variable or field in it? `create: true` if it is to get"
                " its first key"
            )
            raise RefusedError(f"{entry.name} holds no key", hint)
        if found is None or not found.values:
            continue
        if holder.journal.fingerprint(found.values) in mine:
            continue
        if rotation.old is not None or old is not None:
            raise RefusedError(
                f"{entry.name} holds a key that is neither the old nor the new one of this"
                " rotation",
                "put the right one there, or take the store out of the playbook again",
            )
        value, now = book.credential_in(found), holder.clock.now()
        key, _ = identity.identify(holder.journal, book, value, now, book.provider.inventory)
        old = key, Credential(found.values, key.id, key.hint)
        mine.add(key.fingerprint)
    return held, old


def differs(holder: Holder, unit: Rotation | Debt) -> tuple[str, ...]:
    """What today's playbook says otherwise than the one that this goes by."""
    if holder.books.today is None:
        return ()
    of = unit.id if isinstance(unit, Rotation) else unit.rotation
    with holder.journal.database.read() as connection:
        row = cases.find_rotation(connection, of)
    return (
        differences(json.loads(row["definition"])["data"], holder.books.today.definition)
        if row
        else ()
    )
