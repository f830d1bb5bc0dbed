"""The whole service over SQLite and PostgreSQL: the same code, the same tests."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from rotator.audit import verify
from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.state import Outcome, Phase
from rotator.errors import (
    BusyError,
    LeaseLost,
    OutcomeUnknown,
    PermanentError,
    Rejected,
    RotatorError,
    TransientError,
)
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.probe import MemoryProbe
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import leases
from rotator.journal.failures import JournalAway
from rotator.secret import Secret
from rotator.usecases import orders, pause, supply
from rotator.usecases.report import Report
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


def whole(bench: Bench) -> verify.Verdict:
    with bench.service.journal.database.read() as connection:
        return verify.verify(verify.lines_of(connection))


def test_a_rotation_leaves_one_key_that_everybody_holds(bench: Bench) -> None:
    report = bench.service.rotate("one", WAIT)
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.VERIFIED
    assert bench.live == [bench.stored] == [bench.consumer.holds]
    assert whole(bench).whole


def test_nothing_stays_sealed_once_the_old_key_is_dead(bench: Bench) -> None:
    bench.service.rotate("one", WAIT)
    with bench.service.journal.database.read() as connection:
        assert (
            connection.execute(
                text("SELECT count(*) FROM credentials WHERE sealed IS NOT NULL")
            ).scalar()
            == 0
        )


def test_a_refused_key_is_undone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(self: MemoryProvider, credential: Any) -> Any:
        if credential.id.endswith("key2"):
            raise Rejected("not this one")
        return real(self, credential)

    real = MemoryProvider.probe
    monkeypatch.setattr(MemoryProvider, "probe", probe)
    old = bench.stored
    report = bench.service.rotate("one", WAIT)
    assert report.code == 3
    assert bench.live == [old] == [bench.stored] == [bench.consumer.holds]


def test_a_journal_that_is_away_for_a_moment_is_no_answer_of_a_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refused the rotation, which was then due again an hour later."""

    def looks_something_up(_: MemoryStore) -> Any:
        raise JournalAway("the journal's database failed: it is starting up")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(MemoryStore, "preflight", looks_something_up)
        assert isinstance(bench.service.rotate("one", WAIT).error, JournalAway)
    report = bench.service.rotate("one", WAIT)
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.VERIFIED
    with bench.service.journal.database.read() as connection:
        outcomes = connection.execute(text("SELECT outcome FROM rotations")).scalars().all()
    assert outcomes == ["verified"]
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_during_grace_both_keys_live_and_the_next_run_pays(bench: Bench) -> None:
    bench.playbook(revoke="", more="schedule: {every: 30d}")
    bench.playbook(more="schedule: {every: 30d}")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    assert bench.service.rotate("one").code == 0
    assert len(bench.live) == 2
    reports, _ = bench.service.due(Request())
    assert len(bench.live) == 2 and not reports
    with bench.service.session("one") as session:
        debt = session.case.debts[0]
        assert debt.phase is DebtPhase.GRACE
    report = orders.order(bench.service, "one", Order.REVOKE, WAIT)
    assert report.code == 0 and bench.live == [bench.stored]


def test_the_lease_is_one(bench: Bench) -> None:
    """Another process is told who holds it; a spent token cannot write."""
    other = bench.fresh()
    held = bench.service.keeper.take("one")
    with pytest.raises(BusyError, match="is being rotated by"):
        other.keeper.take("one")
    with bench.service.journal.database.write() as connection:
        connection.execute(text("UPDATE leases SET until = 0"))
    taken = other.keeper.take("one")
    assert taken.lease.fence == held.lease.fence + 1
    with pytest.raises(LeaseLost), bench.service.journal.database.write() as connection:
        leases.require(connection, held.lease)
    other.keeper.give_back(taken)
    other.close()


