"""What a person orders while another process holds the lease is carried out by that process, before
its next act, and followed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.state import Cause, Outcome
from rotator.engine import ordering
from rotator.errors import (
    BusyError,
    ConfigError,
    PermanentError,
    RefusedError,
    TransientError,
)
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import cases, leases, standing
from rotator.model import Change
from rotator.usecases import orders
from rotator.usecases.report import Report
from rotator.usecases.service import Request, Service
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


@contextmanager
def held(bench: Bench, request: Request = WAIT) -> Iterator[list[Report]]:
    """Another process works on the playbook; what it reports, once it has ended."""
    reports: list[Report] = []
    holder = threading.Thread(target=lambda: reports.append(bench.service.rotate("one", request)))
    holder.start()
    yield reports
    holder.join(60)
    assert reports and reports[0].error is None, reports


@pytest.fixture
def other(bench: Bench) -> Iterator[Service]:
    found = bench.fresh()
    yield found
    found.close()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def waits_for_grace(service: Service) -> bool:
    with service.journal.database.read() as connection:
        debts = cases.load(connection, "one").debts
        working = leases.holding(connection, "one")
    return (
        working is not None
        and not working.expired
        and any(debt.phase is DebtPhase.GRACE for debt in debts)
    )


def away_until_ordered(
    monkeypatch: pytest.MonkeyPatch, service: Service, plugin: type, method: str, again: float
) -> threading.Event:
    """A neighbour that is away until somebody writes an order down; set once it was asked.

    `again`: seconds until it is to be asked again.
    """
    asked, real = threading.Event(), getattr(plugin, method)

    def away(self: Any, *given: Any) -> Any:
        asked.set()
        if not was_ordered(service):
            raise TransientError("away for a while", retry_in=again)
        return real(self, *given)

    monkeypatch.setattr(plugin, method, away)
    return asked


def was_ordered(service: Service) -> bool:
    with service.journal.database.read() as connection:
        return bool(connection.execute(text("SELECT count(*) FROM orders")).scalar())


def patient(bench: Bench, grace: str = "0s") -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    told = path.read_text().replace("step: 2s", "step: 10m").replace("grace: 0s", f"grace: {grace}")
    path.write_text(told)


def test_undo_turns_the_rotation_of_another_process_back(
    bench: Bench, other: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(bench)
    first = bench.stored
    asked = away_until_ordered(monkeypatch, other, MemoryRestarter, "progress", 0.05)
    with held(bench) as reports:
        asked.wait(60)
        report = orders.order(other, "one", Order.UNDO, Request(reason="the wrong project"))
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK
    assert reports[0].rotation and reports[0].rotation.id == report.rotation.id, "one rotation"
    assert bench.live == [first] == [bench.stored] == [bench.consumer.holds]


def test_undo_after_the_pivot_brings_the_previous_key_back_while_another_waits_for_its_grace(
    bench: Bench, other: Service
) -> None:
    patient(bench, grace="23h")
    first = bench.stored
    with held(bench):
        until(lambda: waits_for_grace(other))
        assert len(bench.live) == 2
        report = orders.order(other, "one", Order.UNDO, Request())
        assert bench.stored == first == bench.consumer.holds, report
        orders.order(other, "one", Order.REVOKE, Request(wait=True))
    assert bench.live == [first]


def test_revoke_ends_the_grace_that_another_process_waits_for(bench: Bench, other: Service) -> None:
    patient(bench, grace="23h")
    first = bench.stored
    with held(bench):
        until(lambda: waits_for_grace(other))
        report = orders.order(other, "one", Order.REVOKE, Request(wait=True, reason="no use"))
    assert report.code == 0 and report.rotation is None, report
    assert first not in bench.live and bench.live == [bench.stored]


def test_resume_ends_the_wait_of_another_process_for_a_neighbour(
    bench: Bench, other: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(bench)
    first = bench.stored
    asked = away_until_ordered(monkeypatch, other, MemoryStore, "write", 50.0)
    with held(bench):
        asked.wait(60)
        until(lambda: waiting_until(bench) > time.time() + 20)
        report = orders.order(other, "one", Order.RESUME, Request())
        assert waiting_until(bench) == 0.0
    assert report.code == 0 and bench.stored != first
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def waiting_until(bench: Bench) -> float:
    with bench.service.journal.database.read() as connection:
        rotation = cases.load(connection, "one").rotation
    return (rotation.wake or 0.0) if rotation is not None else 0.0


def test_abandon_ends_the_rotation_of_another_process_and_says_which_key_is_in_force(
    bench: Bench, other: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made is an old key from now on."""
    patient(bench)
    first, asked = bench.stored, threading.Event()

    def away(self: MemoryStore, *given: Any) -> Any:
        asked.set()
        raise TransientError("away for good", retry_in=0.05)

    monkeypatch.setattr(MemoryStore, "write", away)
    with held(bench) as reports:
        asked.wait(60)
        current, report = orders.abandon(other, "one", "", "not today")
        assert current is not None and current.id == "one-key1"
        assert report.rotation and report.rotation.outcome is Outcome.ABANDONED, report
    assert reports[0].rotation and reports[0].rotation.outcome is Outcome.ABANDONED
    assert first in bench.live and first == bench.stored == bench.consumer.holds
    assert [debt.key.id for debt in report.debts if debt.open] == ["one-key2"]


