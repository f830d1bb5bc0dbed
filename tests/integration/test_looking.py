"""A session that is opened to look changes nothing; who carries on takes over first."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from rotator.core.plan import Key
from rotator.core.state import Cause
from rotator.engine.clock import SystemClock
from rotator.engine.runner import Books, Session
from rotator.integrations.memory.provider import MemoryProvider
from rotator.journal import strays, tables
from rotator.journal.journal import Journal
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


class Killed(BaseException):
    """As if the process had ended there."""


class AnHourAgo(SystemClock):
    def now(self) -> float:
        return super().now() - 3600.0


def _rows(journal: Journal) -> dict[str, list[Any]]:
    """All that the journal holds."""
    with journal.database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in tables.metadata.sorted_tables
        }


def _left_behind(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Key:
    """A process that ended in a create, and another one's key that was made after its lease."""
    assert bench.service.rotate("one", WAIT).code == 0
    real = MemoryProvider.generate

    def killed(self: MemoryProvider, label: Any, like: Any) -> Any:
        raise Killed

    monkeypatch.setattr(MemoryProvider, "generate", killed)
    with pytest.raises(Killed):
        bench.service.rotate("one", WAIT)
    monkeypatch.setattr(MemoryProvider, "generate", real)
    late = Key("late", "e" * 32, "mem…late")
    with bench.service.journal.database.write() as connection:
        strays.add(connection, "one", "r", late, 0.0)
    return late


@pytest.mark.parametrize("clock", [SystemClock, AnHourAgo], ids=["now", "set back"])
def test_opening_a_session_to_look_leaves_the_journal_as_it_was(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, clock: type[SystemClock]
) -> None:
    late, service = _left_behind(bench, monkeypatch), bench.service
    held, book = service.keeper.take("one"), service.playbooks().get("one")
    before = _rows(service.journal)
    session = Session(
        service.journal,
        clock(),
        held,
        Books(book, lambda rotation: book, lambda definition: book, {}),
        service.actor,
        service.listeners,
        service.observe,
    )
    assert session.case.intent is not None and session.case.rotation is not None
    with pytest.raises(RuntimeError, match="opened to look"), session.writing():
        pass
    with pytest.raises(RuntimeError, match="opened to look"):
        session.advance()
    assert _rows(service.journal) == before

    session.take_over()
    assert session.case.intent is None
    assert [(debt.key, debt.cause) for debt in session.case.debts if debt.open] == [
        (late, Cause.SWEPT)
    ]
    assert _rows(service.journal) != before
    service.keeper.give_back(held)
    assert service.rotate("one", WAIT).code == 0


def test_who_carries_on_settles_what_the_dead_left_before_any_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = _left_behind(bench, monkeypatch)
    with bench.service.session("one") as session:
        assert session.case.intent is None
        assert late in [debt.key for debt in session.case.debts]
