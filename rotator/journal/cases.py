"""Rotations and debts as rows: a case is all that is unfinished of one playbook."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, String, bindparam, insert, select, update

from rotator.core import debt as debt_machine
from rotator.core import machine
from rotator.core.action import Ask, Call, WaitUntil
from rotator.core.debt_state import Debt, DebtPhase
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase, Rotation
from rotator.journal import codec, credentials, tables

FOREVER = 4e9
_ANYWHERE = (DebtPhase.REVOKE, DebtPhase.PROVE)  # the provider alone is asked

# Built once: building a statement costs more than SQLite takes to run it.
_ROTATIONS, _DEBTS, _PLAYBOOKS = tables.rotations, tables.debts, tables.playbooks
_OF = bindparam("of", type_=String)
_ACTIVE = select(_ROTATIONS).where(_ROTATIONS.c.playbook == _OF, tables.ACTIVE)
_NEWEST = (
    select(_ROTATIONS)
    .where(_ROTATIONS.c.playbook == _OF)
    .order_by(_ROTATIONS.c.began.desc())
    .limit(1)
)
_ROTATION = select(_ROTATIONS).where(_ROTATIONS.c.id == bindparam("this"))
_ROTATED_ON = (
    select(_ROTATIONS.c.node)
    .where(_ROTATIONS.c.playbook == _OF, _ROTATIONS.c.outcome == Outcome.VERIFIED)
    .order_by(_ROTATIONS.c.began.desc())
    .limit(1)
)
_ADD_ROTATION = insert(_ROTATIONS)
_SAVE_ROTATION = update(_ROTATIONS).where(_ROTATIONS.c.id == bindparam("this"))
_OPEN_DEBTS = select(_DEBTS).where(_DEBTS.c.playbook == _OF, tables.OPEN)
_ADD_DEBT = insert(_DEBTS)
_SAVE_DEBT = update(_DEBTS).where(_DEBTS.c.id == bindparam("this"))
_PAID = select(_DEBTS.c.state).where(
    (_DEBTS.c.playbook == _OF)
    & (_DEBTS.c.key_id == bindparam("id"))
    & (_DEBTS.c.phase == DebtPhase.PAID)
)
_PLAYBOOK = select(_PLAYBOOKS).where(_PLAYBOOKS.c.name == _OF)
_ADD_PLAYBOOK = insert(_PLAYBOOKS)
_SAVE_PLAYBOOK = update(_PLAYBOOKS).where(_PLAYBOOKS.c.name == bindparam("this"))


@dataclass(frozen=True, slots=True)
class Case:
    """The active rotation (or the last one, ended) and the debts that its playbook has."""

    rotation: Rotation | None
    debts: tuple[Debt, ...]
    intent: Call | None = None
    intent_of: str = ""  # id of the rotation or debt that the intent is of
    paused: bool = False  # the clock moves nothing of it
    # Its stores and consumers are another node's: here nothing is done but what needs none of them
    away: bool = False

    @property
    def unfinished(self) -> Rotation | None:
        """The rotation that is under way, or stuck."""
        rotation = self.rotation
        return rotation if rotation is not None and rotation.phase is not Phase.ENDED else None

    @property
    def acting(self) -> tuple[Debt, ...]:
        """Debts that may act: a pause holds orderly ones, never what leaked or was made in vain.
        Away from its node, what a person ordered to die at once does, up to the proof of it.
        """
        if self.away:
            return tuple(one for one in self.debts if one.at_once and one.phase in _ANYWHERE)
        return tuple(debt for debt in self.debts if debt.urgent) if self.paused else self.debts

    @property
    def turning(self) -> Rotation | None:
        """The rotation as far as it may act."""
        return None if self.away else self.rotation

    def having(self, unit: Rotation | Debt) -> Case:
        """With this state of one of its units."""
        if isinstance(unit, Rotation):
            return replace(self, rotation=unit)
        return replace(
            self, debts=tuple(unit if debt.id == unit.id else debt for debt in self.debts)
        )

    def intent_on(self, unit_id: str) -> Call | None:
        return self.intent if self.intent_of == unit_id else None


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a rotation row keeps besides its state."""

    definition: str
    actor: str
    reason: str
    counts_from: float | None = None  # the due moment that it belongs to; None: its beginning
    node: str = ""  # where it is begun
    in_group: str | None = None  # no other one of it is active beside it


