"""A leaked key dies first, whatever a rotation, an old key, a store, a consumer or another process
does.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import text

from rotator.core import incident
from rotator.core.incident import Ending
from rotator.core.order import Order
from rotator.core.state import Outcome, Phase
from rotator.errors import PermanentError, RefusedError, Rejected, TransientError, Unsupported
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import cases, standing
from rotator.secret import Secret
from rotator.usecases import adopt, orders, pause, supply
from rotator.usecases.leaked import followed
from rotator.usecases.report import Report
from rotator.usecases.service import Request, Service
from tests.integration.conftest import Bench

FIRST = Request(compromised=True, revoke_first=True, reason="it leaked")


def book(bench: Bench, *changes: tuple[str, str]) -> None:
    path = bench.folder / "playbooks" / f"{bench.name}.yaml"
    text = path.read_text()
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text)


def endings(report: Report) -> dict[str, Ending | None]:
    return {debt.key.id: incident.ending(debt) for debt in report.kills}


def stuck(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither on nor back: the consumer never comes up again."""
    broken = pytest.MonkeyPatch()

    def never(self: MemoryRestarter, change: Any) -> Any:
        raise PermanentError("it crashes")

    broken.setattr(MemoryRestarter, "progress", never)
    report = bench.service.rotate("one")
    assert report.rotation and report.rotation.phase is Phase.STUCK, report
    return broken


def test_the_key_in_force_and_every_older_one_die_and_a_new_one_follows(bench: Bench) -> None:
    book(bench, ("grace: 0s", "grace: 24h"))
    first = bench.stored
    assert bench.service.rotate("one").code == 0
    second = bench.stored
    assert sorted(bench.live) == sorted([first, second])
    report = bench.service.rotate("one", FIRST)
    assert report.code == 0 and endings(report) == {
        "one-key1": Ending.DEAD,
        "one-key2": Ending.DEAD,
    }
    assert all(debt.proof for debt in report.kills)
    assert bench.live == [bench.stored] == [bench.consumer.holds] and bench.stored not in (
        first,
        second,
    )


def test_one_key_may_be_named_and_then_it_alone_dies(bench: Bench) -> None:
    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    second, starts = bench.stored, bench.consumer.starts
    report = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="one-key1")
    )
    assert report.code == 0 and endings(report) == {"one-key1": Ending.DEAD}
    assert bench.live == [second] == [bench.stored] and bench.consumer.starts == starts
    again = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="one-key1")
    )
    assert again.code == 0 and endings(again) == {"one-key1": Ending.DEAD}, "typed twice"
    unknown = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="key_of_nobody")
    )
    assert unknown.code == 6 and "nobody knows the key key_of_nobody" in str(unknown.error)


def test_a_key_that_only_the_provider_knows_may_be_named(bench: Bench) -> None:
    bench.service.rotate("one", Request(wait=True))
    by_hand = bench.issuer.create("by hand")
    request = Request(compromised=True, revoke_first=True, key=by_hand.record.id)
    assert endings(bench.service.rotate("one", request)) == {by_hand.record.id: Ending.DEAD}
    assert bench.live == [bench.stored]


def first_of(key: str) -> Request:
    return Request(compromised=True, revoke_first=True, key=key)


def test_for_a_key_of_nobody_here_no_other_key_is_touched(bench: Bench) -> None:
    """Never rotated, so no journal says which key is in force: the store does, and that one lives
    on.
    """
    mine, starts, by_hand = bench.stored, bench.consumer.starts, bench.issuer.create("old cron job")
    report = bench.service.rotate("one", first_of(by_hand.record.id))
    assert report.code == 0 and endings(report) == {by_hand.record.id: Ending.DEAD}, report
    assert bench.live == [mine] == [bench.stored] and bench.consumer.starts == starts
    assert bench.service.without("one") is None


def test_the_new_key_that_leaked_on_its_way_is_replaced(bench: Bench) -> None:
    """It is named by its id while consumers come up with it: they get another one."""
    with pytest.MonkeyPatch.context() as broken:

        def never(self: MemoryRestarter, change: Any) -> Any:
            raise PermanentError("it crashes")

        broken.setattr(MemoryRestarter, "progress", never)
        report = bench.service.rotate("one", Request(compromised=True))
        assert report.rotation and report.rotation.phase is Phase.STUCK
    report = bench.service.rotate("one", first_of("one-key2"))
    assert endings(report) == {"one-key2": Ending.DEAD} and report.code == 0
    assert bench.stored in bench.live and bench.consumer.holds == bench.stored


