"""Which nodes may work on a playbook: where its stores and consumers are, and what it says now.

A playbook names its nodes with `on`. Without it, what is local to a machine is of the one node that
is alive; and what was begun on a node goes on there. On SQLite there is one machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Connection
from ulid import ULID

from rotator import __version__
from rotator.errors import RefusedError
from rotator.journal import nodes
from rotator.journal.journal import Journal
from rotator.playbook.directory import Loaded
from rotator.playbook.playbook import Playbook

REPORT_EVERY = 30.0  # seconds: three of them are missed before a node counts as dead


class Why(StrEnum):
    """Why a node leaves a playbook to another one. The values stand in JSON."""

    ON = "on"  # its `on` names other nodes
    UNNAMED = "no node"  # it is local, names no node, and several are alive
    BEGUN = "begun elsewhere"  # it is local, names no node, and was begun on another one
    ROTATED = "rotated elsewhere"  # the same of its last rotation, and nothing is under way
    OLDER = "older text"  # another node read a newer text of the playbook


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`nodes`: on which it runs; that are alive; where it was begun, or rotated last. `local` is
    what is there.
    """

    why: Why
    nodes: tuple[str, ...] = ()
    local: tuple[str, ...] = ()

    def refusal(self, playbook: str, node: str, besides: str = "") -> RefusedError:
        """What a person is told who orders something about it on this node; `besides`: what else
        there is to do.
        """
        message, hint = self._words(playbook, node)
        return RefusedError(message, f"{hint}; {besides}" if besides else hint)

    def _words(self, playbook: str, node: str) -> tuple[str, str]:
        there, things = ", ".join(self.nodes), ", ".join(self.local)
        if self.why is Why.ON:
            return (
                f"{playbook} runs on {there}, and this is {node}",
                f"order it there; or name {node} in its `on:`",
            )
        if self.why in (Why.BEGUN, Why.ROTATED):
            was = "was begun" if self.why is Why.BEGUN else "was last rotated"
            return (
                f"{playbook} {was} on {there}, and this is {node}: it works with what is on"
                f" one machine ({things})",
                f"order it there; or say `on: {node}` in the playbook, if all of that is here",
            )
        return (
            f"{playbook} works with what is on one machine ({things}), and several nodes are alive:"
            f" {there}",
            f"say in the playbook where it runs, for instance `on: {node}`; or `on: '*'` where"
            " each has the same",
        )


@dataclass(frozen=True, slots=True)
class Present:
    """The fleet at one moment, as this node sees it. `shared`: others may be at the journal."""

    node: str
    shared: bool
    living: frozenset[str] = frozenset()

    def may_not_begin(self, book: Playbook) -> Elsewhere | None:
        """Why this node begins nothing by this playbook; None where it may."""
        if book.anywhere:
            return None
        if book.shape.on:
            return None if self.node in book.shape.on else Elsewhere(Why.ON, book.shape.on)
        others = self.living - {self.node}
        if self.shared and others and book.local:
            return Elsewhere(Why.UNNAMED, tuple(sorted(self.living | {self.node})), book.local)
        return None

    def may_not_rotate_next(self, book: Playbook, rotated_on: str) -> Elsewhere | None:
        """The same of what was last rotated on the node of this name, '' where nobody knows: the
        files of this one are others, and may hold the same key.
        """
        mine = rotated_on in ("", self.node) or not self.shared or bool(book.shape.on)
        if not mine and book.local_places:
            return Elsewhere(Why.ROTATED, (rotated_on,), book.local_places)
        return self.may_not_begin(book)

    def may_not_go_on(self, book: Playbook, begun_on: str) -> Elsewhere | None:
        """The same of what was begun on the node of this name ('' where nobody knows)."""
        if self.shared and not book.shape.on:
            if begun_on == self.node:
                return None
            if begun_on and book.local_places:
                return Elsewhere(Why.BEGUN, (begun_on,), book.local_places)
        return self.may_not_begin(book)


def digest(book: Playbook) -> str:
    """Of what a person wrote: comments and layout are no part of it, nor is where the file lies."""
    text = json.dumps(book.written, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_older(book: Playbook, newest: Mapping[str, Collection[str]]) -> bool:
    """Whether a newer text of this playbook was read by anybody."""
    known = newest.get(book.name)
    return known is not None and digest(book) not in known


@dataclass
class Fleet:
    """Of one process: its name, and what it told of itself."""

    journal: Journal
    node: str
    instance: str = field(default_factory=lambda: str(ULID()))
    _texts: dict[str, str] = field(default_factory=dict)
    _read: Loaded | None = None
    _noted: Loaded | None = None
    _reported: Loaded | None = None

    @property
    def shared(self) -> bool:
        """Whether other machines may be at this journal."""
        return not self.journal.database.is_sqlite

    def present(self, connection: Connection, now: float) -> Present:
        living = nodes.living(connection, now) if self.shared else frozenset[str]()
        return Present(self.node, self.shared, living)

    def newest(self, connection: Connection, name: str = "") -> dict[str, frozenset[str]]:
        """Of each playbook, or this one, the newest texts; none on SQLite, where a file is what it
        is.
        """
        return nodes.newest(connection, name) if self.shared else {}

    def report(self, loaded: Loaded, now: float) -> None:
        """This daemon is alive, and has read these playbooks. Raises JournalError."""
        texts = self._digests(loaded) if loaded is not self._reported else None
        with self.journal.database.write() as connection:
            nodes.report(connection, self.node, self.instance, __version__, texts, now)
        self._reported = loaded

    def leave(self) -> None:
        """This daemon ends. Raises JournalError."""
        if self._reported is not None:
            with self.journal.database.write() as connection:
                nodes.leave(connection, self.instance)

    def note(self, loaded: Loaded, now: float) -> None:
        """Write down which texts were read, once for each set of them. Raises JournalError."""
        if self.shared and loaded is not self._noted:
            with self.journal.database.write() as connection:
                nodes.note(connection, self._digests(loaded), now)
            self._noted = loaded

    def decide(self, book: Playbook, now: float) -> None:
        """A person rotates by this text: no node goes by another one from now on."""
        if self.shared:
            with self.journal.database.write() as connection:
                if digest(book) not in nodes.newest(connection, book.name).get(book.name, ()):
                    nodes.decide(connection, book.name, digest(book), now)

    def _digests(self, loaded: Loaded) -> dict[str, str]:
        if loaded is not self._read:
            self._texts = {name: digest(book) for name, book in loaded.playbooks.items()}
            self._read = loaded
        return self._texts
