"""A real little world in memory: issuers, cells and consumers, for rehearsals, simulation and
tests.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rotator.model import KeyRecord, Note, Overlap
from rotator.secret import Secret


@dataclass
class IssuedKey:
    record: KeyRecord
    value: str
    state: str = "live"  # live, off, dead
    slot: int = 0


@dataclass
class Issuer:
    """Issues keys; two slots or no overlap kill the earlier ones."""

    name: str
    overlap: Overlap = Overlap.MANY
    now: Callable[[], float] = time.time
    keys: dict[str, IssuedKey] = field(default_factory=dict)
    count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    hidden: set[str] = field(default_factory=set)  # ids that a lagging list does not show yet

    def create(self, label: str, slot: int = 0) -> IssuedKey:
        number = next(self.count)
        key_id, value = f"{self.name}-key{number}", f"mem-{self.name}-{number:04d}-{'x' * 24}"
        for other in self.keys.values():
            replaced = self.overlap is Overlap.NONE or (
                self.overlap is Overlap.TWO_SLOTS and other.slot == slot
            )
            if replaced and other.state != "dead":
                other.state = "dead"
        issued = IssuedKey(
            KeyRecord(key_id, label, f"{value[:-20]}…xxxx", created_at=self.now()), value, slot=slot
        )
        self.keys[key_id] = issued
        return issued

    def by_value(self, value: str) -> IssuedKey | None:
        return next((key for key in self.keys.values() if key.value == value), None)

    def accepts(self, value: str) -> bool:
        found = self.by_value(value)
        return found is not None and found.state == "live"

    def use(self, value: str) -> bool:
        """A call by a consumer: seen as the key's last use."""
        found = self.by_value(value)
        if found is None or found.state != "live":
            return False
        found.record = replace(found.record, last_used_at=self.now())
        return True

    @property
    def live(self) -> list[str]:
        return sorted(key_id for key_id, key in self.keys.items() if key.state == "live")


@dataclass
class Cell:
    """Holds one value, with a version."""

    values: dict[str, Secret] | None = None
    version: int = 0
    written_at: float = 0.0
    note: Note | None = None


@dataclass
class Consumer:
    """Reads its cell when it starts."""

    cell: str
    holds: str = ""
    started_at: float = 0.0
    starts: int = 0


@dataclass
class World:
    issuers: dict[str, Issuer] = field(default_factory=dict)
    cells: dict[str, Cell] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    now: Callable[[], float] = time.time
    lock: threading.RLock = field(default_factory=threading.RLock)

    def issuer(self, name: str, overlap: Overlap = Overlap.MANY) -> Issuer:
        with self.lock:
            return self.issuers.setdefault(name, Issuer(name, overlap, lambda: self.now()))

    def cell(self, name: str) -> Cell:
        with self.lock:
            return self.cells.setdefault(name, Cell())

    def start(self, name: str) -> Consumer:
        """The consumer (re)starts: it reads its cell."""
        with self.lock:
            consumer = self.consumers[name]
            values = self.cell(consumer.cell).values
            consumer.holds = next(iter(values.values())).reveal() if values else ""
            consumer.started_at = self.now()
            consumer.starts += 1
            return consumer


WORLD = World()