@pytest.mark.parametrize("rotated", [True, False])
def test_under_the_wrong_name_the_right_playbook_gets_the_order(
    bench: Bench, rotated: bool
) -> None:
    """Both have keys of one account.

    The key's consumers get another one, and nothing else is touched.
    """
    text = (bench.folder / "playbooks" / "one.yaml").read_text()
    other = text.replace("cell: one", "cell: two").replace("consumers: [one]", "consumers: [two]")
    (bench.folder / "playbooks" / "two.yaml").write_text(other)
    theirs = bench.issuer.create("by hand, too")
    cell = memory.WORLD.cell("two")
    cell.values, cell.version, cell.note = {"key": Secret(theirs.value)}, 1, None
    memory.WORLD.consumers["two"] = memory.Consumer("two")
    memory.WORLD.start("two")
    if rotated:
        assert bench.service.rotate("two", Request(wait=True)).code == 0
    leaked = memory.WORLD.cell("two").values["key"].reveal()  # type: ignore[index]
    key = next(one.record.id for one in bench.issuer.keys.values() if one.value == leaked)
    mine, told = bench.stored, []
    bench.service.waits = lambda unit, action: told.append(getattr(action, "why", ""))
    report = bench.service.rotate("one", first_of(key))
    assert (
        report.playbook == "two" and report.code == 0 and endings(report) == {key: Ending.DEAD}
    ), report
    assert f"{key} is a key of two, not of one" in told[0]
    now = memory.WORLD.cell("two").values["key"].reveal()  # type: ignore[index]
    assert (
        sorted(bench.live) == sorted([mine, now])
        and memory.WORLD.consumers["two"].holds == now != leaked
    )
    assert bench.stored == mine


