"""People are told, once for each cause and at least once, whatever crashes; and no rotation waits for it,
or fails.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select

from rotator import deadline
from rotator.audit import chain
from rotator.cli import doctor
from rotator.clients import http
from rotator.core.plan import ConsumerPlan, Plan, StorePlan
from rotator.core.state import Phase, Rotation
from rotator.errors import JournalError, PermanentError, Rejected
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import naming as renaming
from rotator.journal import notices, tables
from rotator.model import Credential
from rotator.notices import found, outbox
from rotator.plugin.channel import Kind
from rotator.secret import Secret
from rotator.settings import Settings
from rotator.usecases import orders, supply
from rotator.usecases.service import Request, Service
from rotator.views.health import health
from tests.integration.conftest import Bench
from tests.receiver import SECRET, Receiver, receiving
from tests.simulation.simulator import VirtualClock

_ROTATION = Rotation(
    "r", "one", Plan(stores=(StorePlan("s"),), consumers=(ConsumerPlan("c"),)), now=1e9, since=1e9
)
_OPS = {"uses": "webhook", "url": {"env": "HOOK_URL"}, "secret": {"env": "HOOK_SECRET"}}
HOUR, DAY = 3_600.0, 86_400.0
MIDNIGHT = 1_826_841_600.0  # 2027-11-22 00:00 UTC
ALL = "started, waiting for a person, rolled back, refused, needs attention, overdue, done"


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """Also of the world that is rotated."""
    found = VirtualClock(MIDNIGHT)
    monkeypatch.setattr(memory.WORLD, "now", found.now)
    return found


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        monkeypatch.setenv("HOOK_URL", found.url)
        monkeypatch.setenv("HOOK_SECRET", SECRET)
        yield found


def notify(more: str = "", kinds: str = ALL) -> str:
    return (
        "notify: [{uses: webhook, url: {env: HOOK_URL}, secret: {env: HOOK_SECRET},"
        f" when: [{kinds}]{more}}}]"
    )


def outstanding(service: Service) -> dict[str, notices.Outstanding]:
    with service.journal.database.read() as connection:
        return notices.outstanding(connection)


def given_up(service: Service) -> list[dict[str, Any]]:
    with service.journal.database.read() as connection:
        records = chain.records(connection, chain.INSTALLATION)
    return [record for record in records if record["event"] == "notices given up"]


def ended(bench: Bench, clock: VirtualClock | None = None) -> None:
    """The command ends, and another one begins."""
    bench.service.close()
    bench.service = again(bench, clock)


def again(
    bench: Bench, clock: VirtualClock | None = None, way: str = "test", **more: Any
) -> Service:
    """Another process; `more`: its settings."""
    usual = {"playbooks": (bench.folder / "playbooks",), "database_url": bench.url}
    settings = Settings(bench.folder, **{**usual, **more})
    return Service(settings, way, **({"clock": clock} if clock else {}))


def begun(bench: Bench, more: str, clock: VirtualClock | None = None) -> None:
    """With notices from here on: the first look tells nothing of what was before."""
    bench.playbook(more=more)
    ended(bench, clock)
    bench.service.outbox.look()


def test_a_rotation_is_told_signed_and_each_thing_once(bench: Bench, receiver: Receiver) -> None:
    begun(bench, notify())
    assert bench.service.rotate("one", Request(reason="the quarter is over")).code == 0
    ended(bench)
    assert receiver.kinds == ["started", "done"]
    first, last = receiver.received
    assert first.verified and last.verified and first.id != last.id
    assert "the quarter is over" in first.data["text"] and "rotate" not in first.data["title"]
    assert last.data["playbook"] == "one" and last.data["title"] == "one: the new key is in force"
    assert json.loads(last.body)["type"] == "rotation.done"
    assert first.data["rotation"] == last.data["rotation"] != ""
    bench.service.due(Request())
    ended(bench)
    assert len(receiver.received) == 2 and outstanding(bench.service) == {}


def test_what_was_before_the_first_look_is_told_nobody(bench: Bench, receiver: Receiver) -> None:
    assert bench.service.rotate("one", Request()).code == 0
    bench.playbook(more=notify())
    ended(bench)
    bench.service.due(Request())
    ended(bench)
    assert receiver.received == []
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench)
    assert receiver.kinds == ["started", "done"]


def test_the_first_timer_of_all_tells_what_it_did_itself(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(more="schedule: {every: 30d}\n" + notify(kinds="rolled back"))
    ended(bench)

    def refuse(self: MemoryStore, *_: Any) -> str:
        raise PermanentError("the disk is full")

    monkeypatch.setattr(MemoryStore, "write", refuse)
    bench.service.due(Request())
    ended(bench)
    assert receiver.kinds == ["rolled back"]


def test_only_what_was_asked_for_is_told(bench: Bench, receiver: Receiver) -> None:
    begun(bench, notify(kinds="done"))
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench)
    assert receiver.kinds == ["done"]


def test_a_failure_is_told_once_for_each_cause_and_anew_after_a_success(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="rolled back, refused, done"))
    write = MemoryStore.write

    def fails(words: str) -> None:
        def refuse(self: MemoryStore, *_: Any) -> str:
            raise PermanentError(words)

        monkeypatch.setattr(MemoryStore, "write", refuse)

    fails("the disk of host-17 is full")
    for _ in range(2):
        assert bench.service.rotate("one", Request()).code == 3
        ended(bench)
    fails("the disk of host-18 is full")
    assert bench.service.rotate("one", Request()).code == 3
    ended(bench)
    assert receiver.kinds == ["rolled back"]
    assert "the disk of host-17 is full" in receiver.received[0].data["text"]
    fails("no such directory")
    assert bench.service.rotate("one", Request()).code == 3
    ended(bench)
    assert receiver.kinds == ["rolled back", "rolled back"]
    monkeypatch.setattr(MemoryStore, "write", write)
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench)
    fails("no such directory")
    assert bench.service.rotate("one", Request()).code == 3
    ended(bench)
    assert receiver.kinds == ["rolled back", "rolled back", "done", "rolled back"]


def test_a_receiver_that_fails_gets_the_same_notice_later_with_the_same_id(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    receiver.answers = [500, 500]
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    assert len(receiver.received) == 1
    (left,) = outstanding(bench.service).values()
    assert left.waiting == 1 and "answered 500" in left.error
    bench.service.tell(outbox.TRY)
    assert len(receiver.received) == 1, "not before its time"
    clock.wait(outbox.FIRST)
    bench.service.tell(outbox.TRY)
    clock.wait(outbox.FIRST)
    bench.service.tell(outbox.TRY)
    assert len(receiver.received) == 2, "each wait is twice the one before"
    clock.wait(outbox.FIRST)
    bench.service.tell(outbox.TRY)
    assert len({one.id for one in receiver.received}) == 1 and len(receiver.received) == 3
    assert all(one.verified for one in receiver.received)
    assert outstanding(bench.service) == {} and given_up(bench.service) == []


def test_what_nobody_takes_for_a_day_is_given_up_and_told_in_the_audit_log(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="started, done"), clock)
    receiver.answers = [503] * 1000
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    for _ in range(40):
        clock.wait(HOUR)
        bench.service.tell(outbox.TRY)
    assert len(receiver.received) < 50, "once an hour in the end"
    (left,) = outstanding(bench.service).values()
    assert (left.waiting, left.given_up) == (0, 2)
    (record,) = given_up(bench.service)
    assert record["channel"] == "one/1" and record["notices"] == "2"
    assert "503" in record["reason"] and "T0ken" not in json.dumps(record)
    receiver.answers = []
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    assert outstanding(bench.service) == {}, "its channel works again"


def test_what_was_given_up_and_still_stands_is_told_once_the_channel_works(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    """Who was not told in two days must not think that nothing is wrong."""
    _overdue(bench, clock)
    receiver.answers = [503] * 1000
    for _ in range(40):
        bench.service.tell(outbox.TRY, all_keys=True)
        clock.wait(HOUR)
    assert outstanding(bench.service)["ops"].given_up == 1
    receiver.received, receiver.answers = [], []
    other = notices.New("ops", "one", Kind.DONE, "c", clock.now(), "title", "text")
    with bench.service.journal.database.write() as connection:
        notices.add(connection, other, clock.now())
    for _ in range(3):
        bench.service.tell(outbox.TRY, all_keys=True)
    assert receiver.kinds == ["done", "overdue"] and outstanding(bench.service) == {}


def test_a_receiver_that_is_gone_gets_it_no_more(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    receiver.answers = [410]
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    clock.wait(DAY)
    bench.service.tell(outbox.TRY)
    assert len(receiver.received) == 1
    assert [record["playbook"] for record in given_up(bench.service)] == ["one"]


def test_what_is_cut_with_its_process_is_no_failure_of_the_channel(
    bench: Bench, receiver: Receiver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="done"), clock)
    assert bench.service.rotate("one", Request()).code == 0
    monkeypatch.setattr(deadline, "_ends", threading.Event())
    right = http.send

    def ends_meanwhile(request: http.Request) -> http.Answer:
        deadline.cut()
        return right(request)

    with monkeypatch.context() as patch:
        patch.setattr(http, "send", ends_meanwhile)
        bench.service.tell(10.0)
    (left,) = outstanding(bench.service).values()
    assert left.waiting == 1 and left.error == "" and receiver.received == []
    monkeypatch.setattr(deadline, "_ends", threading.Event())
    clock.wait(notices.HOLD + 1)
    bench.service.tell(10.0)
    assert receiver.kinds == ["done"] and outstanding(bench.service) == {}


def test_that_notices_were_given_up_goes_into_the_audit_stream(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.outbox.look()
    receiver.answers = [410]
    stream = bench.folder / "stream.jsonl"
    other = again(bench, clock, audit_stream=(str(stream),))
    other.tell(outbox.TRY)
    other.close()
    events = [json.loads(line)["event"] for line in stream.read_text().splitlines()]
    assert events == ["notices given up"]


def test_a_receiver_that_hangs_holds_up_no_command_and_no_other_channel(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as hanging:
        hanging.answers = [-1] * 100
        monkeypatch.setenv("HANGING_URL", hanging.url)
        other = "{uses: webhook, url: {env: HANGING_URL}, secret: {env: HOOK_SECRET}, when: done}"
        begun(bench, notify(kinds="done").replace("]}]", f"]}}, {other}]"))
        assert bench.service.rotate("one", Request()).code == 0
        over = threading.Event()

        def close() -> None:
            ended(bench)
            over.set()

        threading.Thread(target=close).start()
        assert over.wait(60), "the command ended although nobody answered"
        assert receiver.kinds == ["done"] and len(hanging.received) == 1
        (left,) = outstanding(bench.service).values()
        assert (left.channel, left.waiting) == ("one/2", 1)


def test_a_process_that_was_killed_before_it_told_anybody_leaves_it_to_the_next(
    bench: Bench, receiver: Receiver
) -> None:
    begun(bench, notify(kinds="done"))
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.tells_at_end = False  # as if it had ended right after the commit
    ended(bench)
    assert receiver.received == []
    bench.service.due(Request())
    ended(bench)
    assert receiver.kinds == ["done"]


def test_two_processes_send_it_once(bench: Bench, receiver: Receiver) -> None:
    begun(bench, notify(kinds="done"))
    others = [again(bench) for _ in range(4)]
    assert bench.service.rotate("one", Request()).code == 0
    threads = [threading.Thread(target=one.tell, args=(10.0,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        assert one.not_told == ""
        one.close()
    assert receiver.kinds == ["done"]


def test_a_process_that_was_killed_while_it_sent_leaves_it_with_the_same_id(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.outbox.look()
    with bench.service.journal.database.write() as connection:
        (row,) = notices.due(connection, clock.now(), 10)
        assert notices.claim(connection, row, clock.now())
        assert not notices.claim(connection, row, clock.now()), "one holds it"
    bench.service.tell(outbox.TRY)
    assert receiver.received == [], "it may be on its way"
    clock.wait(notices.HOLD + 1)
    bench.service.tell(outbox.TRY)
    assert [one.id for one in receiver.received] == [row.id]


def test_settings_tell_of_all_playbooks(bench: Bench, receiver: Receiver) -> None:
    bench.service.close()
    bench.service = again(bench, notify={"ops": {**_OPS, "when": ["done"]}})
    bench.service.outbox.look()
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.close()
    bench.service = again(bench)
    assert receiver.kinds == ["done"]


def test_what_needs_attention_is_told_once_until_it_does_no_more(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="needs attention"))

    def down(self: MemoryRestarter, *_: Any) -> Any:
        raise PermanentError("the service does not come up")

    monkeypatch.setattr(MemoryRestarter, "progress", down)
    monkeypatch.setattr(MemoryRestarter, "restart", down)
    assert bench.service.rotate("one", Request()).code == 4
    ended(bench)
    for _ in range(2):
        bench.service.due(Request())
        ended(bench)
    assert receiver.kinds == ["needs attention"]
    assert receiver.received[0].data["title"] == "one needs attention"
    assert "rotator resume one" in receiver.received[0].data["text"]


def test_what_fails_since_an_old_key_was_revoked_is_told_once_until_it_passes(
    bench: Bench, receiver: Receiver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may still have had it; nobody looks at a rotation that went well."""
    begun(bench, notify(kinds="needs attention"), clock)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("watch: 0s", "watch: 1h"))
    assert bench.service.rotate("one").code == 0 and bench.live == [bench.stored]

    def refuse(*_: Any) -> None:
        raise Rejected("401: no such key")

    def later(times: int) -> None:
        for _ in range(times):
            clock.at += 60.0
            bench.service.due(Request())
            bench.service.tell(10.0)

    with monkeypatch.context() as without:
        without.setattr(MemoryProvider, "probe", refuse)
        later(6)
    (told,) = receiver.received
    assert told.data["kind"] == "needs attention"
    assert "a probe fails since one-key1 was revoked: " in told.data["text"]
    assert "give whoever still has it the key in force" in told.data["text"]
    later(2)
    with monkeypatch.context() as without:
        without.setattr(MemoryProvider, "probe", refuse)
        later(6)
    assert receiver.kinds == ["needs attention"] * 2, "it had passed in between"
    clock.at += HOUR
    later(2)
    assert len(receiver.received) == 2 and outstanding(bench.service) == {}