def test_what_the_holder_cannot_do_is_told_who_ordered_it(bench: Bench, other: Service) -> None:
    """And it is in the audit log of both: what was ordered, by whom."""
    patient(bench, grace="23h")
    with held(bench):
        until(lambda: waits_for_grace(other))
        with pytest.raises(RefusedError, match="has no old key nobody"):
            orders.order(other, "one", Order.REVOKE, Request(key="nobody"))
        assert len(bench.live) == 2
        orders.order(other, "one", Order.REVOKE, Request(wait=True))
    assert bench.live == [bench.stored]


def test_who_is_interrupted_takes_the_order_back(
    bench: Bench, other: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder is in the middle of a call: it never hears of it, and goes on to the new key."""
    first, goes_on, written = bench.stored, threading.Event(), MemoryStore.write
    begun = threading.Event()

    def write(self: MemoryStore, *given: Any) -> Any:
        begun.set()
        assert goes_on.wait(60)
        return written(self, *given)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    patient(bench)
    monkeypatch.setattr(MemoryStore, "write", write)
    other.waits = interrupted
    with held(bench):
        begun.wait(60)
        with pytest.raises(KeyboardInterrupt):
            orders.order(other, "one", Order.UNDO, Request())
        assert was_ordered(other)
        goes_on.set()
    assert bench.stored != first and bench.live == [bench.stored] == [bench.consumer.holds]


def test_an_order_that_nobody_took_up_is_carried_out_by_who_gave_it(
    bench: Bench, other: Service
) -> None:
    """The holder ended before its next act."""
    patient(bench, grace="23h")
    assert bench.service.rotate("one").code == 0
    taken = bench.service.keeper.take("one")

    def waits(*_: Any) -> None:
        if bench.service.keeper._held:
            bench.service.keeper.give_back(taken)

    other.waits = waits
    report = orders.order(other, "one", Order.REVOKE, Request(wait=True))
    assert report.code == 0 and bench.live == [bench.stored]
    with other.journal.database.read() as connection:
        assert not standing.playbooks(connection)


def given(bench: Bench, kind: Order, rotation: str, at: float) -> int:
    with bench.service.journal.database.write() as connection:
        return standing.write(connection, "one", "", "me", "why", at, kind, rotation)


def test_an_order_about_an_earlier_rotation_undoes_no_later_one(bench: Bench) -> None:
    """Who gave it was killed before it was taken up, and the next rotation comes a month later."""
    patient(bench, grace="23h")
    before = bench.service.rotate("one").rotation
    assert before is not None
    number = given(bench, Order.UNDO, before.id, time.time())
    with bench.service.journal.database.write() as connection:  # a rotation that began meanwhile
        connection.execute(text("UPDATE orders SET rotation = 'of before'"))
    second = bench.stored
    with bench.service.session("one") as session:
        session.advance()
    with bench.service.journal.database.read() as connection:
        answer = standing.answered(connection, number)
    assert answer is not None and "another rotation has begun" in answer.refused
    assert bench.stored == second == bench.consumer.holds and len(bench.live) == 2


def test_an_order_to_revoke_means_the_old_keys_that_there_were(bench: Bench) -> None:
    """The rotation went on before it was taken up: the key that became old by that keeps its
    grace.
    """
    patient(bench, grace="23h")
    first, now = bench.stored, time.time()
    rotation = bench.service.rotate("one").rotation
    assert rotation is not None
    number = given(bench, Order.REVOKE, rotation.id, now)
    with bench.service.session("one") as session:
        session.advance()
    with bench.service.journal.database.read() as connection:
        answer = standing.answered(connection, number)
        debts = cases.load(connection, "one").debts
    assert answer is not None and "nothing to revoke" in answer.refused
    assert first in bench.live and [debt.cause for debt in debts] == [Cause.ROTATED]


def test_a_rotator_from_before_these_orders_does_not_take_them_for_an_incident(
    bench: Bench,
) -> None:
    """It takes up what has no answer, and would kill the key in force."""
    for kind in (Order.UNDO, Order.RESUME, Order.REVOKE, Order.ABANDON):
        given(bench, kind, "", time.time())
    with bench.service.journal.database.read() as connection:
        seen = connection.execute(text("SELECT kind FROM orders WHERE answer IS NULL")).all()
        assert not seen and len(standing.waiting(connection, "one")) == 4


def test_resume_as_today_says_that_the_holder_goes_by_the_playbook_of_before(
    bench: Bench, other: Service
) -> None:
    taken = bench.service.keeper.take("one")
    with pytest.raises(BusyError) as refused:
        orders.order(other, "one", Order.RESUME, Request(today=True))
    assert "goes by the playbook as it was when that began: stop it" in refused.value.hint
    bench.service.keeper.give_back(taken)


def test_an_undo_that_needs_a_playbook_which_is_gone_says_so(bench: Bench, other: Service) -> None:
    patient(bench, grace="23h")
    assert bench.service.rotate("one").code == 0
    second = bench.stored
    (bench.folder / "playbooks" / "one.yaml").write_text("generate: {uses: nothing}\n")
    with pytest.raises(ConfigError, match="does not load"):
        orders.order(other, "one", Order.UNDO, Request())
    assert bench.stored == second


def test_an_order_whose_process_was_killed_is_carried_out_by_the_next_look(bench: Bench) -> None:
    """Both who ordered and who held the lease have died: nothing else is due for a month."""
    first = bench.stored
    assert bench.service.rotate("one").code == 0
    second = bench.stored
    assert not bench.service.due(Request())[0] and first not in bench.live
    given(bench, Order.REVOKE_FIRST, "", time.time())
    bench.service.due(Request())
    assert second not in bench.live and bench.live == [bench.stored] == [bench.consumer.holds]


def test_an_order_that_a_living_process_will_take_up_is_left_to_it(
    bench: Bench, other: Service
) -> None:
    taken = other.keeper.take("one")
    given(bench, Order.REVOKE_FIRST, "", time.time())
    assert not bench.service.due(Request())[0]
    other.keeper.give_back(taken)


def test_an_undo_that_was_begun_by_who_died_before_the_answer_is_not_refused(
    bench: Bench,
) -> None:
    """Who was told so would order it once more: on the rotation that brings the key back."""
    patient(bench, "1h")
    assert bench.service.rotate("one").code == 0
    with bench.service.session("one") as session:
        assert session.case.rotation is not None
        order = standing.Standing(1, Order.UNDO, "", "alice", "", session.case.rotation.id, 9e9)
        first = ordering.take_up(session, order)
        assert ordering.take_up(session, order) == first
        assert session.case.rotation.back
        assert session.case.rotation.id == first.rotation


def test_an_order_about_a_playbook_that_never_rotated_is_refused(bench: Bench) -> None:
    """It stood before the first rotation, and nobody has begun one since."""
    with bench.service.session("one") as session:
        order = standing.Standing(1, Order.UNDO, "", "alice", "", "", 9e9)
        with pytest.raises(RefusedError, match="nothing to undo"):
            ordering.take_up(session, order)


def test_a_rotation_that_was_abandoned_by_who_died_before_the_answer_is_abandoned(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryRestarter, "restart", _never)
    assert bench.service.rotate("one").rotation is not None
    with bench.service.session("one") as session:
        assert session.case.unfinished is not None
        order = standing.Standing(1, Order.ABANDON, "", "alice", "", session.case.unfinished.id)
        first = ordering.take_up(session, order)
        assert first.keys
        assert ordering.take_up(session, order) == first


def _never(restarter: MemoryRestarter, change: Change) -> None:
    raise PermanentError("no")