def test_a_rotation_that_is_stuck_holds_nothing_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaked = bench.stored
    broken = stuck(bench, monkeypatch)
    report = bench.service.rotate("one", FIRST)
    assert report.code == 4, "the consumer is still down, and that is told"
    assert endings(report)["one-key1"] is Ending.DEAD and leaked not in bench.live
    broken.undo()
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_what_is_being_undone_turns_round(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back to the key that leaked: it dies, and the new one is brought out after all."""
    leaked = bench.stored

    def down(self: MemoryStore, *given: Any) -> Any:
        raise TransientError("the store does not answer")

    with bench.service.session("one"):
        pass
    real, book_ = MemoryRestarter.progress, bench.service.playbooks().get("one")
    assert book_

    def once(self: MemoryRestarter, change: Any) -> Any:
        if ".new." in change.id and not down_now:
            down_now.append(True)
            monkeypatch.setattr(MemoryStore, "write", down)
            raise PermanentError("it crashes")
        return real(self, change)

    down_now: list[bool] = []
    monkeypatch.setattr(MemoryRestarter, "progress", once)
    written = MemoryStore.write
    book(bench, ("step: 2s", "step: 300ms"))
    report = bench.service.rotate("one")
    assert (
        report.rotation
        and report.rotation.phase is Phase.STUCK
        and "could not be put back" in report.rotation.question
    )
    monkeypatch.setattr(MemoryStore, "write", written)
    report = bench.service.rotate("one", FIRST)
    assert report.code == 0 and endings(report)["one-key1"] is Ending.DEAD, report
    assert report.rotation and report.rotation.outcome is Outcome.VERIFIED
    assert bench.live == [bench.stored] == [bench.consumer.holds] and leaked not in bench.live


def test_a_store_that_is_gone_holds_nothing_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.service.rotate("one", Request(wait=True))
    leaked = bench.stored

    def gone(self: MemoryStore) -> Any:
        raise PermanentError("no such store")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryStore, "read", gone)
        report = bench.service.rotate("one", FIRST)
    assert report.code == 4 and endings(report) == {"one-key2": Ending.DEAD}
    assert (
        leaked not in bench.live and report.rotation and "no such store" in report.rotation.problem
    )


def test_a_pause_and_a_playbook_that_is_gone_hold_nothing_up(bench: Bench) -> None:
    bench.service.rotate("one", Request(wait=True))
    leaked = bench.stored
    pause.begin(bench.service, "all", time.time() + 3600, "a launch")
    (bench.folder / "playbooks" / "one.yaml").rename(bench.folder / "playbooks" / "two.yaml")
    report = bench.service.rotate("one", FIRST)
    assert endings(report) == {"one-key2": Ending.DEAD} and leaked not in bench.live
    assert bench.service.rotate("nobody", FIRST).code == 2


def test_a_playbook_that_is_only_known_by_its_key_is_enough(bench: Bench) -> None:
    """Adopted, never rotated, and its file is gone: the key dies by the playbook as it was."""
    adopt.adopt(bench.service, "one")
    leaked = bench.stored
    (bench.folder / "playbooks" / "one.yaml").unlink()
    report = bench.service.rotate("one", FIRST)
    assert (
        endings(report) == {"one-key1": Ending.DEAD}
        and leaked not in bench.live
        and report.code == 4
    )


def test_another_playbook_with_the_same_key_holds_nothing_up(bench: Bench) -> None:
    bench.service.rotate("one", Request(wait=True))
    path = bench.folder / "playbooks" / "one.yaml"
    path.rename(path.with_name("two.yaml"))
    leaked = bench.stored
    report = bench.service.rotate("two", FIRST)
    assert endings(report) == {"one-key2": Ending.DEAD} and leaked not in bench.live
    assert report.code == 0 and bench.live == [bench.stored] == [bench.consumer.holds]


def test_a_provider_that_does_not_answer_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    book(bench, ("step: 2s", "step: 500ms"))
    bench.service.rotate("one", Request(wait=True))
    leaked = bench.stored

    def down(self: MemoryProvider, credential: Any) -> None:
        raise TransientError("503", retry_in=0.01)

    with monkeypatch.context() as broken:
        broken.setattr(MemoryProvider, "revoke", down)
        report = bench.service.rotate("one", FIRST)
    assert report.code == 4 and endings(report)["one-key2"] is Ending.RETRIED
    assert "503" in report.kills[0].attention and leaked in bench.live
    after = orders.order(bench.service, "one", Order.RESUME, Request(wait=True))
    assert leaked not in bench.live and bench.live == [bench.stored], after


def test_a_definite_no_is_tried_again_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.service.rotate("one", Request(wait=True))
    leaked = bench.stored

    def no(self: MemoryProvider, credential: Any) -> None:
        raise PermanentError("the administrator may not do that")

    with monkeypatch.context() as broken:
        broken.setattr(MemoryProvider, "revoke", no)
        report = bench.service.rotate("one", FIRST)
    assert (
        report.code == 4 and endings(report)["one-key2"] is Ending.RETRIED and leaked in bench.live
    )


def test_what_no_provider_can_destroy_is_asked_of_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.service.rotate("one", Request(wait=True))
    leaked = bench.issuer.by_value(bench.stored)
    assert leaked

    def unable(self: MemoryProvider, credential: Any) -> None:
        raise Unsupported("keys are destroyed in the console")

    monkeypatch.setattr(MemoryProvider, "revoke", unable)
    report = bench.service.rotate("one", FIRST)
    assert report.code == 5 and endings(report)["one-key2"] is Ending.ASKED
    assert report.rotation and report.rotation.outcome is Outcome.VERIFIED, (
        "a new key is on its way all the same"
    )
    leaked.state = "dead"
    assert orders.order(bench.service, "one", Order.CONFIRM, Request(wait=True)).code == 0
    assert bench.live == [bench.stored]


def test_it_is_refused_where_nobody_knows_which_key_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is new, and the provider's list tells nothing: the candidates are named, and
    nothing happens.
    """
    for key in bench.issuer.keys.values():
        monkeypatch.setattr(key, "record", key.record.__class__(key.record.id, hint="mem-…"))
    report = bench.service.rotate("one", FIRST)
    assert report.code == 6 and "nobody knows which key of one leaked" in str(report.error)
    assert "one-key1" in str(report.error) and "--key ID" in (
        report.error.hint if report.error else ""
    )
    assert bench.live == [bench.stored]
    named = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="one-key1")
    )
    assert endings(named) == {"one-key1": Ending.DEAD}


def test_a_first_key_that_is_certain_needs_no_name(bench: Bench) -> None:
    leaked = bench.stored
    report = bench.service.rotate("one", FIRST)
    assert (
        report.code == 0
        and endings(report) == {"one-key1": Ending.DEAD}
        and leaked not in bench.live
    )