def test_who_asks_for_a_lease_waits_for_nothing_that_its_holder_needs(bench: Bench) -> None:
    """The holder writes to the chain of the installation while somebody asks for its lease: both
    end, in any order.
    """
    held, other, told = bench.service.keeper.take("one"), bench.fresh(), []

    def ask() -> None:
        with pytest.raises(BusyError) as refused:
            other.keeper.take("one")
        told.append(refused.value)

    asks = threading.Thread(target=ask)
    with bench.service.journal.database.write() as connection:
        leases.require(connection, held.lease)
        asks.start()
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        while connection.dialect.name == "postgresql":
            with other.journal.database.read() as watching:
                if watching.execute(waiting).scalar():
                    break
            time.sleep(0.01)
        bench.service.note(connection, "held on", playbook="one")
    asks.join(20)
    assert told and whole(bench).whole
    bench.service.keeper.give_back(held)
    other.close()


def test_a_lease_that_was_never_taken_goes_to_one_of_those_who_come_first(bench: Bench) -> None:
    others, told, at_once = [bench.fresh() for _ in range(4)], [], threading.Barrier(4)

    def ask(service: Any) -> None:
        at_once.wait()
        try:
            told.append(service.keeper.take("new").lease.fence)
        except BusyError:
            told.append(0)

    threads = [threading.Thread(target=ask, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(told) == [0, 0, 0, 1]
    for one in others:
        one.close()


def test_eight_threads_rotate_eight_playbooks_side_by_side(bench: Bench) -> None:
    names = [f"p{i}" for i in range(8)]
    benches = [Bench(bench.folder, bench.url, name) for name in names]
    reports = bench.service.rotate_all(names, WAIT)
    assert [report.code for report in reports] == [0] * 8
    assert all(one.live == [one.stored] for one in benches)
    for one in benches:
        one.service.close()


def test_two_processes_at_once_make_one_rotation(bench: Bench) -> None:
    other = bench.fresh()
    reports: list[Report] = []
    threads = [
        threading.Thread(target=lambda s=s: reports.append(s.rotate("one", WAIT)))
        for s in (bench.service, other)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(report.code for report in reports) in ([0, 0], [0, 75]), reports
    assert bench.live == [bench.stored]
    other.close()


def test_a_key_that_is_gone_from_the_stores_is_an_old_key(bench: Bench) -> None:
    """Somebody put the previous key back: it is current again, and the other one
    becomes the debt.
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    first = bench.stored
    bench.service.rotate("one")
    second = bench.stored
    cell = memory.WORLD.cell("one")
    cell.values, cell.version = {"key": Secret(first)}, cell.version + 1
    memory.WORLD.start("one")
    report = bench.service.rotate("one")
    assert report.code == 0
    owed = {debt.key.id for debt in report.debts if debt.open}
    assert owed == {
        key.record.id for key in bench.issuer.keys.values() if key.value in (first, second)
    }
    assert set(bench.live) == {first, second, bench.stored}


def test_stores_that_disagree_are_refused_naming_who_holds_what(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("store: [", "store: [{uses: memory, cell: other}, "))
    memory.WORLD.cell("other").values = {"key": Secret("mem-another-value-qqqqqqqqqqqqq")}
    report = bench.service.rotate("one")
    assert report.code == 6 and report.rotation and "memory other holds" in report.rotation.problem
    assert len(bench.live) == 1


def test_a_key_of_another_playbook_is_refused(bench: Bench) -> None:
    bench.service.rotate("one", WAIT)
    other = Bench(bench.folder, bench.url, "two")
    cell = memory.WORLD.cell("two")
    cell.values = {"key": Secret(bench.stored)}
    other.issuer.keys = bench.issuer.keys
    report = bench.service.rotate("two")
    assert (
        report.code == 6
        and report.rotation
        and "the playbook one has the same key" in report.rotation.problem
    )
    other.service.close()


def test_a_provider_that_kills_the_old_key_needs_consent(bench: Bench) -> None:
    bench.playbook(provider=", overlap: none, recovery: reread")
    bench.issuer.overlap = memory.Overlap.NONE
    assert bench.service.rotate("one").code == 6 and len(bench.live) == 1
    bench.playbook(provider=", overlap: none, recovery: reread", more="allow_downtime: true")
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_two_slots_take_turns(bench: Bench) -> None:
    bench.playbook(provider=", overlap: two slots, recovery: reread")
    bench.issuer.overlap = memory.Overlap.TWO_SLOTS
    for _ in range(3):
        assert bench.service.rotate("one", WAIT).code == 0
        assert bench.stored in bench.live and bench.consumer.holds == bench.stored


def test_a_playbook_that_vanishes_does_not_strand_its_debt(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    path.unlink()
    report = orders.order(bench.service, "one", Order.REVOKE, WAIT)
    assert report.code == 0 and bench.live == [bench.stored]


def test_a_stuck_rotation_waits_for_a_person_and_resumes(bench: Bench) -> None:
    """A compromised key is never gone back to: the consumer that cannot start leaves both keys
    alive.
    """
    memory.WORLD.consumers.pop("one")
    report = bench.service.rotate("one", Request(compromised=True))
    assert report.code == 4 and report.rotation and report.rotation.phase is Phase.STUCK
    assert len(bench.live) == 2
    memory.WORLD.consumers["one"] = memory.Consumer("one")
    memory.WORLD.start("one")
    with pytest.raises(RotatorError, match="compromised"):
        orders.order(bench.service, "one", Order.UNDO, Request())
    report = orders.order(bench.service, "one", Order.RESUME, WAIT)
    assert report.code == 0 and bench.live == [bench.stored]


def test_undo_before_the_pivot_goes_back(bench: Bench) -> None:
    bench.playbook(more="")
    by_hand(bench)
    assert bench.service.rotate("one").code == 5
    report = orders.order(bench.service, "one", Order.UNDO, Request())
    assert report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK
    assert report.code == 0 and len(bench.live) == 1


def by_hand(bench: Bench) -> None:
    """A playbook whose keys a person makes and destroys."""
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text()
        .replace("uses: memory, issuer: one", "uses: operator, pattern: 'mem-.*'")
        .replace("store: [", "verify: [{uses: memory, issuer: one}]\nstore: [")
    )


def patient(bench: Bench, soak: str = "0s", grace: str = "1h") -> None:
    """A playbook whose old keys live on for a while."""
    path = bench.folder / "playbooks" / "one.yaml"
    text = re.sub(
        r"revoke: .*",
        f"revoke: {{grace: {grace}, quiet: 0s, soak: {soak}, watch: 0s}}",
        path.read_text(),
    )
    path.write_text(
        text.replace("issuer: one", "issuer: one, can_deactivate: true") if soak != "0s" else text
    )


def test_undo_after_the_pivot_goes_back_to_the_key_that_lives_on(bench: Bench) -> None:
    """Its debt is none any more; the key that was left becomes one, with a grace of its own."""
    patient(bench)
    before = bench.stored
    assert bench.service.rotate("one").code == 0
    left = bench.stored
    report = orders.order(
        bench.service, "one", Order.UNDO, Request(reason="the new project lacks a model")
    )
    assert report.code == 0 and report.rotation and report.rotation.back
    assert [bench.stored, bench.consumer.holds] == [before, before] and bench.live == [before, left]
    assert [debt.phase for debt in report.debts if debt.open] == [DebtPhase.GRACE]
    assert orders.order(bench.service, "one", Order.REVOKE, WAIT).code == 0
    assert bench.live == [before]
    with pytest.raises(RotatorError, match="revoked"):
        orders.order(bench.service, "one", Order.UNDO, Request())
    assert whole(bench).whole


def test_going_back_revives_a_deactivated_key(bench: Bench) -> None:
    """In soak the previous key is off: it is switched on and probed before any store is written."""
    patient(bench, soak="1h", grace="0s")
    before = bench.stored
    assert bench.service.rotate("one").code == 0
    assert bench.live == [bench.stored] != [before]
    report = orders.order(bench.service, "one", Order.UNDO, Request())
    assert report.code == 0 and bench.stored == before and before in bench.live


def test_going_back_that_fails_leaves_the_present_key_and_the_debt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer does not come up with the previous key: undone in turn, and its grace begins
    again.
    """
    patient(bench)
    assert bench.service.rotate("one").code == 0
    present, keys = bench.stored, bench.live
    real = MemoryRestarter.restart

    def refuses(self: MemoryRestarter, change: Any) -> None:
        if change.credential.primary.reveal() != present:
            raise PermanentError("it does not start")
        real(self, change)

    monkeypatch.setattr(MemoryRestarter, "restart", refuses)
    report = orders.order(bench.service, "one", Order.UNDO, Request())
    assert report.code == 3
    assert bench.stored == present and bench.live == keys
    assert [debt.phase for debt in report.debts if debt.open] == [DebtPhase.GRACE]


def test_nothing_goes_back_to_a_compromised_key(bench: Bench) -> None:
    patient(bench, soak="1h")
    assert bench.service.rotate("one", Request(compromised=True)).code == 0
    with pytest.raises(RotatorError, match="compromised"):
        orders.order(bench.service, "one", Order.UNDO, Request())


def test_an_order_after_a_crash_does_not_make_a_stale_look_good(bench: Bench) -> None:
    """A process died between the look and the revocation; a person then orders something else: it
    looks again.
    """
    patient(bench)
    assert bench.service.rotate("one").code == 0
    before = bench.live[0]
    with bench.service.session("one") as session:
        debt = replace(session.case.debts[0], phase=DebtPhase.REVOKE, revoke_intended=True)
        with session.writing() as writing:
            writing._put(debt)
            writing.next()
    memory.WORLD.cell("one").values = {
        "key": Secret(before)
    }  # somebody puts the old key back meanwhile
    report = orders.order(bench.service, "one", Order.REVOKE, Request())
    assert before in bench.live and "holds" in report.held[0].attention
    (standing,) = bench.service.due(Request())[0]
    assert standing.held and standing.untouched, (
        "no clock moves it on, and every run of --due says so"
    )


def test_a_supplied_key_goes_the_same_way(bench: Bench) -> None:
    """A person makes it, a person confirms the old one's end."""
    by_hand(bench)
    assert bench.service.rotate("one").code == 5
    old, made = bench.stored, bench.issuer.create("by hand")
    with pytest.raises(RotatorError, match="not the key"):
        supply.supply(bench.service, "one", Secret("something else"), "", Request())
    with pytest.raises(RotatorError, match="old key"):
        supply.supply(bench.service, "one", Secret(old), "", Request())
    report = supply.supply(bench.service, "one", Secret(f" {made.value}\n"), "", Request())
    assert report.code == 0 and bench.stored == made.value == bench.consumer.holds
    assert report.questions, "the old key waits for a person"
    bench.issuer.by_value(old).state = "dead"  # type: ignore[union-attr]
    report = orders.order(bench.service, "one", Order.CONFIRM, WAIT)
    assert report.code == 0 and not [debt for debt in report.debts if debt.open]


@pytest.mark.parametrize("given", ["a dead key", "a second line", "an invisible character"])
def test_a_supplied_key_that_is_none_is_said_at_once_and_another_is_waited_for(
    bench: Bench, given: str
) -> None:
    """Nothing is written, made or undone; the way out names the console; the refusal stands in the
    audit log.
    """
    by_hand(bench)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text().replace(
            "uses: operator,", "uses: operator, console: https://console.test/keys,"
        )
    )
    report = bench.service.rotate("one")
    assert report.code == 5 and report.console == "at https://console.test/keys"
    old, dead, good = bench.stored, bench.issuer.create("dead"), bench.issuer.create("by hand")
    dead.state = "dead"
    value, told = {
        "a dead key": (dead.value, "the provider refuses this key: one refuses the key"),
        "a second line": (f"{good.value}\nand a note", "there are 2 lines"),
        "an invisible character": (f"{good.value}\u200b", "ZERO WIDTH SPACE"),
    }[given]
    begun = time.monotonic()
    with pytest.raises(supply.NotTaken, match=told) as refused:
        supply.supply(bench.service, "one", Secret(value), "", Request())
    assert time.monotonic() - begun < 1.5
    assert (
        "https://console.test/keys" in refused.value.hint
        and "`rotator supply one`" in refused.value.hint
    )
    assert bench.stored == old and bench.service.rotate("one").code == 5, "it waits still"
    with bench.service.journal.database.read() as connection:
        (record,) = [line for line in verify.lines_of(connection) if line.get("event") == "refused"]
    assert (
        record["order"] == "supply" and value not in str(record) and good.value not in str(record)
    )
    assert supply.supply(bench.service, "one", Secret(good.value), "", Request()).code == 0
    assert bench.stored == good.value


def test_a_supplied_key_that_nobody_can_try_now_is_taken_and_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that does not answer says nothing of the key."""
    by_hand(bench)
    assert bench.service.rotate("one").code == 5
    good, tries = bench.issuer.create("by hand"), iter(range(100))
    honest = MemoryProbe.probe

    def probe(self: MemoryProbe, credential: Any) -> None:
        if next(tries) == 0:
            raise TransientError("no answer", retry_in=0.01)
        honest(self, credential)

    monkeypatch.setattr(MemoryProbe, "probe", probe)
    assert supply.supply(bench.service, "one", Secret(good.value), "", Request()).code == 0


def test_due_looks_at_the_last_success(bench: Bench) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    first, _ = bench.service.due(Request())
    second, _ = bench.service.due(Request())
    assert [report.code for report in first] == [0] and second == []
    assert len(bench.issuer.keys) == 2


def test_a_broken_file_does_not_take_the_others_down(bench: Bench) -> None:
    bench.playbook(more="schedule: {every: 30d}")
    (bench.folder / "playbooks" / "broken.yaml").write_text("generate: {uses: opnai}\nstore: []\n")
    reports, loaded = bench.service.due(Request())
    assert [report.code for report in reports] == [0] and len(loaded.mistakes) >= 2


def test_a_lost_sealing_key_does_not_stop_the_debts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debts go on by key id; the current key is read from the stores."""
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    bench.service.close()
    monkeypatch.delenv("ROTATOR_KEY", raising=False)
    (bench.folder / "rotator.key").unlink(missing_ok=True)
    later = bench.fresh()
    report = orders.order(later, "one", Order.REVOKE, WAIT)
    assert report.code == 0 and bench.live == [bench.stored]
    later.close()


def test_a_pause_holds_what_a_clock_would_do(bench: Bench) -> None:
    """Nothing begins, no old key goes; a leak and a person's orders are not held up; it ends by
    itself.
    """
    patient(bench, grace="1ms")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text() + "schedule: {every: 30d}\ntags: [payments]\n")
    pause.begin(bench.service, "tag payments", bench.service.clock.now() + 3600, "the launch")
    assert bench.service.due(Request())[0] == [] and len(bench.live) == 1
    refused = bench.service.rotate("one")
    assert refused.code == 6 and refused.error and "the launch" in refused.error.message
    assert "--tag payments" in refused.error.hint
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    assert bench.live == [bench.stored]
    assert pause.end(bench.service, "tag payments", "launched")
    assert bench.service.rotate("one").code == 0
    assert not pause.end(bench.service, "tag payments", "")
    assert whole(bench).whole


def test_a_pause_holds_debts(bench: Bench) -> None:
    """A rotation has pivoted, its old key waits; while paused it goes on waiting though its grace
    is over.
    """
    patient(bench, grace="300ms")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 300ms", "grace: 70s"))
    assert bench.service.rotate("one").code == 0
    pause.begin(bench.service, "all", bench.service.clock.now() + 3600, "holidays")
    later = bench.service.clock.now() + 100
    bench.service.clock = replace_now(bench, later)
    assert bench.service.due(Request())[0] == [] and len(bench.live) == 2
    pause.end(bench.service, "all", "")
    bench.service.due(Request())
    assert bench.live == [bench.stored]


def replace_now(bench: Bench, at: float) -> Any:
    """The same clock, set to `at` now."""

    class Later(type(bench.service.clock)):  # type: ignore[misc]
        def now(self) -> float:
            return at + time.monotonic() - begun

        def boot(self) -> tuple[str, float]:
            return "another", 0.0

    begun = time.monotonic()
    return Later()


def test_a_machine_that_starts_anew_with_its_clock_behind_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour: nothing tells since when, and the question of before is answered."""
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text()
        .replace("uses: memory, issuer: one", r"uses: operator, pattern: 'mem-\S+'")
        .replace("store: [", "verify: [{uses: memory, issuer: one}]\nstore: [")
    )
    assert bench.service.rotate("one").code == 5
    bench.service.clock = replace_now(bench, time.time() - 3600)
    monkeypatch.setattr(memory.WORLD, "now", bench.service.clock.now)
    made = bench.issuer.create("in the console")
    done = supply.supply(bench.service, "one", Secret(made.value), made.record.id, Request())
    assert done.rotation is not None and done.rotation.outcome is Outcome.VERIFIED
    assert bench.stored == made.value == bench.consumer.holds


@pytest.mark.parametrize("instead", ["op://vault/item/key", "${OPENAI_API_KEY}", "ENC[AES256,x]"])
def test_what_stands_in_place_of_a_key_is_refused_before_one_is_made(
    bench: Bench, instead: str
) -> None:
    memory.WORLD.cell("one").values = {"key": Secret(instead)}
    refused = bench.service.rotate("one")
    assert refused.code == 6 and refused.rotation is not None
    assert "memory one holds" in refused.rotation.problem
    assert len(bench.issuer.keys) == 1


def test_the_current_key_is_never_taken_for_what_a_lost_create_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By difference: the list before the create did not show the current key yet (simulation seed
    3005000).
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text().replace(
            "issuer: one", "issuer: one, recovery: difference, can_deactivate: true"
        )
    )
    assert bench.service.rotate("one", WAIT).code == 0
    current, real, lost = bench.stored, MemoryProvider.generate, []

    def generate(self: MemoryProvider, label: Any, like: Any) -> Any:
        bench.issuer.hidden.clear()
        if not lost:
            lost.append(label)
            raise OutcomeUnknown("no answer")
        assert current in bench.live, "the key that everybody uses was switched off"
        return real(self, label, like)

    monkeypatch.setattr(MemoryProvider, "generate", generate)
    bench.issuer.hidden.add(bench.issuer.by_value(current).record.id)  # type: ignore[union-attr]
    assert bench.service.rotate("one", WAIT).code == 0 and lost
    assert bench.live == [bench.stored]


def test_a_quota_that_an_old_key_of_ours_fills_is_waited_for(bench: Bench) -> None:
    """Two keys at most, and one is in its grace: the next rotation waits for it, and begins once it
    is dead.
    """
    patient(bench)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("issuer: one", "issuer: one, quota: 2"))
    assert bench.service.rotate("one").code == 0 and len(bench.live) == 2
    waiting = bench.service.rotate("one")
    assert (
        waiting.code == 5 and waiting.rotation and "still to be revoked" in waiting.rotation.problem
    )
    first = waiting.rotation.id
    before = bench.live[0]
    orders.order(bench.service, "one", Order.REVOKE, Request())
    with bench.service.session("one") as session:
        carried_on = session.case.rotation
    assert carried_on and (carried_on.id, carried_on.outcome) == (first, Outcome.VERIFIED)
    assert before not in bench.live and len(bench.live) == 2


def test_a_quota_that_a_strangers_key_fills_is_refused(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("issuer: one", "issuer: one, quota: 2"))
    other = bench.issuer.create("somebody's").record.id
    refused = bench.service.rotate("one")
    assert refused.code == 6 and refused.rotation and other in refused.rotation.problem
    assert "never used" in refused.rotation.problem and len(bench.live) == 2
