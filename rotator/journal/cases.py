"""Rotations and debts as rows: a case is all that is unfinished of one playbook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from rotator.core import debt as debt_machine
from rotator.core import machine
from rotator.core.action import Ask, Call, WaitUntil
from rotator.core.state import Debt, Key, Phase, Rotation
from rotator.journal import codec, tables

FOREVER = 4e9


@dataclass(frozen=True, slots=True)
class Case:
    """The active rotation (or the last one, ended) and the debts that its playbook has."""

    rotation: Rotation | None
    debts: tuple[Debt, ...]
    intent: Call | None = None
    intent_of: str = ""  # id of the rotation or debt that the intent is of


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a rotation row keeps besides its state."""

    definition: str
    actor: str
    reason: str


def load(connection: Connection, playbook: str) -> Case:
    row = _present_rotation(connection, playbook)
    debts = (
        connection.execute(select(tables.debts).where((tables.debts.c.playbook == playbook) & tables.debts.c.open))
        .mappings()
        .all()
    )
    rotation = codec.rotation_of(row["state"]) if row else None
    intents = [(r["id"], r["intent"]) for r in ([row] if row else []) + list(debts) if r["intent"]]
    intent_of, intent = intents[0] if intents else ("", None)
    found = sorted((codec.debt_of(debt["state"]) for debt in debts), key=lambda debt: (debt.born, debt.id))
    return Case(rotation, tuple(found), codec.call_of(intent) if intent else None, intent_of)


def _present_rotation(connection: Connection, playbook: str) -> Any:
    mine = tables.rotations.c.playbook == playbook
    active = connection.execute(select(tables.rotations).where(mine & tables.rotations.c.active)).mappings().first()
    if active is not None:
        return active
    newest = select(tables.rotations).where(mine).order_by(tables.rotations.c.began.desc()).limit(1)
    return connection.execute(newest).mappings().first()


def begin(connection: Connection, rotation: Rotation, beginning: Beginning, at: float) -> None:
    connection.execute(
        insert(tables.rotations).values(
            id=rotation.id,
            playbook=rotation.playbook,
            active=True,
            phase=rotation.phase,
            due=at,
            state=codec.dump(rotation),
            definition=beginning.definition,
            actor=beginning.actor,
            reason=beginning.reason,
            began=at,
        )
    )


def save_rotation(connection: Connection, rotation: Rotation, intent: Call | None, at: float) -> None:
    ended = rotation.phase is Phase.ENDED
    values = {
        "active": not ended,
        "phase": rotation.phase,
        "outcome": rotation.outcome,
        "due": _due(rotation, at),
        "state": codec.dump(rotation),
        "intent": codec.dump(intent) if intent else None,
    }
    if ended:
        values["ended"] = at
    connection.execute(update(tables.rotations).where(tables.rotations.c.id == rotation.id).values(**values))


def add_debt(connection: Connection, debt: Debt) -> None:
    connection.execute(
        insert(tables.debts).values(
            id=debt.id,
            playbook=debt.playbook,
            rotation=debt.rotation,
            key_id=debt.key.id,
            phase=debt.phase,
            open=debt.open,
            due=_due(debt, debt.now),
            state=codec.dump(debt),
        )
    )


def save_debt(connection: Connection, debt: Debt, intent: Call | None) -> None:
    connection.execute(
        update(tables.debts)
        .where(tables.debts.c.id == debt.id)
        .values(
            phase=debt.phase,
            open=debt.open,
            due=_due(debt, debt.now),
            state=codec.dump(debt),
            intent=codec.dump(intent) if intent else None,
        )
    )


def _due(unit: Rotation | Debt, at: float) -> float:
    action = debt_machine.next_action(unit) if isinstance(unit, Debt) else machine.next_action(unit)
    if isinstance(action, WaitUntil):
        return action.at
    return FOREVER if isinstance(action, Ask) else at


def due_playbooks(connection: Connection, now: float) -> list[str]:
    """Playbooks with a rotation or debt that can act now."""
    first = select(tables.rotations.c.playbook).where(tables.rotations.c.active & (tables.rotations.c.due <= now))
    second = select(tables.debts.c.playbook).where(tables.debts.c.open & (tables.debts.c.due <= now))
    return sorted({row[0] for query in (first, second) for row in connection.execute(query)})