def test_no_store_shows_it_and_no_provider_answers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: Any, *given: Any) -> Any:
        raise TransientError("no answer")

    memory.WORLD.cell("one").values = None
    monkeypatch.setattr(MemoryProvider, "inventory", down)
    report = bench.service.rotate("one", FIRST)
    assert report.code == 6 and "no store shows it" in str(report.error)
    named = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="one-key1")
    )
    assert endings(named)["one-key1"] is Ending.RETRIED and not bench.live, (
        "it is dead, and nobody can prove it yet"
    )


def test_the_key_that_makes_all_others_is_not_killed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MemoryProvider, "authenticated_by", lambda self, credential: bool(credential.values)
    )
    report = bench.service.rotate("one", FIRST)
    assert report.code == 6 and "is the very key by which memory makes keys" in str(report.error)
    assert bench.live == [bench.stored]


def test_both_keys_are_dead_and_a_third_is_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key is refused, and so is the old one by now: `--compromised` begins anew instead of
    asking for ever.
    """
    book(bench, ("step: 2s", "step: 200ms"))
    real = MemoryProvider.probe

    def none_is_accepted(self: MemoryProvider, credential: Any) -> Any:
        raise Rejected("no")

    made = MemoryProvider.generate

    def make(self: MemoryProvider, *given: Any) -> Any:
        found = made(self, *given)
        monkeypatch.setattr(MemoryProvider, "probe", none_is_accepted)
        return found

    monkeypatch.setattr(MemoryProvider, "generate", make)
    report = bench.service.rotate("one", Request(compromised=True))
    assert report.rotation and report.rotation.phase is Phase.STUCK, report
    monkeypatch.setattr(MemoryProvider, "generate", made)
    monkeypatch.setattr(MemoryProvider, "probe", real)
    report = bench.service.rotate("one", Request(compromised=True, wait=True))
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.VERIFIED
    assert bench.live == [bench.stored] == [bench.consumer.holds]


# --- the leaked key is dead, and the new one could not be made ---
@pytest.fixture
def without(bench: Bench) -> Bench:
    """The key in force was killed while no key can be made: consumers have none that works."""
    with pytest.MonkeyPatch.context() as broken:

        def refused(self: MemoryProvider) -> Any:
            raise PermanentError("the administrator's key is refused")

        broken.setattr(MemoryProvider, "preflight", refused)
        report = bench.service.rotate("one", FIRST)
    assert endings(report) == {"one-key1": Ending.DEAD} and bench.live == []
    assert report.code == 4 and report.without is not None and report.without.id == "one-key1"
    return bench


def replaced(bench: Bench, report: Report) -> None:
    assert report.code == 0 and report.without is None, report
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def two_minutes_pass(bench: Bench) -> None:
    """For the rotations that have ended."""
    with bench.service.journal.database.write() as connection:
        connection.execute(text("UPDATE rotations SET ended = ended - 120"))


def test_a_clock_brings_out_a_new_key_where_the_one_in_force_was_killed(without: Bench) -> None:
    """Nothing is due by the schedule, a pause stands, and it was never rotated: an outage is ended
    all the same, a minute or so after the last try.
    """
    pause.begin(without.service, "all", time.time() + 3600, "a launch")
    (report,), _ = without.service.due(Request())
    assert report.code == 4 and report.untouched and report.without is not None, "not at once"
    two_minutes_pass(without)
    reports, _ = without.service.due(Request())
    replaced(without, reports[0])
    assert without.service.due(Request())[0] == []


@pytest.mark.parametrize("order", ["resume", "rotate"])
def test_so_does_who_puts_right_what_hindered_it(without: Bench, order: str) -> None:
    if order == "resume":
        assert without.service.situation("one").waits_for_resume
        replaced(without, orders.order(without.service, "one", Order.RESUME, Request()))
    else:
        replaced(without, without.service.rotate("one"))


def test_it_is_attention_in_every_run_while_its_playbook_is_gone(without: Bench) -> None:
    path = without.folder / "playbooks" / "one.yaml"
    path.rename(path.with_suffix(".old"))
    for _ in range(2):
        (report,), _ = without.service.due(Request())
        assert report.code == 4 and report.without is not None
    path.with_suffix(".old").rename(path)
    two_minutes_pass(without)
    replaced(without, without.service.due(Request())[0][0])


def test_a_playbook_that_is_gone_has_its_key_killed_and_that_is_no_success(bench: Bench) -> None:
    assert bench.service.rotate("one", Request(wait=True)).code == 0
    (bench.folder / "playbooks" / "one.yaml").unlink()
    report = bench.service.rotate("one", FIRST)
    assert bench.live == [] and report.code == 4 and report.without is not None
    assert report.rotation is None, "the last rotation is no work of this order"


def test_what_is_due_is_not_told_of_a_rotation_that_was_over_before(bench: Bench) -> None:
    """Its last one was refused; this run looks after an old key, and all is well."""
    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    with pytest.MonkeyPatch.context() as broken:

        def refused(self: MemoryProvider) -> Any:
            raise PermanentError("the administrator's key is refused")

        broken.setattr(MemoryProvider, "preflight", refused)
        assert bench.service.rotate("one").code == 6
    report = bench.service.rotate("one", Request(only_if_due=True))
    assert report.code == 0 and report.rotation is None and len(bench.live) == 2


# --- another process holds the lease ---
def test_who_holds_the_lease_takes_the_order_up_and_the_command_follows(bench: Bench) -> None:
    """The holder waits for the end of a soak; the wait is cut short, and the key is dead within
    seconds.
    """
    book(bench, ("grace: 0s", "grace: 30s"))
    leaked, reports = bench.stored, []
    holder = threading.Thread(
        target=lambda: reports.append(bench.service.rotate("one", Request(wait=True)))
    )
    holder.start()
    while bench.stored == leaked:
        time.sleep(0.01)
    other, begun = bench.fresh(), time.monotonic()
    while other.keeper._held or not _held(other):
        time.sleep(0.01)
    report = other.rotate("one", FIRST)
    took = time.monotonic() - begun
    assert report.code in (0, 5) and set(endings(report).values()) == {Ending.DEAD}, report
    assert leaked not in bench.live and took < 15
    holder.join(60)
    assert reports and reports[0].error is None
    assert bench.live == [bench.stored] == [bench.consumer.holds]
    other.close()


def _who_follows(bench: Bench, hold: threading.Event) -> tuple[Service, list[str]]:
    """Another process, and what it is told while it waits; the third time `hold` lets the holder go
    on.
    """
    other, told = bench.fresh(), list[str]()

    def waits(unit: Any, action: Any) -> None:
        told.append(action.why)
        if len(told) > 2:
            hold.set()

    other.waits = waits
    return other, told


def test_a_rotation_under_way_takes_up_that_the_key_leaked_and_the_command_follows_it(
    bench: Bench,
) -> None:
    """Without an outage: the holder goes on to the new key, and revokes the leaked one without its
    grace of a day.
    """
    book(bench, ("grace: 0s", "grace: 24h"))
    leaked, reports, hold = bench.stored, [], threading.Event()
    real = MemoryStore.write

    def write(self: MemoryStore, *given: Any) -> Any:
        if not hold.is_set():
            raise TransientError("the disk is full", retry_in=0.05)
        return real(self, *given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryStore, "write", write)
        holder = threading.Thread(target=lambda: reports.append(bench.service.rotate("one")))
        holder.start()
        other, told = _who_follows(bench, hold)
        while not _held(other):
            time.sleep(0.01)
        report = other.rotate("one", Request(compromised=True, reason="it leaked"))
        holder.join(60)
    assert report.code == 0 and report.rotation and report.rotation.compromised, report
    assert bench.live == [bench.stored] == [bench.consumer.holds] and leaked not in bench.live
    assert reports and reports[0].error is None and reports[0].rotation.id == report.rotation.id, (
        "one rotation"
    )
    assert "it has the order now" in told[0]
    assert bench.consumer.starts == 2
    other.close()


def test_what_another_process_undoes_is_undone_first_then_the_leaked_key_is_replaced(
    bench: Bench,
) -> None:
    leaked, reports, hold = bench.stored, [], threading.Event()
    progress = MemoryRestarter.progress

    def crashes(self: MemoryRestarter, change: Any) -> Any:
        if not hold.is_set():
            raise PermanentError("it crashes")
        return progress(self, change)

    written = MemoryStore.write

    def write(self: MemoryStore, credential: Any, *given: Any) -> Any:
        if credential.values["key"].reveal() == leaked and not hold.is_set():
            raise TransientError("the disk is full", retry_in=0.05)
        return written(self, credential, *given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(MemoryRestarter, "progress", crashes)
        patched.setattr(MemoryStore, "write", write)
        holder = threading.Thread(target=lambda: reports.append(bench.service.rotate("one")))
        holder.start()
        other, told = _who_follows(bench, hold)
        while _phase(other) not in (Phase.RESTORE_READ, Phase.RESTORE):
            time.sleep(0.01)
        report = other.rotate("one", Request(compromised=True, reason="it leaked"))
        holder.join(60)
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.VERIFIED, (
        report
    )
    assert bench.live == [bench.stored] == [bench.consumer.holds] and leaked not in bench.live
    other.close()


def test_who_follows_old_keys_begins_the_rotation_that_another_orders(bench: Bench) -> None:
    """Its own is over, and it waits for a soak: it is the leaked key's end that counts now."""
    book(bench, ("grace: 0s", "grace: 20s"))
    first, reports = bench.stored, []
    holder = threading.Thread(
        target=lambda: reports.append(bench.service.rotate("one", Request(wait=True)))
    )
    holder.start()
    while bench.stored == first:
        time.sleep(0.01)
    second, other, begun = bench.stored, bench.fresh(), time.monotonic()
    while (found := _held(other)) and bench.service.journal and _phase(other) is not Phase.ENDED:
        time.sleep(0.01)
    assert found
    report = other.rotate("one", Request(compromised=True, reason="the new one leaked"))
    assert report.code == 0 and time.monotonic() - begun < 15, report
    assert second not in bench.live and first not in bench.live
    assert bench.live == [bench.stored] == [bench.consumer.holds]
    holder.join(60)
    other.close()


