"""Orders of people that wait until whoever holds the playbook's lease takes them up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from rotator.core.order import Order
from rotator.core.plan import Key
from rotator.journal import codec, tables

_ORDERS = tables.orders
_OF = (
    select(_ORDERS)
    .where(tables.WAITING, _ORDERS.c.playbook == bindparam("of"))
    .order_by(_ORDERS.c.n)
)
_NAMES = select(_ORDERS.c.playbook).where(tables.WAITING)
_ONE = select(_ORDERS.c.answer).where(_ORDERS.c.n == bindparam("this"))
_ANSWER = update(_ORDERS).where(_ORDERS.c.n == bindparam("this"))
LEAKED = (Order.COMPROMISED, Order.REVOKE_FIRST)
# How all other kinds wait. A rotator from before them takes up what has no answer at all, and
# would take each of them for a key that is to die first.
_UNANSWERED = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """`key_id` is the key that a person named, '' for none.

    REVOKE_FIRST without one means the key in force and all older ones. `rotation` is the
    playbook's last one when it was ordered, '' for none; `at` that moment (Unix seconds).
    """

    n: int
    kind: Order
    key_id: str
    who: str
    reason: str
    rotation: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The keys that die now, and the rotation that brings the new one out; or why nothing is done.

    Of an order that is not about a leaked key: the key in force after `abandon`; and the rotation
    that it was about, '' where it was about old keys.
    """

    keys: tuple[Key, ...] = ()
    refused: str = ""
    hint: str = ""
    rotation: str = ""


def write(
    connection: Connection,
    playbook: str,
    key_id: str,
    who: str,
    reason: str,
    at: float,
    kind: Order = Order.REVOKE_FIRST,
    rotation: str = "",
) -> int:
    """Unfenced on purpose: another process holds the lease. The order's number."""
    values = {
        "playbook": playbook,
        "kind": str(kind),
        "key_id": key_id,
        "who": who,
        "reason": reason,
        "at": at,
        "rotation": rotation,
        "answer": None if kind in LEAKED else _UNANSWERED,
    }
    return int(connection.execute(insert(_ORDERS).values(**values)).inserted_primary_key[0])  # type: ignore[index]


def waiting(connection: Connection, playbook: str) -> list[Standing]:
    rows = connection.execute(_OF, {"of": playbook}).mappings()
    return [
        Standing(
            row["n"],
            Order(row["kind"]),
            row["key_id"],
            row["who"],
            row["reason"],
            row["rotation"] or "",
            row["at"],
        )
        for row in rows
    ]


def playbooks(connection: Connection) -> frozenset[str]:
    """Those for which an order waits."""
    return frozenset(row[0] for row in connection.execute(_NAMES))


def answer(connection: Connection, number: int, given: Answer) -> None:
    keys = [codec.dump(key) for key in given.keys]
    told: dict[str, Any] = {
        "keys": keys,
        "refused": given.refused,
        "hint": given.hint,
        "rotation": given.rotation,
    }
    connection.execute(_ANSWER, {"this": number, "answer": json.dumps(told)})


def withdraw(connection: Connection, number: int, why: str) -> None:
    """An order that nobody has taken up yet is not carried out any more."""
    told = {"keys": [], "refused": why, "hint": "", "rotation": ""}
    connection.execute(_ANSWER.where(tables.WAITING), {"this": number, "answer": json.dumps(told)})


def answered(connection: Connection, number: int) -> Answer | None:
    """What the holder made of it; None while it waits."""
    text = connection.execute(_ONE, {"this": number}).scalar()
    if not text:
        return None
    told = json.loads(text)
    keys: Iterable[str] = told["keys"]
    return Answer(
        tuple(codec.key_of(key) for key in keys),
        told["refused"],
        told["hint"],
        told.get("rotation", ""),
    )