def rotation_rows(connection: Connection, playbook: str = "", limit: int = 20) -> Sequence[Any]:
    """The newest rotations first."""
    query = select(tables.rotations).order_by(tables.rotations.c.began.desc()).limit(limit)
    if playbook:
        query = query.where(tables.rotations.c.playbook == playbook)
    return connection.execute(query).mappings().all()


def find_rotation(connection: Connection, prefix: str) -> Any | None:
    """The rotation whose id ends with what a person typed (short ids are the last characters)."""
    wanted = prefix.removeprefix("r-").upper()
    query = select(tables.rotations).where(tables.rotations.c.id.like(f"%{wanted}"))
    return connection.execute(query).mappings().first()


def open_debts(connection: Connection, playbook: str = "") -> list[Debt]:
    query = select(tables.debts.c.state).where(tables.debts.c.open)
    if playbook:
        query = query.where(tables.debts.c.playbook == playbook)
    return [codec.debt_of(row[0]) for row in connection.execute(query)]


def debts_of(connection: Connection, rotation: str) -> list[Debt]:
    query = select(tables.debts.c.state).where(tables.debts.c.rotation == rotation)
    return [codec.debt_of(row[0]) for row in connection.execute(query)]


def known_rotations(connection: Connection, playbook: str) -> set[str]:
    query = select(tables.rotations.c.id).where(tables.rotations.c.playbook == playbook)
    return {row[0] for row in connection.execute(query)}


def remember_playbook(connection: Connection, name: str, definition: str) -> None:
    """Keep the last version that loaded: a vanished or broken file must not strand a rotation."""
    row = connection.execute(select(tables.playbooks.c.definition).where(tables.playbooks.c.name == name)).first()
    if row is None:
        connection.execute(insert(tables.playbooks).values(name=name, definition=definition))
    elif row[0] != definition:
        connection.execute(
            update(tables.playbooks).where(tables.playbooks.c.name == name).values(definition=definition)
        )


def set_current(connection: Connection, playbook: str, key: Key, success_at: float | None = None) -> None:
    values: dict[str, object] = {"current_key": codec.dump(key)}
    if success_at is not None:
        values["last_success"] = success_at
    connection.execute(update(tables.playbooks).where(tables.playbooks.c.name == playbook).values(**values))


def playbook_row(connection: Connection, name: str) -> Any | None:
    return connection.execute(select(tables.playbooks).where(tables.playbooks.c.name == name)).mappings().first()


def current_key(connection: Connection, playbook: str) -> Key | None:
    row = playbook_row(connection, playbook)
    return codec.key_of(row["current_key"]) if row and row["current_key"] else None


def store_version(connection: Connection, playbook: str, store: str) -> Any | None:
    """What our last write to this store was: version, fingerprint, at."""
    mine = (tables.store_versions.c.playbook == playbook) & (tables.store_versions.c.store == store)
    return connection.execute(select(tables.store_versions).where(mine)).mappings().first()


def set_store_version(
    connection: Connection, playbook: str, store: str, version: str, fingerprint: str, at: float
) -> None:
    mine = (tables.store_versions.c.playbook == playbook) & (tables.store_versions.c.store == store)
    values = {"version": version, "fingerprint": fingerprint, "at": at}
    if not connection.execute(update(tables.store_versions).where(mine).values(**values)).rowcount:
        connection.execute(insert(tables.store_versions).values(playbook=playbook, store=store, **values))


def add_stray(connection: Connection, playbook: str, rotation: str, key: Key, at: float) -> None:
    """Unfenced on purpose: a process that lost its lease says what it made, so that it is found."""
    connection.execute(
        insert(tables.strays).values(
            playbook=playbook,
            rotation=rotation,
            key_id=key.id,
            fingerprint=key.fingerprint,
            hint=key.hint,
            at=at,
            settled=False,
        )
    )


def strays(connection: Connection, playbook: str) -> list[Any]:
    mine = (tables.strays.c.playbook == playbook) & ~tables.strays.c.settled
    return list(connection.execute(select(tables.strays).where(mine)).mappings())


def playbooks_with_strays(connection: Connection) -> set[str]:
    query = select(tables.strays.c.playbook).where(~tables.strays.c.settled)
    return {row[0] for row in connection.execute(query)}


def settle_stray(connection: Connection, number: int) -> None:
    connection.execute(update(tables.strays).where(tables.strays.c.n == number).values(settled=True))