def test_overdue_and_due_soon_are_told_once_for_each_due_moment(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    more = "schedule: {every: 30d}\n" + notify(kinds="overdue", more=", before: 7d")
    begun(bench, more, clock)
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.tell(10.0, all_keys=True)
    assert receiver.received == []
    clock.wait(23 * DAY - 60)
    bench.service.tell(10.0, all_keys=True)
    assert receiver.received == []
    clock.wait(120)
    for _ in range(3):
        bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["due soon"]
    assert "2027-12-22" in receiver.received[0].data["text"]
    clock.wait(9 * DAY)
    for _ in range(3):
        bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["due soon", "overdue"]
    assert bench.service.rotate("one", Request()).code == 0
    clock.wait(23 * DAY + 60)
    bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["due soon", "overdue", "due soon"]


def test_a_secret_that_is_missing_here_fails_no_rotation_and_another_process_tells(
    bench: Bench, receiver: Receiver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="done"), clock)
    monkeypatch.delenv("HOOK_SECRET")
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    (left,) = outstanding(bench.service).values()
    assert left.error == "the environment variable HOOK_SECRET is not set"
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    clock.wait(outbox.FIRST)
    bench.service.tell(10.0)
    assert receiver.kinds == ["done"] and receiver.received[0].verified


def test_a_playbook_that_is_broken_by_now_is_told_by_its_last_version(
    bench: Bench, receiver: Receiver
) -> None:
    begun(bench, notify(kinds="done"))
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.tells_at_end = False
    bench.service.close()
    (bench.folder / "playbooks" / "one.yaml").write_text("generate: {uses: nothing}\n" + notify())
    bench.service = again(bench)
    bench.service.tell(10.0)
    assert receiver.kinds == ["done"]


