"""What happened is handed out after each commit: typed, in order, without secrets; and listeners stop
nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from rotator.audit import chain
from rotator.audit.record import Actor
from rotator.audit.stream import Stream
from rotator.engine.events import (
    Began,
    CallEnded,
    CallIntended,
    Decided,
    Ended,
    Event,
    Noted,
    Ordered,
    OrderRefused,
    Signed,
    event_of,
)
from rotator.engine.listeners import AuditStream, Listeners
from rotator.journal import tables
from rotator.journal.database import Database
from rotator.usecases import adopt, pause
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


@dataclass
class Heard:
    """A listener that remembers."""

    name: str = "a listener of the test"
    events: list[Event] = field(default_factory=list)

    def hear(self, events: Sequence[Event]) -> None:
        self.events += events


@dataclass
class Failing:
    name: str = "a broken listener"
    calls: int = 0

    def hear(self, events: Sequence[Event]) -> None:
        self.calls += 1
        raise ValueError("no connection to the\nmetrics")


def _records(database: Database) -> list[str]:
    """What the journal has, in its order."""
    with database.read() as connection:
        rows = connection.execute(select(tables.audit.c.record).order_by(tables.audit.c.n))
        return [row[0] for row in rows]


def test_a_rotation_is_heard_as_typed_events_in_the_journals_order(bench: Bench) -> None:
    heard = Heard()
    bench.service.listeners = Listeners([heard])
    report = bench.service.rotate("one", Request(wait=True, reason="the quarter is over"))
    assert report.code == 0 and report.rotation is not None
    of_chains = [event for event in heard.events if not isinstance(event, Signed)]
    assert [(event.chain, event.seq) for event in of_chains] == [
        (found["chain"], found["seq"])
        for found in map(json.loads, _records(bench.service.journal.database))
    ]
    began, *_ = of_chains
    assert isinstance(began, Began) and began.reason == "the quarter is over"
    assert {event.rotation for event in of_chains} == {report.rotation.id}
    assert {event.playbook for event in of_chains} == {"one"}
    written = [event for event in of_chains if isinstance(event, CallEnded) and event.op == "write"]
    assert [(event.step, event.target, event.result) for event in written] == [
        ("store", "memory one", "done")
    ]
    assert any(type(event) is CallIntended and event.op == "generate" for event in of_chains)
    assert any(isinstance(event, Decided) and "pivot" in event.decision for event in of_chains)
    (ended,) = [event for event in of_chains if isinstance(event, Ended)]
    assert ended.outcome == "verified"
    signed = [event.checkpoint for event in heard.events if isinstance(event, Signed)]
    assert signed == sorted(set(signed)) and signed


def test_what_a_listener_missed_is_the_same_event_from_the_journal(bench: Bench) -> None:
    heard = Heard()
    bench.service.listeners = Listeners([heard])
    assert bench.service.rotate("one", WAIT).code == 0
    known = [event for event in heard.events if not isinstance(event, Signed)]
    records = [json.loads(record) for record in _records(bench.service.journal.database)]
    for event, record in zip(known, records, strict=True):
        later = event_of(record)
        assert type(later) is type(event)
        assert (later.time, later.chain, later.seq) == (event.time, event.chain, event.seq)
        assert {**event.record, "hash": None} == {**record, "hash": None}


def test_events_hold_no_key(bench: Bench) -> None:
    heard = Heard()
    bench.service.listeners = Listeners([heard])
    old = bench.stored
    assert bench.service.rotate("one", WAIT).code == 0
    for value in (old, bench.stored):
        assert value not in repr(heard.events)
        assert all(value not in json.dumps(event.record) for event in heard.events)


def test_orders_and_what_belongs_to_no_rotation_are_heard_too(bench: Bench) -> None:
    heard = Heard()
    bench.service.listeners = Listeners([heard])
    pause.begin(bench.service, "playbook one", bench.service.clock.now() + 60, "the move")
    pause.end(bench.service, "playbook one", "it is over")
    adopt.adopt(bench.service, "one")
    noted = [event for event in heard.events if isinstance(event, Noted)]
    assert [event.event for event in noted] == ["paused", "pause ended", "adopted"]
    assert noted[0].reason == "the move" and {event.rotation for event in noted} == {""}
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    bench.service.checkpoint()
    assert any(isinstance(event, Began) and event.compromised for event in heard.events)
    assert isinstance(heard.events[-1], Signed)


def test_what_is_ordered_and_what_is_refused_are_events_of_their_own() -> None:
    ordered = event_of({"event": "order", "order": "undo", "by": "ann@here by cli", "seq": 3})
    assert isinstance(ordered, Ordered) and (ordered.order, ordered.seq) == ("undo", 3)
    refused = event_of({"event": "refused", "order": "undo", "reason": "it is over"})
    assert isinstance(refused, OrderRefused) and refused.reason == "it is over"


def test_a_listener_that_fails_stops_no_rotation_and_is_reported_once(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    failing, heard = Failing(), Heard()
    bench.service.listeners = Listeners([failing, heard])
    assert bench.service.rotate("one", WAIT).code == 0
    assert failing.calls > 1 and isinstance(heard.events[0], Began)
    told = capsys.readouterr().err
    assert told.count("a broken listener failed") == 1
    assert "ValueError: no connection to the metrics" in told and "audit export" in told


def test_what_was_rolled_back_is_never_heard(bench: Bench) -> None:
    heard = Heard()
    listeners, database = Listeners([heard]), bench.service.journal.database
    with pytest.raises(ZeroDivisionError), database.write():
        listeners.once_committed(database, [{"event": "paused"}])
        raise ZeroDivisionError
    with database.write():
        listeners.once_committed(database, [{"event": "adopted"}])
    assert heard.events == []  # nothing before it is handed out
    listeners.hand_out()
    assert [event.record["event"] for event in heard.events] == ["adopted"]


def test_threads_that_commit_at_once_are_heard_in_the_order_of_their_commits(bench: Bench) -> None:
    heard, database = Heard(), bench.service.journal.database
    listeners, actor = Listeners([heard]), Actor("ann", "here", "test")

    def work(number: int) -> None:
        for _ in range(10):
            with database.write() as connection:
                record = chain.append(connection, f"chain {number}", 0.0, "noted", actor)
                listeners.once_committed(database, [record])
            listeners.hand_out()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = [json.loads(record) for record in _records(database)]
    assert [(event.chain, event.seq) for event in heard.events] == [
        (record["chain"], record["seq"]) for record in there
    ]
    assert len(there) == 40


def test_what_a_listener_commits_itself_is_heard_by_all_in_one_order(bench: Bench) -> None:
    database, heard = bench.service.journal.database, Heard()

    @dataclass
    class Writing:
        name: str = "a listener that writes"

        def hear(self, events: Sequence[Event]) -> None:
            if any(event.record["event"] == "first" for event in events):
                with database.write():
                    listeners.once_committed(database, [{"event": "second"}])
                listeners.hand_out()

    listeners = Listeners([Writing(), heard])
    with database.write():
        listeners.once_committed(database, [{"event": "first"}])
    listeners.hand_out()
    assert [event.record["event"] for event in heard.events] == ["first", "second"]


def test_a_process_that_ends_before_the_listener_loses_nothing_of_the_rotation(
    bench: Bench,
) -> None:
    class Killed(BaseException):
        """As if the process had ended there."""

    @dataclass
    class Ending:
        name: str = "the end"

        def hear(self, events: Sequence[Event]) -> None:
            if any(isinstance(event, CallEnded) and event.op == "write" for event in events):
                raise Killed

    bench.service.listeners = Listeners([Ending()])
    with pytest.raises(Killed):
        bench.service.rotate("one", WAIT)
    other, heard = bench.fresh(), Heard()
    other.listeners = Listeners([heard])
    assert other.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]
    # The write is no event of the second process; the journal has it.
    assert not any(
        isinstance(event, CallEnded) and event.op == "write" and event.result == "done"
        for event in heard.events
    )
    events = [event_of(json.loads(record)) for record in _records(other.journal.database)]
    assert any(isinstance(event, CallEnded) and event.op == "write" for event in events)
    other.close()


def test_the_audit_stream_is_a_listener(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.service.listeners = Listeners([AuditStream(Stream(["stdout"]))])
    assert bench.service.rotate("one", WAIT).code == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if "checkpoint" not in line] == [
        {**json.loads(record), "hash": line["hash"]}
        for record, line in zip(
            _records(bench.service.journal.database),
            [line for line in lines if "checkpoint" not in line],
            strict=True,
        )
    ]
