"""On which node a playbook is worked on: what this one leaves to others, or to a person."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from rotator.engine.fleet import Elsewhere, Present, Why, is_older
from rotator.journal import cases
from rotator.journal.cases import Case
from rotator.playbook.carry import is_of
from rotator.playbook.playbook import Playbook


def elsewhere(
    connection: Connection, present: Present, name: str, book: Playbook | None
) -> Elsewhere | None:
    """Why this node leaves a playbook alone, by what is unfinished of it, else by its last
    rotation; None where it does not.

    Raises JournalError.
    """
    if book is None or _anywhere(present, book):
        return None
    case = _case(connection, name)
    if case is None:
        return None
    if case.rotation is None or not (case.unfinished or case.debts):
        return present.may_not_rotate_next(book, cases.rotated_on(connection, name))
    row = cases.find_rotation(connection, case.rotation.id)
    return present.may_not_go_on(book, (row["node"] if row is not None else "") or "")


def begun_by_other_texts(
    connection: Connection, present: Present, name: str, book: Playbook
) -> list[tuple[str, str]]:
    """Of what is unfinished, rotations that another node began by another text of the playbook: on
    which one, and which. Raises JournalError.
    """
    case = _case(connection, name)
    if case is None:
        return []
    units = {debt.rotation for debt in case.debts}
    if case.unfinished is not None:
        units.add(case.unfinished.id)
    rows = (cases.find_rotation(connection, one) for one in sorted(units - {""}))
    begun = [(row["node"] or "", row["id"], row["definition"]) for row in rows if row is not None]
    others = [one for one in begun if one[0] not in ("", present.node)]
    return [(node, rotation) for node, rotation, text in others if not is_of(text, book)]


def put_off(
    connection: Connection,
    present: Present,
    name: str,
    book: Playbook | None,
    newest: Mapping[str, Collection[str]],
) -> Elsewhere | None:
    """The same of a timer: it begins nothing by a text that is older than another node's."""
    found = elsewhere(connection, present, name, book)
    if found is not None or book is None or not is_older(book, newest):
        return found
    return None if _under_way(connection, name) else Elsewhere(Why.OLDER)


def _under_way(connection: Connection, name: str) -> bool:
    case = _case(connection, name)
    return case is None or bool(case.unfinished or case.debts)


def _case(connection: Connection, name: str) -> Case | None:
    """None where a newer rotator wrote it: whoever works on the playbook says so."""
    with contextlib.suppress(ValueError):
        return cases.load(connection, name)
    return None


def nowhere(
    connection: Connection,
    present: Present,
    name: str,
    book: Playbook | None,
    newest: Mapping[str, Collection[str]],
) -> Elsewhere | None:
    """Why no timer works on a playbook, on whatever node: None where one may.

    Where no daemon is alive, timers on this very node are meant.
    """
    if not present.living:
        return put_off(connection, present, name, book, newest)
    views = [replace(present, node=node) for node in sorted(present.living)]
    found = [elsewhere(connection, view, name, book) for view in views]
    if all(found):
        return found[0]
    if book is None or not is_older(book, newest) or _under_way(connection, name):
        return None
    return Elsewhere(Why.OLDER)


def _anywhere(present: Present, book: Playbook) -> bool:
    """Whether no journal needs to be asked: most work the same from everywhere."""
    alone = not present.shared or book.shape.on or not book.local
    return book.anywhere or bool(alone and present.may_not_begin(book) is None)
