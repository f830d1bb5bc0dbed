"""Journals of an earlier rotator, each with a rotation or an old key that waits or whose process
was killed: today's code upgrades them and carries them on to the end that they were begun for.

How they were made: journals_of_before/make.py.
"""

from __future__ import annotations

import json
import lzma
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rotator.audit import verify
from rotator.core.order import Order
from rotator.errors import JournalError
from rotator.integrations.memory import world as memory
from rotator.journal import cases, pauses, tables, upkeep
from rotator.journal.database import Database
from rotator.model import KeyRecord, Note, Overlap
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases import orders, pause, supply
from rotator.usecases.report import Report
from rotator.usecases.service import Request, Service
from tests.integration.journals_of_before.make import (
    KILLED,
    NAME,
    PROGRAM_KILLS,
    SITUATIONS,
    WAITING,
)

WAIT = Request(wait=True)
LATER = 4 * 3600.0  # seconds after it was left: each of its waits is over


def _situations() -> dict[str, Any]:
    with lzma.open(SITUATIONS, "rt") as file:
        found: dict[str, Any] = json.load(file)
    return found


MADE = _situations()


@dataclass
class Clock:
    """Of a later boot of the machine; waits are jumped over."""

    at: float

    def now(self) -> float:
        self.at += 0.001
        return self.at

    def boot(self) -> tuple[str, float]:
        return "a later boot", self.at - 1_800_000_000.0

    def wait(self, seconds: float) -> None:
        self.at += max(0.0, seconds)