def _phase(service: Any) -> Phase | None:
    with service.journal.database.read() as connection:
        rotation = cases.load(connection, "one").rotation
    return rotation.phase if rotation is not None else None


def _held(service: Any) -> bool:
    from rotator.journal import leases

    with service.journal.database.read() as connection:
        found = leases.holding(connection, "one")
    return found is not None and not found.expired


def test_an_order_that_is_refused_is_answered_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bench.service.session("one") as session:
        with bench.service.journal.database.write() as connection:
            number = standing.write(
                connection, "one", "key_of_nobody", "me", "it leaked", time.time()
            )
        session.advance()
        with bench.service.journal.database.read() as connection:
            given = standing.answered(connection, number)
            assert (
                given
                and "nobody knows the key" in given.refused
                and not standing.waiting(connection, "one")
            )
    with pytest.raises(RefusedError, match="nobody knows"):
        followed(bench.service, "one", number)


def test_an_order_is_taken_up_before_the_next_act(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written while the key was being made: the leaked one dies before any store
    is written.
    """
    leaked, made, written = bench.stored, MemoryProvider.generate, MemoryStore.write
    other = bench.fresh()

    def make(self: MemoryProvider, *given: Any) -> Any:
        if not ordered:
            with other.journal.database.write() as connection:
                ordered.append(
                    standing.write(connection, "one", "", "me", "it leaked", time.time())
                )
        return made(self, *given)

    def write(self: MemoryStore, *given: Any) -> Any:
        assert leaked not in bench.live
        return written(self, *given)

    ordered: list[int] = []
    monkeypatch.setattr(MemoryProvider, "generate", make)
    monkeypatch.setattr(MemoryStore, "write", write)
    assert bench.service.rotate("one", Request(wait=True)).code == 0
    assert bench.live == [bench.stored] and ordered
    report = followed(other, "one", ordered[0])
    assert report is not None and endings(report) == {"one-key1": Ending.DEAD} and report.code == 0
    other.close()


def test_a_frozen_holder_is_taken_over_from(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order stands in the journal, its lease ends, and who ordered carries it out."""
    from sqlalchemy import text

    leaked, other = bench.stored, bench.fresh()
    held = other.keeper.take("one")
    thread = threading.Thread(target=lambda: found.append(bench.service.rotate("one", FIRST)))
    found: list[Report] = []
    thread.start()
    while True:
        with other.journal.database.read() as connection:
            if standing.playbooks(connection):
                break
        time.sleep(0.02)
    other.keeper._held.clear()
    with other.journal.database.write() as connection:
        connection.execute(text("UPDATE leases SET until = 0"))
    thread.join(30)
    assert found and found[0].code == 0 and endings(found[0]) == {"one-key1": Ending.DEAD}
    assert leaked not in bench.live
    held.lock.release()
    other.close()
    assert isinstance(Secret("x"), Secret)


def test_where_a_person_makes_the_keys_a_person_is_asked_for_both(bench: Bench) -> None:
    """The old key lives until the person has destroyed it, and that it still works is no
    confirmation.
    """
    dead = f"grep -q {bench.stored} && test -e {bench.folder}/dead && exit 77; :"
    (bench.folder / "playbooks" / "one.yaml").write_text(
        "generate: {uses: operator}\n"
        "store: [{uses: memory, cell: one}]\n"
        "restart: [{uses: memory, consumers: [one]}]\n"
        f"verify: [{{uses: command, run: [sh, -c, '{dead}']}}]\n"
        "revoke: {grace: 0s, quiet: 0s, watch: 0s}\n"
        "limits: {pass_interval: 1ms, step: 2s, list_lag: 0s}\n"
    )
    adopt.adopt(bench.service, "one", "key-by-hand")
    report = bench.service.rotate("one", FIRST)
    assert report.code == 5 and endings(report) == {"key-by-hand": Ending.ASKED}
    supplied = supply.supply(
        bench.service, "one", Secret("a-new-key-made-by-a-person"), "key-2", Request()
    )
    assert supplied.rotation and supplied.rotation.outcome is Outcome.VERIFIED
    (bench.folder / "dead").touch()
    orders.order(bench.service, "one", Order.CONFIRM, Request(wait=True))
    again = bench.service.rotate(
        "one", Request(compromised=True, revoke_first=True, key="key-by-hand")
    )
    assert endings(again) == {"key-by-hand": Ending.DEAD}


def test_a_playbook_that_is_gone_gets_no_new_key_and_no_old_one_is_hurried(bench: Bench) -> None:
    """Who holds the lease takes the order up, and answers why it does nothing."""
    book(bench, ("grace: 0s", "grace: 24h"))
    assert bench.service.rotate("one").code == 0
    before = bench.live
    (bench.folder / "playbooks" / "one.yaml").unlink()
    with bench.service.session("one") as session:
        with bench.service.journal.database.write() as connection:
            number = standing.write(
                connection, "one", "", "me", "it leaked", time.time(), Order.COMPROMISED
            )
        session.advance()
    with bench.service.journal.database.read() as connection:
        answer = standing.answered(connection, number)
    assert answer is not None and "the playbook one is gone" in answer.refused
    assert "--revoke-first" in answer.hint and bench.live == before and len(before) == 2


def test_the_proof_of_a_death_stands_although_the_key_in_force_was_killed_before(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That one is refused because it was to be: it says nothing against the older one's refusal."""
    book(bench, ("grace: 0s", "grace: 24h"))
    assert bench.service.rotate("one").code == 0
    older, real, later = "one-key1", MemoryProvider.revoke, []

    def revoke(self: MemoryProvider, credential: Any) -> Any:
        if credential.id == older and bench.issuer.keys["one-key2"].state == "live":
            later.append(credential.id)
            raise TransientError("busy with another one", retry_in=0.02)
        return real(self, credential)

    monkeypatch.setattr(MemoryProvider, "revoke", revoke)
    report = bench.service.rotate("one", FIRST)
    assert report.code == 0 and later, report
    assert endings(report) == {older: Ending.DEAD, "one-key2": Ending.DEAD}
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_an_order_about_a_leaked_key_is_answered_by_the_rotation_that_replaces_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people order the same: one rotation is under way for it already."""
    written, numbers = MemoryStore.write, []

    def write(self: MemoryStore, *given: Any) -> Any:
        if not numbers:
            with bench.service.journal.database.write() as connection:
                now = time.time()
                numbers.append(
                    standing.write(connection, "one", "", "me", "it leaked", now, Order.COMPROMISED)
                )
        return written(self, *given)

    monkeypatch.setattr(MemoryStore, "write", write)
    report = bench.service.rotate("one", Request(compromised=True, reason="it leaked"))
    with bench.service.journal.database.read() as connection:
        answer = standing.answered(connection, numbers[0])
    assert report.code == 0 and report.rotation and answer is not None, report
    assert answer.rotation == report.rotation.id and not answer.refused
    assert bench.live == [bench.stored] == [bench.consumer.holds]
