"""Orders about a leaked key that wait until whoever holds the playbook's lease takes them up."""

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
_WAITING = _ORDERS.c.answer.is_(None)
_OF = (
    select(_ORDERS).where(_WAITING & (_ORDERS.c.playbook == bindparam("of"))).order_by(_ORDERS.c.n)
)
_NAMES = select(_ORDERS.c.playbook).where(_WAITING)
_ONE = select(_ORDERS.c.answer).where(_ORDERS.c.n == bindparam("this"))
_ANSWER = update(_ORDERS).where(_ORDERS.c.n == bindparam("this"))


@dataclass(frozen=True, slots=True)
class Standing:
    """`key_id` is the key that a person named, '' for the one in force and all older ones.

    `kind` is REVOKE_FIRST, or COMPROMISED: the new key first, without an outage.
    """

    n: int
    kind: Order
    key_id: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The keys that die now, and the rotation that brings the new one out; or why
    nothing is done.
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
) -> int:
    """Unfenced on purpose: another process holds the lease. The order's number."""
    values = {
        "playbook": playbook,
        "kind": str(kind),
        "key_id": key_id,
        "who": who,
        "reason": reason,
        "at": at,
    }
    return int(connection.execute(insert(_ORDERS).values(**values)).inserted_primary_key[0])  # type: ignore[index]


def waiting(connection: Connection, playbook: str) -> list[Standing]:
    rows = connection.execute(_OF, {"of": playbook}).mappings()
    return [
        Standing(row["n"], Order(row["kind"]), row["key_id"], row["who"], row["reason"])
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


def answered(connection: Connection, number: int) -> Answer | None:
    """What the holder made of it; None while it waits."""
    text = connection.execute(_ONE, {"this": number}).scalar()
    if text is None:
        return None
    told = json.loads(text)
    keys: Iterable[str] = told["keys"]
    return Answer(
        tuple(codec.key_of(key) for key in keys),
        told["refused"],
        told["hint"],
        told.get("rotation", ""),
    )