def load(connection: Connection, playbook: str) -> Case:
    row = connection.execute(_ACTIVE, {"of": playbook}).mappings().first()
    if row is None:
        row = connection.execute(_NEWEST, {"of": playbook}).mappings().first()
    debts = connection.execute(_OPEN_DEBTS, {"of": playbook}).mappings().all()
    rotation = codec.rotation_of(row["state"]) if row else None
    intents = [(r["id"], r["intent"]) for r in ([row] if row else []) + list(debts) if r["intent"]]
    intent_of, intent = intents[0] if intents else ("", None)
    owed = [codec.debt_of(debt["state"]) for debt in debts]
    owed.sort(key=lambda debt: (debt.born, debt.id))
    return Case(rotation, tuple(owed), codec.call_of(intent) if intent else None, intent_of)


def begin(connection: Connection, rotation: Rotation, beginning: Beginning, at: float) -> None:
    """The row of a new rotation. The unique index refuses a second active one of the playbook."""
    connection.execute(
        _ADD_ROTATION,
        {
            "id": rotation.id,
            "playbook": rotation.playbook,
            "definition": beginning.definition,
            "actor": beginning.actor,
            "reason": beginning.reason,
            "began": at,
            "counts_from": beginning.counts_from,
            "node": beginning.node or None,
            "in_group": beginning.in_group,
            **_rotation_row(rotation, None, at),
        },
    )


def save(connection: Connection, before: Case, after: Case, at: float) -> None:
    """Write what changed between two states of a case: rotation, debts, intent."""
    known = {debt.id: debt for debt in before.debts}
    for debt in after.debts:
        row = _debt_row(debt, after.intent_on(debt.id))
        if debt.id not in known:
            fixed = {
                "id": debt.id,
                "playbook": debt.playbook,
                "rotation": debt.rotation,
                "key_id": debt.key.id,
            }
            connection.execute(_ADD_DEBT, {**fixed, **row})
        elif (debt, after.intent_on(debt.id)) != (known[debt.id], before.intent_on(debt.id)):
            connection.execute(_SAVE_DEBT, {"this": debt.id, **row})
    rotation = after.rotation
    intent = after.intent_on(rotation.id) if rotation is not None else None
    if rotation is not None and (rotation, intent) != (
        before.rotation,
        before.intent_on(rotation.id),
    ):
        connection.execute(
            _SAVE_ROTATION, {"this": rotation.id, **_rotation_row(rotation, intent, at)}
        )


def _rotation_row(rotation: Rotation, intent: Call | None, at: float) -> dict[str, Any]:
    ended = rotation.phase is Phase.ENDED
    return {
        "active": not ended,
        "phase": rotation.phase,
        "outcome": rotation.outcome,
        "due": _due(rotation, at),
        "state": codec.dump(rotation),
        "intent": codec.dump(intent) if intent else None,
        "ended": at if ended else None,
        "seen": rotation.now,
        "attention": bool(rotation.attention) or rotation.phase is Phase.STUCK,
    }


def _debt_row(debt: Debt, intent: Call | None) -> dict[str, Any]:
    return {
        "phase": debt.phase,
        "open": debt.open,
        "due": _due(debt, debt.now),
        "state": codec.dump(debt),
        "intent": codec.dump(intent) if intent else None,
        "seen": debt.now,
        "attention": bool(debt.attention),
        "at_once": debt.at_once,
    }


def _due(unit: Rotation | Debt, at: float) -> float:
    action = debt_machine.next_action(unit) if isinstance(unit, Debt) else machine.next_action(unit)
    if isinstance(action, WaitUntil):
        return action.at
    return FOREVER if isinstance(action, Ask) else at


def rotation_rows(connection: Connection, playbook: str = "", limit: int = 20) -> Sequence[Any]:
    """The newest rotations first."""
    query = select(tables.rotations).order_by(tables.rotations.c.began.desc()).limit(limit)
    if playbook:
        query = query.where(tables.rotations.c.playbook == playbook)
    return connection.execute(query).mappings().all()


