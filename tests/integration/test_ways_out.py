"""Every state has a way out: a playbook that was wrong, a consumer that is gone, a name that
changed.
"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.plan import Key
from rotator.core.state import Outcome, Phase
from rotator.errors import NotFound, PermanentError, RefusedError
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import credentials
from rotator.journal.naming import former_names
from rotator.model import Credential
from rotator.secret import Secret
from rotator.usecases import adopt, keys, naming, orders, pause
from rotator.usecases.report import Report
from rotator.usecases.service import Request
from tests.integration.conftest import Bench
from tests.integration.test_incident import book

TODAY = Request(today=True, wait=True)


def resume(bench: Bench, request: Request = TODAY) -> Report:
    return orders.order(bench.service, "one", Order.RESUME, request)


def add(cell: str, value: str | None) -> memory.Cell:
    found = memory.WORLD.cell(cell)
    found.values, found.version = ({"key": Secret(value)} if value else None), 1
    return found


@pytest.fixture
def wrong(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The playbook restarts what does not exist: neither on nor back."""
    book(bench, ("consumers: [one]", "consumers: [typo]"))
    memory.WORLD.consumers["typo"] = memory.Consumer("one")  # it was there in preflight
    real = MemoryRestarter.restart

    def restart(self: MemoryRestarter, change: Any) -> Any:
        if "typo" in self.consumers:
            raise NotFound("typo.pid names no running process")
        return real(self, change)

    monkeypatch.setattr(MemoryRestarter, "restart", restart)
    report = bench.service.rotate("one")
    assert report.rotation and report.rotation.phase is Phase.STUCK
    assert not report.differs
    return bench


def test_a_wrong_restarter_is_corrected_and_the_rotation_goes_on_by_it(wrong: Bench) -> None:
    """It was going back; that ends with the consumer that there is.

    Then a rotation is whole again.
    """
    old = wrong.issuer.keys["one-key1"].value
    again = resume(wrong, Request())
    assert again.code == 4 and "typo" in str(again.rotation)
    book(wrong, ("consumers: [typo]", "consumers: [one]"))
    told = resume(wrong, Request())
    assert told.code == 4 and any("typo" in line for line in told.differs), "what differs is shown"
    report = resume(wrong)
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.ROLLED_BACK
    assert any("typo" in line for line in report.taken)
    assert wrong.live == [old] == [wrong.stored] == [wrong.consumer.holds]
    assert wrong.service.rotate("one", Request(wait=True)).code == 0


def test_forward_too(wrong: Bench) -> None:
    """Where nothing goes back it goes on, from the first store to the last consumer."""
    wrong.service.rotate("one", Request(compromised=True))
    book(wrong, ("consumers: [typo]", "consumers: [one]"))
    report = resume(wrong)
    assert report.code == 0 and report.rotation and report.rotation.outcome is Outcome.VERIFIED
    assert wrong.live == [wrong.stored] == [wrong.consumer.holds]
    assert not wrong.issuer.accepts(wrong.issuer.keys["one-key1"].value)


def test_compromised_takes_the_corrected_playbook(wrong: Bench) -> None:
    book(wrong, ("consumers: [typo]", "consumers: [one]"))
    report = wrong.service.rotate("one", Request(compromised=True, revoke_first=True))
    assert not wrong.issuer.accepts(wrong.issuer.keys["one-key1"].value), report
    assert report.code == 0 and any("typo" in line for line in report.taken)
    assert wrong.live == [wrong.stored] == [wrong.consumer.holds]


def test_a_store_that_was_forgotten_gets_the_new_key(wrong: Bench) -> None:
    two = add("two", wrong.issuer.keys["one-key1"].value)
    book(
        wrong,
        ("consumers: [typo]", "consumers: [one]"),
        ("cell: one}]", "cell: one}, {uses: memory, cell: two}]"),
    )
    wrong.service.rotate("one", Request(compromised=True))
    report = resume(wrong)
    assert report.code == 0 and two.values and two.values["key"].reveal() == wrong.stored
    assert wrong.live == [wrong.stored]