def test_no_key_and_no_address_leaves_by_a_notice(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify())
    old = bench.stored

    def write(self: MemoryStore, credential: Credential, *_: Any) -> str:
        raise Rejected(f"{credential.primary.reveal()} was refused, {receiver.url} said so")

    monkeypatch.setattr(MemoryStore, "write", write)
    assert bench.service.rotate("one", Request()).code == 3
    ended(bench)
    assert "rolled back" in receiver.kinds
    secrets = {old, *(key.value for key in bench.issuer.keys.values()), SECRET}
    for one in receiver.received:
        assert all(value.encode() not in one.body for value in secrets)


def test_a_process_without_the_settings_of_the_service_leaves_what_it_did_to_it(
    bench: Bench, receiver: Receiver
) -> None:
    """Whoever helps out by hand, on a laptop, with other settings."""
    service = again(bench, way="daemon", notify={"ops": {**_OPS, "when": ["done"]}})
    service.outbox.look()
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench)
    bench.service.tell(10.0)
    assert receiver.kinds == []
    service.tell(10.0)
    service.close()
    assert receiver.kinds == ["done"]


def test_daemons_with_other_channels_tell_over_all_of_them_and_each_once(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    """Whichever of them looks first: what is for a channel that the other one has waits for it."""

    def daemon(name: str, **tables: Any) -> Service:
        made = again(bench, clock, "daemon", node=name, **tables)
        made.fleet.report(made.playbooks(), clock.now())
        made.outbox.look()
        return made

    one = daemon("web-1", notify={"ops": {**_OPS, "when": ["started"]}})
    both = {"ops": {**_OPS, "when": ["done"]}, "pager": {**_OPS, "when": ["done"]}}
    two = daemon("web-2", notify=both)
    assert one.rotate("one").code == 0
    for service in (one, two, one, two):
        service.outbox.look()
    with one.journal.database.read() as connection:
        rows = connection.execute(select(tables.notices.c.channel, tables.notices.c.kind)).all()
    assert sorted(map(tuple, rows)) == [("ops", "done"), ("ops", "started"), ("pager", "done")]
    one.tell(10.0)
    assert sorted(receiver.kinds) == ["done", "started"], "it has no pager"
    two.tell(10.0)
    assert sorted(receiver.kinds) == ["done", "done", "started"]
    one.tell(10.0)
    assert len(receiver.received) == 3 and outstanding(one) == {}
    told = {check.subject: doctor.line(check) for check in health(one)}["nodes"]
    assert not told.ok and told.text == (
        "alive: web-1, web-2; they have other settings of [notify] for ops, pager"
    )
    two.fleet.leave()
    assert one.rotate("one").code == 0
    one.tell(10.0)
    assert outstanding(one) == {}, "nothing waits for a daemon that is gone"
    one.close()
    two.close()


def test_who_must_make_a_key_and_destroy_the_old_one_is_told(
    bench: Bench, receiver: Receiver
) -> None:
    begun(bench, notify(kinds="waiting for a person, done"))
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text()
        .replace("uses: memory, issuer: one", r"uses: operator, pattern: 'mem-\S+'")
        .replace("store: [", "verify: [{uses: memory, issuer: one}]\nstore: [")
    )
    assert bench.service.rotate("one").code == 5
    for _ in range(2):
        ended(bench)
        bench.service.due(Request())
    ended(bench)
    assert receiver.kinds == ["waiting for a person"]
    assert "rotator supply one" in receiver.received[0].data["text"]
    made = bench.issuer.create("in the console")
    supply.supply(bench.service, "one", Secret(made.value), made.record.id, Request())
    for _ in range(2):
        ended(bench)
        bench.service.due(Request())
    ended(bench)
    assert receiver.kinds.count("waiting for a person") == 2 and "done" in receiver.kinds
    last = next(one for one in reversed(receiver.received) if one.kind == "waiting for a person")
    assert "rotator confirm one" in last.data["text"]