def find_rotation(connection: Connection, prefix: str) -> Any | None:
    """The rotation with this id, or whose id ends with what a person typed (short ids are the last
    characters).
    """
    whole = connection.execute(_ROTATION, {"this": prefix}).mappings().first()
    if whole is not None:
        return whole
    wanted = prefix.removeprefix("r-").upper()
    query = select(tables.rotations).where(tables.rotations.c.id.like(f"%{wanted}"))
    return connection.execute(query).mappings().first()


def rotated_on(connection: Connection, playbook: str) -> str:
    """The node whose rotation brought the last key out, as it is named there; '' where nobody
    knows.
    """
    return connection.execute(_ROTATED_ON, {"of": playbook}).scalar() or ""


def ends_of(connection: Connection, playbook: str, keys: Iterable[Key]) -> tuple[Debt, ...]:
    """The last debt of each of these keys, open or not."""
    rows = connection.execute(
        select(_DEBTS.c.state).where(_DEBTS.c.playbook == playbook).order_by(_DEBTS.c.id.desc())
    )
    debts = [codec.debt_of(row[0]) for row in rows]
    found = (next((debt for debt in debts if debt.key.same(key)), None) for key in keys)
    return tuple(debt for debt in found if debt is not None)


def is_paid(connection: Connection, playbook: str, key: Key) -> bool:
    """Whether this very value was revoked already: an id alone may have been given out twice."""
    if not key.fingerprint:
        return False
    rows = connection.execute(_PAID, {"of": playbook, "id": key.id})
    return any(codec.debt_of(row[0]).key.fingerprint == key.fingerprint for row in rows)


def set_definition(connection: Connection, rotation: str, definition: str) -> None:
    """The playbook that a rotation goes by from now on."""
    connection.execute(
        update(_ROTATIONS).where(_ROTATIONS.c.id == rotation).values(definition=definition)
    )


def state_of(row: Any) -> Rotation:
    """The state in a rotation's row."""
    return codec.rotation_of(row["state"])


def debts_of(connection: Connection, rotation: str) -> list[Debt]:
    query = select(_DEBTS.c.state).where(_DEBTS.c.rotation == rotation)
    return [codec.debt_of(row[0]) for row in connection.execute(query)]


def known_rotations(connection: Connection, playbook: str, asked: Iterable[str]) -> set[str]:
    """Those of the rotations asked for that this journal knows, of this playbook."""
    rows = (connection.execute(_ROTATION, {"this": one}).mappings().first() for one in set(asked))
    return {row["id"] for row in rows if row is not None and row["playbook"] == playbook}


def remember_playbook(connection: Connection, name: str, definition: str) -> None:
    """Keep the last version that loaded: a vanished or broken file must not strand a rotation."""
    row = playbook_row(connection, name)
    if row is None:
        connection.execute(_ADD_PLAYBOOK, {"name": name, "definition": definition})
    elif row["definition"] != definition:
        connection.execute(_SAVE_PLAYBOOK, {"this": name, "definition": definition})


def set_current(connection: Connection, playbook: str, key: Key) -> None:
    connection.execute(_SAVE_PLAYBOOK, {"this": playbook, **_in_force(connection, playbook, key)})


def to_reckon(connection: Connection, playbook: str) -> None:
    """When it is due next is asked anew."""
    connection.execute(_SAVE_PLAYBOOK, {"this": playbook, "due": None})


def _in_force(connection: Connection, playbook: str, key: Key) -> dict[str, object]:
    ends, renew = credentials.life(connection, playbook, key)
    return {"current_key": codec.dump(key), "ends": ends, "renew": renew, "due": None}


def succeeded(connection: Connection, rotation: Rotation, key: Key, at: float) -> None:
    """This rotation made the key that is in force: its schedule counts from the moment that it
    belonged to.
    """
    row = connection.execute(_ROTATION, {"this": rotation.id}).mappings().first()
    counts_from = (
        (row["began"] if row["counts_from"] is None else row["counts_from"]) if row else at
    )
    made = {
        "last_success": at,
        "counts_from": counts_from,
        **_in_force(connection, rotation.playbook, key),
    }
    connection.execute(_SAVE_PLAYBOOK, {"this": rotation.playbook, **made})


def playbook_row(connection: Connection, name: str) -> Any | None:
    return connection.execute(_PLAYBOOK, {"of": name}).mappings().first()


def current_key(connection: Connection, playbook: str) -> Key | None:
    row = playbook_row(connection, playbook)
    return codec.key_of(row["current_key"]) if row and row["current_key"] else None