@pytest.mark.parametrize(
    ("holds", "says"), [(None, "holds no key"), ("mem-a-strangers-key-xxxxxxxxx", "neither")]
)
def test_a_store_that_is_not_what_it_should_be_is_refused(
    wrong: Bench, holds: str | None, says: str
) -> None:
    add("two", holds)
    book(
        wrong,
        ("consumers: [typo]", "consumers: [one]"),
        ("cell: one}]", "cell: one}, {uses: memory, cell: two}]"),
    )
    wrong.service.rotate("one", Request(compromised=True))
    with pytest.raises(RefusedError, match=says):
        resume(wrong)


def test_a_store_that_was_written_stays_under_look_until_it_is_given_up(wrong: Bench) -> None:
    """It is named no longer, and holds the new key, which is undone: that does not die before it is
    put back.
    """
    two = add("two", wrong.issuer.keys["one-key1"].value)
    book(
        wrong,
        ("consumers: [typo]", "consumers: [one], evidence: read"),
        ("cell: one}]", "cell: two}]"),
    )
    report = resume(wrong)
    assert report.code == 0, report.rotation.question
    assert {store.name for store in report.rotation.plan.stores} == {"memory two", "memory one"}  # type: ignore[union-attr]
    old = wrong.issuer.keys["one-key1"].value
    assert (
        wrong.live == [old] == [wrong.stored] and two.values and two.values["key"].reveal() == old
    )