def test_that_consumers_have_no_key_is_told(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="needs attention"))
    assert bench.service.rotate("one", Request(wait=True)).code == 0

    def refuse(*_: object) -> None:
        raise PermanentError("no more keys today")

    monkeypatch.setattr(MemoryProvider, "generate", refuse)
    bench.service.rotate("one", Request(compromised=True, revoke_first=True))
    ended(bench)
    bench.service.due(Request())
    ended(bench)
    told = [one.data["text"] for one in receiver.received if "no other key" in one.data["text"]]
    assert len(told) == 1


def test_an_abandoned_rotation_is_told(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="needs attention"))

    def down(self: MemoryRestarter, *_: Any) -> Any:
        raise PermanentError("the service does not come up")

    monkeypatch.setattr(MemoryRestarter, "progress", down)
    monkeypatch.setattr(MemoryRestarter, "restart", down)
    assert bench.service.rotate("one", Request()).code == 4
    ended(bench)
    orders.abandon(bench.service, "one", "", "enough")
    ended(bench)
    assert len(receiver.received) > 1
    assert any("without a verified key" in one.data["text"] for one in receiver.received)


def test_a_step_that_fails_without_end_is_told(bench: Bench, receiver: Receiver) -> None:
    """On the way back, where nobody accepts the old key."""
    rotation = replace(_ROTATION, phase=Phase.UNDO_VERIFY, problem="the provider is down", tries=3)
    late = replace(rotation, now=rotation.since + rotation.plan.policy.deadline)
    (cause,) = found._of_running(late)
    assert (cause.kind, cause.text) == (Kind.ATTENTION, "the provider is down")
    assert not list(found._of_running(replace(rotation, tries=0)))