class Left:
    """What the earlier rotator left, under today's service."""

    def __init__(self, folder: Path, made: dict[str, Any]) -> None:
        self.folder, self.made = folder, made
        self.clock = Clock(made["world"]["at"] + 1)
        self._bring_back_the_world(made["world"])
        (folder / "playbooks").mkdir()
        (folder / "playbooks" / f"{NAME}.yaml").write_text(self._here(made["playbook"]))
        for name, text in made["beside"].items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        (folder / "python").symlink_to(sys.executable)
        with closing(sqlite3.connect(folder / "journal.db")) as journal:
            journal.executescript("\n".join(map(self._here, made["journal"])))
        self.url = f"sqlite:///{folder / 'journal.db'}"
        settings = Settings(folder, playbooks=(folder / "playbooks",), database_url=self.url)
        self.service = Service(settings, "test", clock=self.clock)

    def _here(self, text: str) -> str:
        """With the folder of this test. The audit log and what is sealed are bound to their text."""
        if text.startswith(('INSERT INTO "audit"', 'INSERT INTO "credentials"')):
            return text
        return text.replace(self.made["folder"], str(self.folder))

    def _bring_back_the_world(self, was: dict[str, Any]) -> None:
        world = memory.WORLD
        issuer = memory.Issuer(NAME, Overlap(was["overlap"]), self.clock.now)
        for key_id, key in was["keys"].items():
            record = KeyRecord(
                key_id,
                key["label"],
                key["hint"],
                created_at=key["created_at"],
                last_used_at=key["last_used_at"],
            )
            issuer.keys[key_id] = memory.IssuedKey(record, key["value"], key["state"], key["slot"])
            next(issuer.count)
        cell = was["cell"]
        world.issuers[NAME] = issuer
        world.cells[NAME] = memory.Cell(
            {"key": Secret(cell["value"])},
            cell["version"],
            cell["written_at"],
            Note(**cell["note"]) if cell["note"] else None,
        )
        world.consumers[NAME] = memory.Consumer(NAME, **was["consumer"])

    def upgrade(self) -> None:
        upkeep.upgrade(Database(self.url))

    def case(self) -> cases.Case:
        with self.service.journal.database.read() as connection:
            return cases.load(connection, NAME)

    # --- how it is carried on ---
    def go_on(self) -> None:
        """As a timer; a rotation that is not begun yet, or was under way, is ordered again."""
        case = self.case()
        if case.unfinished is not None or not any(debt.open for debt in case.debts):
            self.service.rotate(NAME, WAIT)
        self.due()

    def due(self) -> None:
        """What a timer does: once for what was left, and once when its last wait is over."""
        for _ in range(2):
            self.clock.wait(LATER)
            reports, _ = self.service.due(WAIT)
            assert not [report.error for report in reports if report.error]

    def order(self, given: Order, key: str = "") -> Report:
        return orders.order(self.service, NAME, given, Request(wait=True, key=key, reason="mended"))

    def supply(self) -> None:
        made = memory.WORLD.issuer(NAME).create("by hand")
        supply.supply(self.service, NAME, Secret(made.value), made.record.id, Request())

    def confirm(self) -> None:
        issuer, stored = memory.WORLD.issuer(NAME), self.stored
        for key in issuer.keys.values():
            if key.value != stored:
                key.state = "dead"
        self.order(Order.CONFIRM)

    def carry_on(self, way: str) -> None:
        match way:
            case "go on":
                self.go_on()
            case "due":
                self.due()
            case "restarted, due":
                memory.WORLD.start(NAME)
                self.due()
            case "mended, resume":
                (self.folder / "broken").unlink()
                self.order(Order.RESUME)
                self.due()
            case "resume":
                self.order(Order.RESUME)
                self.due()
            case "resume, due":
                assert self._waits_for_its_pause()
                pause.end(self.service, f"playbook {NAME}", "the holiday is over")
                self.due()
            case "undo":
                self.order(Order.UNDO)
                self.due()
            case "revoke":
                self.order(Order.REVOKE)
                self.due()
            case "supply, confirm":
                self.supply()
                self.confirm()
            case "confirm":
                self.confirm()
            case _:
                raise AssertionError(f"how is that carried on: {way}")

    def _waits_for_its_pause(self) -> bool:
        """The pause is in force, and by it nothing happens to the old key."""
        before = [debt.phase for debt in self.case().debts]
        self.due()
        with self.service.journal.database.read() as connection:
            stands = pauses.standing(connection, self.clock.now())
        return bool(stands) and [debt.phase for debt in self.case().debts] == before

    # --- the world ---
    @property
    def programs(self) -> bool:
        return (self.folder / "keys.json").exists()

    @property
    def stored(self) -> str:
        if self.programs:
            return (self.folder / ".env").read_text().removeprefix("KEY=").rstrip("\n")
        values = memory.WORLD.cell(NAME).values or {}
        return next(iter(values.values())).reveal()

    @property
    def held(self) -> str:
        """With which key the consumer runs."""
        if self.programs:
            return (self.folder / "runs").read_text().removeprefix("KEY=").rstrip("\n")
        return memory.WORLD.consumers[NAME].holds

    @property
    def live(self) -> list[str]:
        if self.programs:
            issued = json.loads((self.folder / "keys.json").read_text())
            return [key["value"] for key in issued.values() if key["alive"]]
        keys = memory.WORLD.issuer(NAME).keys.values()
        return [key.value for key in keys if key.state != "dead"]

    def is_carried_on(self, force: str) -> None:
        case, journal = self.case(), self.service.journal
        assert case.unfinished is None, "a rotation is unfinished"
        still = [f"{one.key}: {one.phase} {one.attention}" for one in case.debts if one.open]
        assert not still, "an old key is left"
        assert self.live == [self.stored], "one key lives, and the store holds it"
        assert self.held == self.stored, "the consumer runs with it"
        assert (self.stored == self.made["world"]["first"]) is (force == "first")
        with journal.database.read() as connection:
            found = verify.verify(verify.lines_of(connection))
            sealed = connection.execute(
                tables.credentials.select().where(tables.credentials.c.sealed.is_not(None))
            ).all()
        assert found.whole, found
        assert not upkeep.check(journal)
        assert not sealed, "the value of a key that nobody needs any more is erased"


@pytest.fixture
def left(
    request: pytest.FixtureRequest, tmp_path: Path, memory_world: memory.World
) -> Iterator[Left]:
    found = Left(tmp_path, MADE[request.param])
    memory_world.now = found.clock.now
    yield found
    found.service.close()
    memory_world.now = memory.World().now


@pytest.mark.parametrize("left", MADE, indirect=True)
def test_what_an_earlier_rotator_began_is_carried_on_by_todays(left: Left) -> None:
    """One key lives at its issuer, the store and the consumer hold it, nothing is owed, and the
    audit log is whole, over both rotators.
    """
    left.upgrade()
    left.carry_on(left.made["way"])
    left.is_carried_on(left.made["in force"])


@pytest.mark.parametrize("left", ["an old key in its grace"], indirect=True)
def test_such_a_journal_is_refused_until_it_is_upgraded(left: Left) -> None:
    with pytest.raises(JournalError) as refused:
        left.service.rotate(NAME)
        left.case()
    assert "db upgrade" in refused.value.hint
    assert len(left.live) == 2


def test_each_phase_that_can_wait_has_its_journal() -> None:
    assert set(WAITING) <= set(MADE)
    for _, places, _ in PROGRAM_KILLS:
        assert {f"programs: killed {place}" for place in places} <= set(MADE)
    for name in KILLED:
        assert any(one.startswith(f"{name}, killed ") for one in MADE), name