def test_a_store_that_is_gone_for_good_is_given_up_by_name(
    wrong: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("two", wrong.issuer.keys["one-key1"].value)
    book(wrong, ("consumers: [typo]", "consumers: [one]"), ("cell: one}]", "cell: two}]"))
    real = MemoryStore.read

    def read(self: MemoryStore) -> Any:
        if self.cell == "one":
            raise PermanentError("the server is gone")
        return real(self)

    monkeypatch.setattr(MemoryStore, "read", read)
    assert resume(wrong).code == 4
    report = resume(wrong, Request(today=True, give_up=("memory one",), wait=True))
    assert report.code == 0 and wrong.live == [wrong.issuer.keys["one-key1"].value], report


def test_an_old_key_is_not_held_up_by_a_consumer_that_is_gone_for_good(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.WORLD.consumers["gone"] = memory.Consumer("one")
    memory.WORLD.start("gone")
    book(
        bench,
        ("restart: [", "restart: [{uses: memory, consumers: [gone]}, "),
        ("grace: 0s", "grace: 24h"),
    )
    assert bench.service.rotate("one").code == 0
    book(bench, ("{uses: memory, consumers: [gone]}, ", ""))
    real = MemoryRestarter.shown

    def shown(self: MemoryRestarter, change: Any) -> Any:
        if "gone" in self.consumers:
            raise NotFound("there is no such service")
        return real(self, change)

    monkeypatch.setattr(MemoryRestarter, "shown", shown)
    held = orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    assert held.code == 4 and len(bench.live) == 2
    report = resume(bench)
    assert report.code == 0 and report.rotation is None and bench.live == [bench.stored]


def test_a_key_in_force_that_no_store_showed_is_found_in_the_one_that_was_meant(
    bench: Bench,
) -> None:
    """A typo in a store's name with `create: true`: it became a first key, while the real one lives
    on elsewhere.
    """
    real = bench.issuer.keys["one-key1"].value
    add("typo", None)
    book(bench, ("cell: one}]", "cell: typo, create: true}]"), ("step: 2s", "step: 300ms"))
    book(bench, ("consumers: [one]", "consumers: [one], evidence: read"))
    report = bench.service.rotate("one", Request(compromised=True))
    assert report.code == 4 and real in bench.live, report
    book(bench, ("cell: typo, create: true}]", "cell: one}]"))
    report = resume(bench)
    assert report.code == 0, report
    assert bench.live == [bench.stored] == [bench.consumer.holds] and real not in bench.live


def test_without_its_playbook_nothing_can_be_taken(wrong: Bench) -> None:
    (wrong.folder / "playbooks" / "one.yaml").unlink()
    with pytest.raises(Exception, match="is gone"):
        resume(wrong)


# --- abandon ---
def test_an_abandoned_rotation_is_over_and_what_the_stores_hold_is_in_force(wrong: Bench) -> None:
    """It had gone back as far as the stores: the old key is in force, the new one dies once nobody
    may hold it.
    """
    old = wrong.stored
    current, report = orders.abandon(wrong.service, "one", "", "enough")
    assert (
        str(current) == "one-key1"
        and report.rotation
        and report.rotation.outcome is Outcome.ABANDONED
    )
    assert wrong.issuer.accepts(old) and wrong.stored == old
    assert {debt.key.id for debt in report.debts} == {"one-key2"}
    book(wrong, ("consumers: [typo]", "consumers: [one], evidence: read"))
    assert resume(wrong).code == 0 and wrong.live == [old]
    assert wrong.service.rotate("one", Request(wait=True)).code == 0
    with pytest.raises(RefusedError, match="no unfinished rotation"):
        orders.abandon(wrong.service, "one", "", "")


def test_abandoned_on_the_way_the_new_key_is_in_force(wrong: Bench) -> None:
    wrong.service.rotate("one", Request(compromised=True))
    new = wrong.stored
    current, report = orders.abandon(wrong.service, "one", "", "")
    assert str(current) == "one-key2" and {debt.key.id for debt in report.debts} == {"one-key1"}
    book(wrong, ("consumers: [typo]", "consumers: [one]"))
    memory.WORLD.start("one")
    assert resume(wrong).code == 0 and wrong.live == [new]


def test_before_any_store_was_written_nothing_needs_to_be_read(lost: Bench) -> None:
    """A lost create that nobody can find again: what it may have made is named until a person
    decides.
    """
    current, report = orders.abandon(lost.service, "one", "", "")
    assert str(current) == "one-key1" and lost.live == [lost.stored]
    (debt,) = report.held
    assert "nobody has decided about attempt 1" in debt.attention
    assert lost.service.rotate("one", Request(wait=True)).held, (
        "another rotation does not make it forgotten"
    )
    naming.let_go(lost.service, "one", debt.key.hint, "there was none")
    assert not lost.service.rotate("one", Request(wait=True)).held


def test_stores_that_do_not_agree_are_told_one_by_one(
    wrong: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong.service.rotate("one", Request(compromised=True))
    two = add("two", "mem-a-strangers-key-xxxxxxxxx")
    add("three", None)
    stores = (
        "cell: one}, {uses: memory, cell: two}, {uses: memory, cell: three}, {uses: memory, cell:"
        " four}]"
    )
    book(wrong, ("consumers: [typo]", "consumers: [one]"), ("cell: one}]", stores))
    real = MemoryStore.read

    def read(self: MemoryStore) -> Any:
        if self.cell == "four":
            raise PermanentError("the server is gone")
        return real(self)

    monkeypatch.setattr(MemoryStore, "read", read)
    with pytest.raises(RefusedError) as refused:
        orders.abandon(wrong.service, "one", "", "")
    for words in (
        "one holds one-key2",
        "two holds mem-",
        "does not know",
        "three holds no key",
        "four cannot be read",
    ):
        assert words in refused.value.message, refused.value.message
    assert "--current ID" in refused.value.hint and "one-key1, one-key2" in refused.value.hint
    with pytest.raises(RefusedError, match="nobody knows the key nonsense"):
        orders.abandon(wrong.service, "one", "nonsense", "")
    current, report = orders.abandon(wrong.service, "one", "one-key2", "")
    assert str(current) == "one-key2"
    undecided = [debt for debt in report.debts if debt.cause == "undecided"]
    assert len(undecided) == 1 and undecided[0].key.fingerprint and two.values


def test_a_key_that_only_the_list_knows_may_be_the_one_in_force(
    wrong: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong.service.rotate("one", Request(compromised=True))
    other = wrong.issuer.create("by hand")
    memory.WORLD.cell("one").values = {"key": Secret(other.value)}
    with pytest.raises(RefusedError, match="does not know"):
        orders.abandon(wrong.service, "one", "", "")
    current, report = orders.abandon(wrong.service, "one", other.record.id, "")
    assert current and current.id == other.record.id
    assert {debt.key.id for debt in report.debts} >= {"one-key1", "one-key2"}


def test_a_key_that_nobody_decided_about_lives_until_it_is_revoked_or_adopted(wrong: Bench) -> None:
    wrong.service.rotate("one", Request(compromised=True))
    other = wrong.issuer.create("by hand")
    memory.WORLD.cell("one").values = {"key": Secret(other.value)}
    orders.abandon(wrong.service, "one", "one-key2", "")
    orders.order(wrong.service, "one", Order.REVOKE, Request(wait=True))
    assert wrong.issuer.accepts(other.value), "an order to all old keys is none about this one"
    with pytest.raises(RefusedError, match="no old key nonsense"):
        orders.order(wrong.service, "one", Order.REVOKE, Request(key="nonsense"))
    with wrong.service.session("one") as session:
        (mine,) = [debt for debt in session.case.debts if debt.cause == "undecided"]
    adopt.adopt(wrong.service, "one", other.record.id)
    with wrong.service.session("one") as session:
        assert mine.id not in {debt.id for debt in session.case.debts}
    assert wrong.issuer.accepts(other.value)


def test_a_key_known_by_its_hint_alone_is_not_proven_dead_by_a_list(wrong: Bench) -> None:
    """A list lacks whatever has no id. A person destroys it, and says so."""
    wrong.service.rotate("one", Request(compromised=True))
    other = wrong.issuer.create("by hand")
    cell = memory.WORLD.cell("one")
    before = cell.values
    cell.values = {"key": Secret(other.value)}
    orders.abandon(wrong.service, "one", "one-key2", "")
    cell.values = before
    memory.WORLD.consumers["typo"] = memory.WORLD.consumers["one"]
    memory.WORLD.start("typo")
    with wrong.service.session("one") as session:
        (mine,) = [debt for debt in session.case.debts if debt.cause == "undecided"]
    assert not mine.key.id
    order = Request(key=mine.key.hint, wait=True)
    report = orders.order(wrong.service, "one", Order.REVOKE, order)
    (debt,) = [debt for debt in report.debts if debt.id == mine.id]
    assert wrong.issuer.accepts(other.value) and debt.phase is DebtPhase.REVOKE
    assert "nobody knows the id of" in debt.attention, debt.attention
    assert "rotator confirm one" in debt.attention
    wrong.issuer.keys[other.record.id].state = "dead"
    orders.order(wrong.service, "one", Order.CONFIRM, Request(wait=True))
    with wrong.service.session("one") as session:
        assert mine.id not in {debt.id for debt in session.case.debts}


# --- another name ---
def renamed(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.rename(path.with_name("two.yaml"))


def test_a_renamed_playbook_takes_its_history_along(bench: Bench) -> None:
    """Also after `adopt`, with an old key in its grace, a pause and a value that is sealed."""
    import time

    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    pause.begin(bench.service, "playbook one", time.time() + 3600, "a launch")
    with pytest.raises(RefusedError, match="still a playbook"):
        path = bench.folder / "playbooks" / "one.yaml"
        path.with_name("two.yaml").write_text(path.read_text().replace("cell: one", "cell: two"))
        naming.rename(bench.service, "one", "two")
    path.with_name("two.yaml").unlink()
    renamed(bench)
    refused = bench.service.rotate("two")
    assert (
        refused.rotation and "written by a rotation of the playbook one" in refused.rotation.problem
    )
    assert "rotator rename one two" in refused.rotation.hint
    adopt.adopt(bench.service, "two")
    naming.rename(bench.service, "one", "two")
    standing = bench.service.paused("two", None)
    assert standing is not None and bench.service.paused("one", None) is None
    pause.end(bench.service, "playbook two", "")
    old = bench.issuer.keys["one-key1"].value
    assert orders.order(bench.service, "two", Order.REVOKE, Request(wait=True)).code == 0
    assert old not in bench.live
    assert bench.service.rotate("two").code == 0
    assert len(bench.live) == 2 and bench.stored in bench.live
    with bench.service.journal.database.read() as connection:
        assert former_names(connection, "two") == ("one",)


def test_a_rename_is_refused_where_it_would_mix_two_histories(bench: Bench, wrong: Bench) -> None:
    from rotator.errors import ConfigError

    with pytest.raises(ConfigError, match="no playbook 'nobody'"):
        naming.rename(bench.service, "one", "nobody")
    other = Bench(bench.folder, bench.url, "two")
    (bench.folder / "playbooks" / "one.yaml").unlink()
    with pytest.raises(ConfigError, match="knows no playbook never"):
        naming.rename(bench.service, "never", "two")
    with pytest.raises(RefusedError, match="unfinished rotation"):
        naming.rename(bench.service, "one", "two")
    orders.abandon(bench.service, "one", "", "")
    adopt.adopt(bench.service, "two")
    with pytest.raises(RefusedError, match="adopted with another key"):
        naming.rename(bench.service, "one", "two")
    bench.service.rotate("two", Request(wait=True))
    with pytest.raises(RefusedError, match="a history of its own"):
        naming.rename(bench.service, "one", "two")
    other.service.close()


# --- forgotten ---
def test_a_playbook_whose_key_is_gone_is_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rotator.errors import ConfigError

    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    with pytest.raises(RefusedError, match="still a playbook"):
        naming.forget(bench.service, "one")
    (bench.folder / "playbooks" / "one.yaml").unlink()
    with pytest.raises(RefusedError, match="old keys of one still live"):
        naming.forget(bench.service, "one")
    orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    with pytest.raises(RefusedError, match="still works"):
        naming.forget(bench.service, "one")
    bench.issuer.keys["one-key2"].state = "dead"
    naming.forget(bench.service, "one")
    with pytest.raises(ConfigError, match="knows no playbook one"):
        naming.forget(bench.service, "one")
    with pytest.raises(ConfigError):
        keys.look(bench.service, "one")


def test_where_nobody_can_tell_a_person_says_that_it_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rotator.errors import TransientError

    def down(self: Any, *given: Any) -> Any:
        raise TransientError("no answer")

    bench.service.rotate("one", Request(wait=True))
    (bench.folder / "playbooks" / "one.yaml").unlink()
    monkeypatch.setattr(MemoryProvider, "probe", down)
    monkeypatch.setattr(MemoryProvider, "inventory", down)
    with pytest.raises(RefusedError, match="nobody can tell"):
        naming.forget(bench.service, "one")
    naming.forget(bench.service, "one", gone=True)


def test_a_key_that_rotator_made_is_not_let_go(bench: Bench) -> None:
    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    with pytest.raises(RefusedError, match="in force here"):
        naming.let_go(bench.service, "one", "one-key1", "")
    with pytest.raises(RefusedError, match="no old key nonsense"):
        naming.let_go(bench.service, "one", "nonsense", "")


# --- only looking ---
def test_keys_are_looked_at_and_nothing_happens(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rotator.errors import PermanentError, Unsupported

    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    seen = {one.key.id: one for one in keys.look(bench.service, "one")}
    assert seen["one-key1"].alive and seen["one-key1"].role == "old, grace"
    assert seen["one-key2"].alive and seen["one-key2"].role == "in force"
    orders.order(bench.service, "one", Order.REVOKE, Request(wait=True))
    (dead,) = keys.look(bench.service, "one", "one-key1")
    assert dead.alive is False and "lists it no more" in dead.how
    with pytest.raises(RefusedError, match="knows nonsense"):
        keys.look(bench.service, "one", "nonsense")
    by_hand = bench.issuer.create("by hand")
    assert keys.look(bench.service, "one", by_hand.record.id)[0].role == "not of this journal"
    bench.issuer.keys["one-key2"].state = "dead"
    (now,) = keys.look(bench.service, "one", "one-key2")
    assert now.alive is False and "three times" in now.how

    def unable(self: Any, *given: Any) -> Any:
        raise Unsupported("no probe")

    def gone(self: Any) -> Any:
        raise PermanentError("the store is gone")

    monkeypatch.setattr(MemoryProvider, "probe", unable)
    monkeypatch.setattr(MemoryProvider, "inventory", unable)
    (now,) = keys.look(bench.service, "one", "one-key2")
    assert now.alive is None and "no probe" in now.how
    monkeypatch.setattr(MemoryStore, "read", gone)
    assert keys.look(bench.service, "one", "one-key2")[0].alive is None


# --- what is said ---
def test_a_value_that_nobody_knows_any_more_is_told_for_what_it_is(bench: Bench) -> None:
    """No store holds it, and it was never sealed: the sealing key is not lost."""
    from rotator.core.action import Call, Failed, Op
    from rotator.core.state import Rotation
    from rotator.engine.perform import Performer

    key, book_ = Key("gone", "f" * 8), bench.service.playbooks().get("one")
    with bench.service.session("one") as session:
        rotation = Rotation("r", "one", book_.plan, new=key)
        performer = Performer(
            session.journal, session.clock, book_, None, session.case, rotation, lambda: 30.0, {}
        )
        told = performer.perform(Call(Op.PROBE, "generate", key=key)).result
        assert (
            isinstance(told, Failed) and "no store holds it" in told.hint and "--today" in told.hint
        )
        with session.journal.database.write() as connection:
            value = Credential({"key": Secret("mem-never-to-be-opened")})
            credentials.keep(connection, session.journal.sealer, "one", "r", key, value, 0.0)
            connection.execute(
                text("UPDATE credentials SET sealed = replace(sealed, 'key', 'yek')")
            )
        told = performer.perform(Call(Op.PROBE, "generate", key=key)).result
        assert isinstance(told, Failed) and "its seal does not open" in told.hint


# --- corners ---
@pytest.fixture
def lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A create whose answer was lost, at a provider that cannot list: a person must look."""
    from rotator.errors import OutcomeUnknown

    def unanswered(self: Any, *given: Any) -> Any:
        raise OutcomeUnknown("no answer")

    book(
        bench,
        (
            "generate: {uses: memory, issuer: one",
            "generate: {uses: memory, issuer: one, recovery: none",
        ),
    )
    with monkeypatch.context() as broken:
        broken.setattr(MemoryProvider, "generate", unanswered)
        assert bench.service.rotate("one").code == 4
    return bench


def test_what_an_undone_rotation_named_is_not_forgotten_by_the_next_one(lost: Bench) -> None:
    orders.order(lost.service, "one", Order.UNDO, Request())
    assert not lost.service.rotate("one", Request(wait=True)).error
    report = lost.service.rotate("one", Request(wait=True))
    assert [debt.key.hint[:9] for debt in report.held] == ["attempt 1"]


def test_who_waits_for_a_person_goes_on_by_today_s_playbook_too(lost: Bench) -> None:
    add("two", None)
    stores = "cell: one}, {uses: memory, cell: two, create: true}]"
    book(lost, ("cell: one}]", stores), ("limits:", "evidence: none\nlimits:"))
    report = resume(lost)
    assert (
        report.rotation
        and report.rotation.outcome is Outcome.VERIFIED
        and "evidence: now none" in report.taken
    )
    two = memory.WORLD.cell("two")
    assert two.values and two.values["key"].reveal() == lost.stored


def test_a_rotation_that_has_looked_at_nothing_yet_takes_all_of_it(bench: Bench) -> None:
    from rotator.core.state import Rotation
    from rotator.engine import today
    from rotator.journal import cases
    from rotator.playbook.carry import kept

    then = bench.service.playbooks().get("one")
    add("two", bench.stored)
    with bench.service.session("one") as session:
        now = bench.service.clock.now()
        begun = Rotation("01J", "one", then.plan, now=now, since=now)
        session.start(begun, cases.Beginning(kept(then), "me", ""))
    book(bench, ("cell: one}]", "cell: one}, {uses: memory, cell: two}]"))
    with bench.service.session("one") as session:
        assert len(today.take(session, ())) == 1
        assert session.case.rotation and len(session.case.rotation.plan.stores) == 2
    assert bench.service.rotate("one", Request(wait=True)).code == 0


def test_one_entry_of_several_stores_is_given_up_by_their_names(bench: Bench) -> None:
    import json

    from rotator.engine import today
    from rotator.playbook.carry import kept

    several = "{uses: dotenv, path: /srv/.env, key: K, host: [a, b]}"
    book(bench, ("store: [{uses: memory, cell: one}]", f"store: [{several}]"))
    then = bench.service.playbooks().get("one")
    first, second = (store.name for store in then.stores)
    definition = json.loads(kept(then))
    assert len(today._kept_entries(definition, then, {first, second})) == 1
    assert not today._kept_entries(definition, then, set())
    with pytest.raises(RefusedError, match="one entry with stores that stay"):
        today._kept_entries(definition, then, {first})


def test_without_the_playbook_nothing_differs_and_the_key_is_the_one_before(lost: Bench) -> None:
    path = lost.folder / "playbooks" / "one.yaml"
    text_ = path.read_text()
    path.unlink()
    assert not lost.service.rotate("one").differs
    path.write_text(text_)
    memory.WORLD.cell("one").values = None
    assert str(orders.abandon(lost.service, "one", "", "")[0]) == "one-key1"


def test_a_store_that_can_only_be_written_agrees_by_what_was_written(wrong: Bench) -> None:
    """And one that nobody wrote cannot say; then a key may be named that only the journal knows."""
    wrong.service.rotate("one", Request(compromised=True))
    book(
        wrong,
        ("consumers: [typo]", "consumers: [one]"),
        ("cell: one}]", "cell: one, write_only: true}]"),
    )
    with wrong.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation
    add("two", "mem-anything-at-all-xxxxxxxx")
    book(
        wrong,
        ("write_only: true}]", "write_only: true}, {uses: memory, cell: two, write_only: true}]"),
    )
    with pytest.raises(RefusedError, match="two cannot tell what it holds"):
        orders.abandon(wrong.service, "one", "", "")
    with wrong.service.journal.database.write() as connection:
        credentials.remember(connection, "one", "adopted", Key("known", "fingerprint"), 0.0)
    current, _ = orders.abandon(wrong.service, "one", "known", "")
    assert current == Key("known", "fingerprint")


def test_a_provider_that_does_not_answer_knows_no_further_key(
    lost: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(self: Any) -> Any:
        raise PermanentError("no answer")

    monkeypatch.setattr(MemoryProvider, "inventory", down)
    with pytest.raises(RefusedError, match="nobody knows the key nonsense"):
        orders.abandon(lost.service, "one", "nonsense", "")


def test_a_rotation_that_found_no_key_yet_leaves_what_the_journal_knows(bench: Bench) -> None:
    from rotator.core.state import Rotation
    from rotator.journal import cases
    from rotator.playbook.carry import kept

    adopt.adopt(bench.service, "one")
    then, now = bench.service.playbooks().get("one"), bench.service.clock.now()
    with bench.service.session("one") as session:
        begun = Rotation("01J", "one", then.plan, now=now, since=now)
        session.start(begun, cases.Beginning(kept(then), "me", ""))
    assert orders.abandon(bench.service, "one", "", "")[0] is None
    assert {one.role for one in keys.look(bench.service, "one")} == {"in force"}


def test_a_rename_needs_the_sealing_key_for_what_is_sealed(bench: Bench) -> None:
    from dataclasses import replace

    from rotator.errors import JournalError

    bench.service.rotate("one", Request(wait=True))  # nothing stays sealed of these two
    book(bench, ("grace: 0s", "grace: 24h"))
    bench.service.rotate("one")
    renamed(bench)
    bench.service._journal = replace(bench.service.journal, sealer=None)
    with pytest.raises(JournalError, match="no sealing key"):
        naming.rename(bench.service, "one", "two")
    bench.service._journal = None
    naming.rename(bench.service, "one", "two")
    assert {one.role for one in keys.look(bench.service, "two")} >= {"in force", "old, grace"}


def test_a_plan_tells_a_lost_sealing_key_and_a_wait(bench: Bench) -> None:
    import time
    from dataclasses import replace

    from rotator.engine import preflight

    book(bench, ("grace: 0s", "grace: 24h"), ("issuer: one", "issuer: one, quota: 2"))
    bench.service.rotate("one")
    journal, playbook = bench.service.journal, bench.service.playbooks().get("one")
    waits = preflight.examine(journal, playbook, time.time()).findings
    assert [one.text[:14] for one in waits] == ["it would wait:"]
    lost_ = preflight.examine(replace(journal, sealer=None), playbook, time.time()).findings
    assert any(one.text == "there is no sealing key" for one in lost_)


def _of_one_name(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[memory.Cell, memory.Cell]:
    """Two stores that give themselves one name, as a Secret does in two clusters."""
    monkeypatch.setattr(MemoryStore, "name", property(lambda _: "memory"))
    book(bench, ("cell: one}", "cell: two}, {uses: memory, cell: one}"))
    two, one = memory.WORLD.cell("two"), memory.WORLD.cell("one")
    two.values, two.version = {"key": Secret("mem-of-nobody-xxxxxxxxxxx1")}, 1
    return one, two


def test_what_one_of_two_stores_of_one_name_holds_is_not_taken_for_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that nobody has looked at would be written over, and be in no debt."""
    one, two = _of_one_name(bench, monkeypatch)
    report = bench.service.rotate("one")
    assert report.rotation is not None and report.rotation.outcome is Outcome.REFUSED
    assert "the stores disagree: memory (cell two)" in report.rotation.problem
    assert two.values and two.values["key"].reveal() == "mem-of-nobody-xxxxxxxxxxx1"
    two.values = dict(one.values or {})
    report = bench.service.rotate("one")
    assert report.rotation is not None and report.rotation.outcome is Outcome.VERIFIED
    assert one.values and two.values and one.values["key"] == two.values["key"]


def test_an_abandoned_rotation_asks_each_of_two_stores_of_one_name(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = _of_one_name(bench, monkeypatch)
    two.values = dict(one.values or {})
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise PermanentError("it does not start")

        broken.setattr(MemoryRestarter, "restart", refuse)
        assert bench.service.rotate("one").code == 4
    two.values = {"key": Secret("mem-of-nobody-xxxxxxxxxxx1")}
    with pytest.raises(RefusedError, match=r"the stores do not agree: memory \(cell two\)"):
        orders.abandon(bench.service, "one", "", "")


def test_a_store_whose_namesake_alone_is_named_stays_under_look(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was written: who takes the playbook as it is today does not lose it."""
    one, two = _of_one_name(bench, monkeypatch)
    two.values = dict(one.values or {})
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise PermanentError("it does not start")

        broken.setattr(MemoryRestarter, "restart", refuse)
        assert bench.service.rotate("one").code == 4
    book(
        bench,
        ("{uses: memory, cell: two}, ", ""),
        ("consumers: [one]", "consumers: [one], evidence: read"),
    )
    report = resume(bench)
    assert report.code == 0 and report.rotation is not None
    names = [store.name for store in report.rotation.plan.stores]
    assert names == ["memory (cell one)", "memory (cell two)"]
    assert one.values and two.values and one.values["key"] == two.values["key"]
    assert bench.live == [bench.stored]