def test_a_channel_that_is_nowhere_any_more_is_given_up_in_the_end(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    receiver.answers = [500]
    assert bench.service.rotate("one", Request()).code == 0
    ended(bench, clock)
    bench.playbook()
    ended(bench, clock)
    clock.wait(DAY)
    bench.service.tell(10.0)
    assert given_up(bench.service) == []
    clock.wait(7 * DAY)
    bench.service.tell(10.0)
    (record,) = given_up(bench.service)
    assert record["channel"] == "one/1" and len(receiver.received) == 1


def test_what_was_sent_is_erased_after_a_week(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    for _ in range(3):
        assert bench.service.rotate("one", Request()).code == 0
        ended(bench, clock)
        clock.wait(5 * DAY)
    assert len(receiver.received) == 3
    with bench.service.journal.database.read() as connection:
        count = select(func.count()).select_from(tables.notices)
        assert connection.execute(count).scalar() == 2


def test_a_journal_that_is_away_at_the_end_fails_no_command(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="done"))
    assert bench.service.rotate("one", Request()).code == 0

    def away(*_: object) -> None:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(notices, "untold", away)
        bench.service.close()
    assert bench.service.not_told == "the disk is full" and receiver.received == []
    bench.service = again(bench)
    bench.service.tell(10.0)
    assert receiver.kinds == ["done"]


def test_a_renamed_playbook_takes_along_what_was_told(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(bench, notify(kinds="rolled back"))

    def refuse(self: MemoryStore, *_: Any) -> str:
        raise PermanentError("the disk is full")

    monkeypatch.setattr(MemoryStore, "write", refuse)
    assert bench.service.rotate("one", Request()).code == 3
    ended(bench)
    with bench.service.journal.database.write() as connection:
        renaming.rename(connection, bench.service.journal.sealer, "one", "two")
        assert {one.playbook for one in notices.standing(connection)} == {"two"}


def test_what_waits_to_be_told_of_a_renamed_playbook_is_sent(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    begun(bench, notify(kinds="done"), clock)
    assert bench.service.rotate("one", Request()).code == 0
    bench.service.outbox.look()
    folder = bench.folder / "playbooks"
    with bench.service.journal.database.write() as connection:
        renaming.rename(connection, bench.service.journal.sealer, "one", "two")
    (folder / "one.yaml").rename(folder / "two.yaml")
    bench.service.heard.event.clear()
    ended(bench, clock)
    bench.service.tell(10.0)
    (told,) = receiver.received
    assert told.data["playbook"] == "two" and outstanding(bench.service) == {}


def _elsewhere(bench: Bench, clock: VirtualClock, text: str | None) -> Service:
    """A daemon on another node, whose text of the playbook is another one, or which has none."""
    folder = bench.folder / "elsewhere"
    folder.mkdir()
    if text is not None:
        written = (bench.folder / "playbooks" / "one.yaml").read_text()
        (folder / "one.yaml").write_text(written.replace("every: 30d", text))
    return again(bench, clock, "daemon", playbooks=(folder,), notify={"ops": _OPS})


def _overdue(bench: Bench, clock: VirtualClock) -> None:
    """The playbook's key, by a process with the channel `ops`, which has told nobody yet."""
    bench.playbook(more="schedule: {every: 30d}")
    bench.service.close()
    bench.service = again(bench, clock, "daemon", notify={"ops": _OPS})
    bench.service.outbox.look()
    assert bench.service.rotate("one", Request()).code == 0
    clock.wait(40 * DAY)


@pytest.mark.parametrize("text", [None, "every: 90d", "every: 20d"])
def test_nodes_that_know_other_times_of_a_key_tell_each_of_them_once(
    bench: Bench, receiver: Receiver, clock: VirtualClock, text: str | None
) -> None:
    _overdue(bench, clock)
    other = _elsewhere(bench, clock, text)
    for _ in range(4):
        for service in (bench.service, other):
            service.tell(10.0, all_keys=True)
            clock.wait(60)
    other.close()
    assert receiver.kinds == ["overdue"] * (2 if text == "every: 20d" else 1)


def test_what_another_process_has_rotated_meanwhile_is_not_told_as_overdue(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    _overdue(bench, clock)
    other = _elsewhere(bench, clock, "every: 30d")
    for service in (bench.service, other):
        service.tell(10.0)
    assert receiver.kinds == ["overdue"]
    assert bench.service.rotate("one", Request()).code == 0
    clock.wait(HOUR)
    bench.service.tell(10.0, all_keys=True)
    other.tell(10.0)  # it looked at all keys a moment ago, and again in a minute alone
    other.close()
    assert receiver.kinds == ["overdue"]
    clock.wait(40 * DAY)
    bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["overdue", "overdue"]


def test_what_another_process_ended_while_this_one_looked_is_not_told_again(
    bench: Bench, receiver: Receiver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has news of something else, and has seen what stood a moment ago."""
    _overdue(bench, clock)
    standing = [(found.Cause("one", Kind.ATTENTION, "a", clock.now(), "it stands"),), (), ()]
    monkeypatch.setattr(found, "standing", lambda *_: standing.pop(0))
    bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["overdue"]


def test_what_stands_for_weeks_is_not_given_up_by_a_process_without_the_channel(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    _overdue(bench, clock)
    bench.service.outbox.look(all_keys=True)
    without = again(bench, clock)
    without.outbox.send(10.0)
    without.close()
    assert given_up(bench.service) == []
    bench.service.tell(10.0)
    assert receiver.kinds == ["overdue"]


def test_what_waits_for_a_channel_that_is_gone_holds_up_no_other_one(
    bench: Bench, receiver: Receiver, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_MOST", 3)
    _overdue(bench, clock)
    with bench.service.journal.database.write() as connection:
        for _ in range(5):
            gone = notices.New("former", "one", Kind.DONE, "c", clock.now(), "title", "text")
            notices.add(connection, gone, clock.now() - 60)
    assert bench.service.outbox.earliest() is None, "this process has nothing to try"
    bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["overdue"]
    assert outstanding(bench.service)["former"].waiting == 5


def test_what_a_newer_rotator_tells_is_left_to_it(
    bench: Bench, receiver: Receiver, clock: VirtualClock
) -> None:
    """One with the same tables, and another kind of notice."""
    _overdue(bench, clock)
    row = notices.New("ops", "one", "of tomorrow", "c", clock.now(), "title", "text", stands=True)
    with bench.service.journal.database.write() as connection:
        notices.add(connection, row, clock.now())
    bench.service.tell(10.0, all_keys=True)
    assert receiver.kinds == ["overdue"]
    assert outstanding(bench.service)["ops"].waiting == 1
    with bench.service.journal.database.read() as connection:
        assert "of tomorrow" in {one.kind for one in notices.standing(connection)}


def test_what_fails_now_like_this_and_now_like_that_is_told_of_each_once(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it needs nobody any more."""
    begun(bench, notify(kinds="needs attention"))
    stuck = replace(_ROTATION, phase=Phase.STUCK)
    words = ["it is down", "no answer in 5 s", "it is down", "no answer in 9 s", "", "it is down"]
    for said in words:
        now = [*found._of_running(replace(stuck, question=said))] if said else []
        monkeypatch.setattr(found, "standing", lambda *_, now=now: iter(now))
        bench.service.tell(10.0)
    told = [one.data["text"].split("\n")[0] for one in receiver.received]
    assert told == ["it is down", "no answer in 5 s", "it is down"]
