"""What happens seldom: each refusal and each way round, over both databases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from rotator.core.action import Call, Done, Failed, Kind, Op
from rotator.core.debt_state import Debt, Proof
from rotator.core.order import Order
from rotator.core.plan import Key
from rotator.core.state import Cause, Outcome, Phase
from rotator.engine import adopting, identity, preflight, rotation_calls
from rotator.engine.foreign import foreign_ids
from rotator.engine.lock import HostLock
from rotator.engine.perform import Performer
from rotator.engine.performed import failure
from rotator.engine.runner import Session
from rotator.errors import (
    AccessDenied,
    Conflict,
    JournalError,
    LeaseLost,
    NotFound,
    PermanentError,
    RefusedError,
    TransientError,
    Unsupported,
)
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.restarter import MemoryRestarter
from rotator.integrations.memory.store import MemoryStore
from rotator.journal import cases, leases, strays
from rotator.model import Credential, Finding, Identity, KeyRecord, Label, Level, Note, NotYet
from rotator.secret import Secret
from rotator.usecases import adopt, orders
from rotator.usecases.service import Request
from tests.integration.conftest import Bench

WAIT = Request(wait=True)


def _refused(bench: Bench) -> str:
    report = bench.service.rotate("one")
    assert report.code == 6 and report.rotation, report
    return report.rotation.problem


def test_a_value_that_another_rotator_wrote_is_refused(bench: Bench) -> None:
    """The note beside the value says whose it is, where a store can keep one."""
    assert bench.service.rotate("one", WAIT).code == 0
    cell, journal = memory.WORLD.cell("one"), bench.service.journal
    assert cell.note and cell.note.installation == journal.installation
    cell.note = replace(cell.note, installation="elsewhere")
    assert "written by another rotator (installation elsewhere)" in _refused(bench)
    cell.note = Note("k", journal.installation, "a rotation of a journal that was lost", 0.0)
    assert "by a rotation that this journal does not know" in _refused(bench)


def test_an_unhealthy_consumer_is_excused_where_the_playbook_says_so(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Finding(Level.ERROR, "it is down", "start it")]
    monkeypatch.setattr(MemoryRestarter, "preflight", lambda self: found)
    assert "it is down" in _refused(bench)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text().replace("consumers: [one]", "consumers: [one], allow_unhealthy: true")
    )
    assert bench.service.rotate("one", WAIT).code == 0


def test_a_provider_without_a_list_is_believed_once(bench: Bench) -> None:
    """The first key is taken as found; later the stores must hold the one that the
    journal knows.
    """
    bench.playbook(provider=", can_list: false, recovery: none")
    assert bench.service.rotate("one", WAIT).code == 0
    memory.WORLD.cell("one").values = {"key": Secret("mem-somebody-elses-xxxxxxxxxxxxxxxxxxx")}
    assert "not the key that this journal knows" in _refused(bench)


def test_a_write_only_store_is_rotated_by_what_the_journal_knows(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("cell: one", "cell: one, write_only: true"))
    assert bench.service.rotate("one", WAIT).code == 0, "nothing is known of the first key"
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.stored in bench.live


def test_a_key_that_sees_something_else_is_undone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made in another project: both keys work, and yet they are not the same."""
    first = bench.stored

    def probe(self: MemoryProvider, credential: Any) -> Identity:
        return Identity({"project": "a" if credential.primary == Secret(first) else "b"})

    monkeypatch.setattr(MemoryProvider, "probe", probe)
    report = bench.service.rotate("one")
    assert (
        report.rotation
        and "does not see the same project as the old one" in report.rotation.problem
    )
    assert bench.stored == first


def test_probes_of_the_playbook_stand_in_where_the_provider_has_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider that can neither probe nor prove: its list and the playbook's own probes are
    asked.
    """

    def probe(self: MemoryProvider, credential: Any) -> Identity:
        raise Unsupported("this provider has no cheap call")

    monkeypatch.setattr(MemoryProvider, "probe", probe)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text() + "verify: [{uses: memory, issuer: one}]\n")
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_a_create_that_takes_its_time_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = MemoryProvider.generate

    def generate(self: MemoryProvider, label: Any, like: Any) -> Any:
        asked.append(1)
        return NotYet(0.01, "ticket-7", "being made") if len(asked) < 3 else real(self, label, like)

    monkeypatch.setattr(MemoryProvider, "generate", generate)
    assert bench.service.rotate("one", WAIT).code == 0
    assert len(asked) == 3 and len(bench.issuer.keys) == 2


def test_consumers_are_restarted_in_waves(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = MemoryRestarter.restart

    def restart(self: MemoryRestarter, change: Any) -> Any:
        asked.append(1)
        return (
            NotYet(0.01, text="the first wave is starting")
            if len(asked) < 3
            else real(self, change)
        )

    monkeypatch.setattr(MemoryRestarter, "restart", restart)
    assert bench.service.rotate("one", WAIT).code == 0 and len(asked) == 3


def test_a_leaked_key_dies_with_its_stores_empty(bench: Bench) -> None:
    """Nothing is held any more, and the key is revoked by what the journal knows of it."""
    assert bench.service.rotate("one", WAIT).code == 0
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("cell: one", "cell: one, create: true"))
    memory.WORLD.cell("one").values = None
    report = bench.service.rotate("one", Request(compromised=True, wait=True))
    assert report.code == 0, report
    assert bench.live == [bench.stored]


def test_a_plugin_that_fails_in_a_way_it_did_not_foresee_is_told_as_its_mistake() -> None:
    """A bug in a plugin is no traceback; after a create it is unknown what happened."""
    unforeseen = failure(Call(Op.WRITE, "store"), ZeroDivisionError("x"), 1.0)
    assert (
        isinstance(unforeseen, Failed)
        and "did not foresee: ZeroDivisionError" in unforeseen.message
    )
    assert type(failure(Call(Op.GENERATE, "generate"), KeyError("x"), 1.0)).__name__ == "Unknown"
    kinds = {
        Conflict("x"): Kind.CONFLICT,
        AccessDenied("x"): Kind.DENIED,
        RefusedError("x"): Kind.DENIED,
    }
    for error, kind in {
        **kinds,
        Unsupported("x"): Kind.UNSUPPORTED,
        NotFound("x"): Kind.OTHER,
    }.items():
        told = failure(Call(Op.WRITE, "store"), error, 1.0)
        assert isinstance(told, Failed) and told.kind is kind and told.permanent


def _performer(session: Session, unit: Any) -> Performer:
    book = session.books.today
    assert book is not None
    return Performer(
        session.journal, session.clock, book, book, session.case, unit, lambda: 60.0, {}
    )


def test_what_a_debt_asks_when_little_is_known(bench: Bench) -> None:
    """A key without a value is proven dead by the list; a suspect is judged by what the list says
    of it.
    """
    assert bench.service.rotate("one", WAIT).code == 0
    spare = bench.issuer.create("made by hand")
    with bench.service.session("one") as session:
        debt = Debt(
            "d", "one", "r", Key(spare.record.id), Cause.DISCARDED, session.case.rotation.plan
        )  # type: ignore[union-attr]
        performer = _performer(session, debt)

        def told(op: Op, key: Key = debt.key) -> Any:
            return performer.perform(Call(op, "revoke", key=key)).result

        assert told(Op.SUSPECT).data is False, "it is active"
        spare.state = "off"
        assert told(Op.SUSPECT).data is True and told(Op.PROVE).data is Proof.UNLISTED
        spare.state = "live"
        assert told(Op.PROVE).data is Proof.NONE
        assert told(Op.QUIET).data is None
        spare.record = replace(spare.record, last_used_at=5.0)
        assert told(Op.QUIET).data == 5.0
        assert performer.with_value(session.case.rotation.new).values  # type: ignore[union-attr]
        unheld = told(Op.LOOK, Key("an id of which nothing else is known"))
        assert isinstance(unheld, Done), "the store holds a key of another id"
        memory.WORLD.cell("one").values = {"key": Secret("mem-of-nobody-qqqqqqqqqqqqqqqqqqqqqqq")}
        assert "which may be" in told(Op.LOOK, Key("an id of which nothing else is known")).message
        assert isinstance(
            performer.perform(Call(Op.WRITE, "store", key=Key("gone"))).result, Failed
        )
        case = replace(session.case, rotation=None)
        alone = replace(performer, case=case)
        assert isinstance(alone.perform(Call(Op.WATCH, "revoke")).result, Failed), (
            "the stores' key does not work"
        )
        memory.WORLD.cell("one").values = None
        assert isinstance(alone.perform(Call(Op.WATCH, "revoke")).result, Done), (
            "there is nothing to ask with"
        )
        assert performer.perform(Call(Op.READ, "store")).result.data.fingerprint == ""  # type: ignore[union-attr]
        assert isinstance(told(Op.LOOK, Key("x")), Done), "an empty store holds nothing"
        assert performer.credential(None).values == {}


def test_a_lost_sealing_key_is_a_sentence_when_a_value_is_needed(bench: Bench) -> None:
    assert bench.service.rotate("one").code == 0
    with bench.service.session("one") as session:
        performer = _performer(session, session.case.rotation)
        with pytest.raises(PermanentError, match="is not known any more"):
            performer.with_value(Key("some", "f" * 32))


def test_a_process_that_lost_its_lease_leaves_word_of_what_it_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may write nothing more; the key that it made is found by the next holder, and goes."""
    real = MemoryProvider.generate

    def generate(self: MemoryProvider, label: Any, like: Any) -> Credential:
        made = real(self, label, like)
        with bench.service.journal.database.write() as connection:
            connection.execute(text("UPDATE leases SET fence = fence + 1"))
        return made  # type: ignore[return-value]

    monkeypatch.setattr(MemoryProvider, "generate", generate)
    lost = bench.service.rotate("one")
    assert isinstance(lost.error, LeaseLost)
    monkeypatch.setattr(MemoryProvider, "generate", real)
    time.sleep(0.01)
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored]
    with bench.service.journal.database.read() as connection:
        assert not strays.playbooks(connection)


def test_leases_are_renewed_together_and_one_that_was_taken_is_given_up(bench: Bench) -> None:
    keeper = bench.service.keeper
    mine, other = keeper.take("one"), keeper.take("two")
    before = mine.good_until
    with bench.service.journal.database.write() as connection:
        connection.execute(text("UPDATE leases SET fence = fence + 1 WHERE playbook = 'two'"))
    keeper._renew([mine, other])
    assert mine.good_until > before and other.good_until == 0.0 and other.seconds_left() < 0


def test_a_renewal_that_fails_is_left_to_the_next_write(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = bench.service.keeper.take("one")

    def broken() -> Any:
        raise JournalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(bench.service.journal.database, "write", broken)
        bench.service.keeper._renew([held])
    assert held.seconds_left() > 0


def test_a_lock_file_that_was_replaced_is_locked_anew(tmp_path: Path) -> None:
    """The one at the path counts, not the one that a frozen process still has open."""
    frozen, next_one = HostLock(tmp_path / "a.lock"), HostLock(tmp_path / "a.lock")
    assert frozen.identity == "" and frozen.take() and not next_one.take()
    next_one.replace()
    assert next_one.identity != frozen.identity
    third = HostLock(tmp_path / "a.lock")
    real: Callable[[int], bool] = third._is_present
    seen: list[bool] = []

    def gone_meanwhile(handle: int) -> bool:
        if not seen:
            (tmp_path / "a.lock").unlink()
        seen.append(real(handle))
        return seen[-1]

    next_one.release()
    third._is_present = gone_meanwhile  # type: ignore[method-assign]
    assert third.take() and seen == [False, True]


def test_orphans_are_looked_for_only_where_a_label_can_tell(bench: Bench) -> None:
    """A key with the label of a rotation of ours that nothing accounts for goes; an unknown stored
    value stops it.
    """
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        assert session.case.rotation is not None
        label = Performer.label(_performer(session, session.case.rotation), 7).text
        stray = bench.issuer.create(label)
        cell = memory.WORLD.cell("one")
        held, cell.values = cell.values, {"key": Secret("mem-unknown-qqqqqqqqqqqqqqqqqqqqqqqqqqq")}
        assert session.reconcile() == 0, "a store holds what nobody knows"
        cell.values = None
        assert session.reconcile() == 1
        cell.values = held
        session.advance()
    assert bench.issuer.keys[stray.record.id].state == "dead"
    with bench.service.session("one") as session:
        session.case = replace(session.case, rotation=None)
        assert session.reconcile() == 0


def test_the_boot_is_unknown_where_proc_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(self: Path) -> str:
        raise OSError

    leases.boot_id.cache_clear()
    monkeypatch.setattr(Path, "read_text", unreadable)
    try:
        assert leases.boot_id() == "unknown"
    finally:
        leases.boot_id.cache_clear()


def test_an_order_that_is_refused_is_in_the_audit(bench: Bench) -> None:
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        running = replace(session.case.rotation, phase=Phase.GENERATE)  # type: ignore[type-var]
        refusal = session.order(Order.REVOKE, running)
    assert refusal is not None and "under way" in refusal.reason
    with bench.service.journal.database.read() as connection:
        told = connection.execute(
            text("SELECT count(*) FROM audit WHERE record LIKE '%\"refused\"%'")
        ).scalar()
    assert told == 1


def test_a_debt_that_exists_is_not_made_twice(bench: Bench) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    assert bench.service.rotate("one").code == 0
    with bench.service.session("one") as session:
        (owed,) = session.case.debts
        with session.writing() as writing:
            writing.owe((owed.key,), Cause.SWEPT)
        assert session.case.debts == (owed,)


def test_a_rotation_is_found_by_its_whole_id_and_by_its_end(bench: Bench) -> None:
    report = bench.service.rotate("one", WAIT)
    assert report.rotation and report.rotation.outcome is Outcome.VERIFIED
    whole = report.rotation.id
    with bench.service.journal.database.read() as connection:
        for typed in (whole, f"r-{whole[-5:].lower()}", whole[-6:]):
            assert cases.find_rotation(connection, typed)["id"] == whole  # type: ignore[index]
        assert cases.find_rotation(connection, "r-zzzzz0") is None


def test_a_playbook_edited_during_grace_is_looked_at_as_it_was_and_as_it_is(bench: Bench) -> None:
    """A store and a consumer of both versions are read once; a consumer that shows nothing shows
    nothing.
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    assert bench.service.rotate("one").code == 0
    later = (
        path.read_text()
        .replace("in memory", "edited")
        .replace("restart: [", "restart: [{uses: none, within: 0}, ")
    )
    path.write_text(later)
    report = orders.order(bench.service, "one", Order.REVOKE, WAIT)
    assert report.code == 0 and bench.live == [bench.stored]


def test_an_old_key_whose_value_nobody_knows_is_no_measure(bench: Bench) -> None:
    """Parity is asked only where both keys can be."""
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        rotation = replace(session.case.rotation, old=Key("gone", "f" * 32), forward_only=False)  # type: ignore[type-var]
        performer = _performer(session, rotation)
        rotation_calls._parity(performer, performer.credential(rotation.new))  # type: ignore[arg-type]


def test_a_key_that_nobody_owes_and_nobody_lists_is_forgotten(bench: Bench) -> None:
    """The stores hold a key that a person adopted; the one that the journal believed in is gone at
    the provider.
    """
    assert bench.service.rotate("one", WAIT).code == 0
    believed = bench.stored
    by_hand = bench.issuer.create("by hand")
    bench.issuer.by_value(believed).state = "dead"  # type: ignore[union-attr]
    cell = memory.WORLD.cell("one")
    cell.values, cell.version, cell.note = {"key": Secret(by_hand.value)}, cell.version + 1, None
    assert "not the key that this journal knows" in _refused(bench)
    assert adopt.adopt(bench.service, "one").id == by_hand.record.id
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored]


def test_the_database_of_a_postgresql_journal_is_backed_up_by_itself(
    bench: Bench, tmp_path: Path
) -> None:
    from rotator.journal import upkeep

    journal = bench.service.journal
    assert upkeep.check(journal) == []
    if journal.database.is_sqlite:
        upkeep.backup(journal, tmp_path / "copy.db")
        return
    with pytest.raises(JournalError, match="backed up by PostgreSQL"):
        upkeep.backup(journal, tmp_path / "copy.db")


def test_a_probe_of_the_provider_that_it_does_not_have_is_left_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`provider` among the probes of a provider without one: the others stand in for the new key's
    own check.
    """
    bench.playbook(more="verify: [{uses: provider}, {uses: memory, issuer: one}]")
    assert bench.service.rotate("one", WAIT).code == 0
    asked: list[str] = []

    def probe(self: MemoryProvider, credential: Any) -> Identity:
        asked.append("provider")
        raise Unsupported("this provider has no cheap call")

    monkeypatch.setattr(MemoryProvider, "probe", probe)
    with bench.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation is not None
        done = _performer(session, rotation).perform(Call(Op.PROBE, "generate", key=rotation.new))
    assert isinstance(done.result, Done) and asked == ["provider"]


def test_consumers_of_which_nothing_is_wanted_are_not_asked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`evidence: none`: the look reads the stores alone."""
    bench.playbook(more="evidence: none")
    assert bench.service.rotate("one", WAIT).code == 0

    def asked(self: MemoryRestarter, change: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(MemoryRestarter, "progress", asked)
    with bench.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation is not None
        looked = _performer(session, rotation).perform(Call(Op.LOOK, "verify", key=rotation.new))
    assert isinstance(looked.result, Done)


def test_a_store_of_both_versions_of_a_playbook_is_read_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.service.rotate("one", WAIT).code == 0
    reads: list[str] = []
    real = MemoryStore.read

    def read(self: MemoryStore) -> Any:
        reads.append(self.cell)
        return real(self)

    monkeypatch.setattr(MemoryStore, "read", read)
    with bench.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation is not None
        performer = _performer(session, rotation)
        performer.perform(Call(Op.LOOK, "verify", key=rotation.new))
        as_it_was = len(reads)
        edited = replace(performer, today=replace(performer.then, file="edited.yaml"))
        edited.perform(Call(Op.LOOK, "verify", key=rotation.new))
    assert len(reads) == 2 * as_it_was


def test_a_key_told_by_what_stands_beside_it_must_be_listed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An access key's id stands beside the secret: another user's is refused, ours is taken without
    a guess.
    """
    with bench.service.session("one") as session:
        book = session.books.today
        assert book is not None

        def identified(key_id: str, taken: bool = True) -> Key:
            key = Key(key_id, "f" * 32, "mem…")
            return identity._told_by_itself(
                session.journal, book, key, taken, book.provider.inventory
            )

        (first,) = (record.id for record in book.provider.inventory())
        assert identified(first).id == first
        with pytest.raises(RefusedError, match="which the provider does not list"):
            identified("another-users")
        assert identified("deleted", taken=False).id == "deleted", (
            "it is dead: there is nothing to revoke"
        )
        with pytest.raises(RefusedError, match="with a value that it refuses"):
            identified(first, taken=False)  # the id of one key beside the value of another
        foreign = bench.issuer.create(Label("elsewhere", "one", "01LOST", 1).text)
        with pytest.raises(RefusedError, match="does not know"):
            identified(foreign.record.id)


def test_a_labelled_key_is_ours_only_with_its_rotation(bench: Bench) -> None:
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        rotation, book = session.case.rotation, session.books.today
        assert rotation is not None and book is not None
        ours = Label(session.journal.installation, "one", rotation.id, 1)
        assert not foreign_ids(
            session.journal, book, [KeyRecord("k", ours.text), KeyRecord("l", "by hand")]
        )
        for foreign in (replace(ours, installation="elsewhere"), replace(ours, rotation="lost")):
            assert foreign_ids(session.journal, book, [KeyRecord("k", foreign.text)]) == {"k"}


def test_a_stray_that_the_rotation_took_as_its_own_is_no_debt(bench: Bench) -> None:
    """A frozen process filled the slot; recovery read it again and went on with it."""
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation is not None and rotation.new is not None
        other = Key("late", "e" * 32, "mem…late")
        with session.journal.database.write() as connection:
            for key in (rotation.new, other):
                strays.add(connection, "one", rotation.id, key, 0.0)
        with session.journal.database.read() as connection:
            unsettled = strays.unsettled(connection, "one")
        session._settle(unsettled)
        assert [debt.key for debt in session.case.debts if debt.open] == [other]


def test_a_leaked_key_that_somebody_put_back_is_rotated_away_from_for_good(bench: Bench) -> None:
    """Its debt is void while it is current, but nothing goes back to it."""
    bench.playbook(revoke="", more="")
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    leaked, cell = bench.stored, memory.WORLD.cell("one")
    assert bench.service.rotate("one").code == 0
    cell.values, cell.version, cell.note = {"key": Secret(leaked)}, cell.version + 1, None
    with bench.service.session("one") as session:
        (debt,) = session.case.debts
        session.order(Order.COMPROMISED, debt)
    report = bench.service.rotate("one")
    assert report.rotation is not None and report.rotation.compromised and report.code == 0
    assert leaked not in bench.live and bench.stored in bench.live


def test_a_lease_that_was_lost_in_a_call_is_no_answer_of_the_plugin(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever lost it writes nothing more, not even that the call failed."""
    assert bench.service.rotate("one", WAIT).code == 0

    def lost(self: MemoryStore) -> Any:
        raise LeaseLost("somebody else has it")

    monkeypatch.setattr(MemoryStore, "read", lost)
    with bench.service.session("one") as session:
        rotation = session.case.rotation
        assert rotation is not None
        with pytest.raises(LeaseLost):
            _performer(session, rotation).perform(Call(Op.READ, "store"))


def _showing(bench: Bench) -> memory.Consumer:
    """Its consumer shows which key it has."""
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text().replace("consumers: [one]", "consumers: [one], evidence: read")
    )
    return bench.consumer


def test_a_consumer_that_shows_another_key_is_refused_by_name(bench: Bench) -> None:
    """It reads another variable, or another file: it would go on with a key that is revoked."""
    _showing(bench).holds = "mem-another-key-qqqqqqqqqqqqqqqqqqqqqq"
    live = bench.live
    assert "memory one one shows another key than the stores hold" in _refused(bench)
    assert bench.live == live and bench.stored == live[0]


def test_a_consumer_that_shows_a_key_while_the_stores_hold_none_is_refused(bench: Bench) -> None:
    """`create: true` at a wrong path: the key is somewhere else."""
    _showing(bench)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("cell: one}", "cell: typo, create: true}"))
    assert "shows a key, but no store holds one" in _refused(bench)


def test_a_leaked_key_is_not_held_up_by_what_a_consumer_shows(bench: Bench) -> None:
    """It is told, and the consumer is restarted like all others."""
    leaked = bench.stored
    _showing(bench).holds = "mem-another-key-qqqqqqqqqqqqqqqqqqqqqq"
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds] != [leaked]
    with bench.service.journal.database.read() as connection:
        told = connection.execute(
            text("SELECT count(*) FROM audit WHERE record LIKE '%shows another key%'")
        ).scalar()
    assert told == 1


def test_a_leaked_key_is_not_held_up_by_a_consumer_that_is_down(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MemoryRestarter, "preflight", lambda self: [Finding(Level.ERROR, "it is down", "start it")]
    )
    assert bench.service.rotate("one", Request(compromised=True, wait=True)).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_a_key_that_must_die_at_once_is_not_held_up_by_a_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was added, empty, and one that complains."""
    leaked = bench.stored
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("store: [", "store: [{uses: memory, cell: added}, "))
    monkeypatch.setattr(
        MemoryStore, "preflight", lambda self: [Finding(Level.ERROR, "its disk is full", "")]
    )
    at_once = Request(compromised=True, revoke_first=True, wait=True)
    assert "its disk is full" in _refused(bench)
    assert bench.service.rotate("one", at_once).code == 0
    assert leaked not in bench.live and bench.stored in bench.live


def test_a_consumer_that_shows_nothing_is_a_warning(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _showing(bench).holds = ""
    assert bench.service.rotate("one", WAIT).code == 0
    bench.consumer.holds = bench.stored
    real = MemoryRestarter.shown

    def down(self: MemoryRestarter, change: Any) -> Any:
        if change.credential.values and change.credential.primary.reveal() == first:
            raise PermanentError("it does not answer")
        return real(self, change)

    first = bench.stored
    monkeypatch.setattr(MemoryRestarter, "shown", down)
    book = bench.service.playbooks().get("one")
    found = preflight.examine(bench.service.journal, book, time.time()).findings
    assert ["does not show which key it has: it does not answer" in one.text for one in found] == [
        True
    ]
    assert found[0].level is Level.WARNING


def test_a_followed_store_may_hold_an_earlier_key_only_as_long_as_it_may_lag(bench: Bench) -> None:
    """As long after our last write as a rotation would wait for it."""
    first, two = bench.stored, memory.WORLD.cell("two")
    two.values, two.version = {"key": Secret(first)}, 1
    assert bench.service.rotate("one", WAIT).code == 0
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(
        path.read_text().replace(
            "cell: one}]", "cell: one}, {uses: memory, cell: two, follows: true}]"
        )
    )
    book, journal = bench.service.playbooks().get("one"), bench.service.journal
    assert not preflight.examine(journal, book, time.time()).findings
    (found,) = preflight.examine(journal, book, time.time() + 60).findings
    assert found.level is Level.ERROR and "the stores disagree" in found.text
    two.values = {"key": Secret(bench.issuer.create("by hand").value)}
    (found,) = preflight.examine(journal, book, time.time()).findings
    assert "the stores disagree" in found.text, "a key that is none of ours is no lag"


def test_a_write_only_store_that_somebody_else_wrote_is_refused_until_a_person_adopts(
    bench: Bench,
) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("cell: one", "cell: one, write_only: true"))
    assert bench.service.rotate("one", WAIT).code == 0
    by_hand, cell = bench.issuer.create("by hand"), memory.WORLD.cell("one")
    cell.values, cell.version, cell.note = {"key": Secret(by_hand.value)}, cell.version + 1, None
    assert "was written by somebody else since our last write" in _refused(bench)
    with pytest.raises(RefusedError, match="no store shows"):
        adopt.adopt(bench.service, "one")
    assert adopt.adopt(bench.service, "one", by_hand.record.id).id == by_hand.record.id
    assert bench.service.rotate("one", WAIT).code == 0
    assert by_hand.value not in bench.live and bench.stored in bench.live


def test_a_key_that_was_adopted_anew_has_the_id_that_was_said_last(bench: Bench) -> None:
    """A provider that cannot list: the first id was a mistake, and it is not what is revoked."""
    bench.playbook(provider=", can_list: false, recovery: none")
    first = next(iter(bench.issuer.keys))
    colleague = bench.issuer.create("a colleague's")
    adopt.adopt(bench.service, "one", colleague.record.id)
    adopt.adopt(bench.service, "one", first)
    assert bench.service.rotate("one", WAIT).code == 0
    assert colleague.value in bench.live and bench.issuer.keys[first].state == "dead"


def test_a_journal_that_is_older_than_the_world_is_told(bench: Bench) -> None:
    """A key of ours, by a rotation that this journal does not know: it is not touched, and it is
    said.
    """
    lost = Label(bench.service.journal.installation, "one", "01LOSTROTATION", 1)
    stray = bench.issuer.create(lost.text)
    other = bench.issuer.create(replace(lost, installation="elsewhere").text)
    book = bench.service.playbooks().get("one")
    (found,) = preflight.examine(bench.service.journal, book, time.time()).findings
    assert (
        found.level is Level.WARNING
        and "01LOSTROTATION, which this journal does not know" in found.text
    )
    assert stray.record.id in found.text and "restored from a backup" in found.hint
    assert bench.service.rotate("one", WAIT).code == 0
    assert {stray.value, other.value} <= set(bench.live)


def test_a_store_that_cannot_be_read_is_asked_again_for_a_value(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold it: only the order that a leaked key die at once does without."""
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        performer = _performer(session, session.case.rotation)  # type: ignore[arg-type]

        def silent(_: object) -> None:
            raise TransientError("no answer")

        monkeypatch.setattr(type(performer.then.stores[0].store), "read", silent)
        unknown = Key("", "a fingerprint that nobody sealed")
        found = performer.perform(Call(Op.PROBE, "generate", key=unknown)).result
        assert isinstance(found, Failed) and not found.permanent and found.message == "no answer"


def test_a_key_with_the_label_of_another_is_told_and_not_touched(bench: Bench) -> None:
    """A create makes one key: the second one came late, or is a colleague's.

    Nobody can know, so a person is told.
    """
    assert bench.service.rotate("one", WAIT).code == 0
    (ours,) = [key for key in bench.issuer.keys.values() if key.value == bench.stored]
    late = bench.issuer.create(ours.record.label)
    book = bench.service.playbooks().get("one")
    (found,) = preflight.examine(bench.service.journal, book, time.time()).findings
    assert (
        found.level is Level.WARNING
        and f"{late.record.id} bears the label of another key" in found.text
    )
    assert f"--key {late.record.id}" in found.hint
    assert bench.service.rotate("one", WAIT).code == 0
    assert late.value in bench.live


def test_what_would_be_refused_is_told_before(bench: Bench) -> None:
    """By `plan`, `doctor` and its `--explain`, without anything being begun."""
    memory.WORLD.cell("one").values = None
    book = bench.service.playbooks().get("one")
    (found,) = preflight.examine(bench.service.journal, book, time.time()).findings
    assert (
        found.level is Level.ERROR
        and found.text == "memory one holds no key"
        and "create: true" in found.hint
    )


def test_a_path_that_was_changed_makes_no_first_key_anew(bench: Bench) -> None:
    """`create: true` stood there since the first key; the one in force is where the old
    path leads.
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("cell: one", "cell: one, create: true"))
    assert bench.service.rotate("one", WAIT).code == 0
    path.write_text(path.read_text().replace("cell: one", "cell: moved"))
    live = bench.live
    assert (
        "memory moved holds no key any more, though one is in force" in _refused(bench)
        and bench.live == live
    )


def test_going_back_asks_nothing_of_the_providers_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 24h"))
    first = bench.stored
    assert bench.service.rotate("one").code == 0

    def inventory(self: MemoryProvider) -> Any:
        raise AccessDenied("the administrator's key is gone")

    monkeypatch.setattr(MemoryProvider, "inventory", inventory)
    report = orders.order(bench.service, "one", Order.UNDO, Request())
    assert report.rotation and report.rotation.outcome is Outcome.VERIFIED and bench.stored == first


def test_an_id_that_stands_beside_the_value_is_not_overruled(bench: Bench) -> None:
    book, (first,) = bench.service.playbooks().get("one"), bench.issuer.keys
    beside = Credential({"key": Secret(bench.stored)}, first)
    assert adopting.chosen(book, beside, "", time.time()) == (first, "what stands beside its value")
    with pytest.raises(RefusedError, match=f"the stores hold {first}, not another"):
        adopting.chosen(book, beside, "another", time.time())


def test_a_write_only_store_that_holds_another_key_of_ours_disagrees(bench: Bench) -> None:
    """Its version is that of our last write; somebody put the key from before back into the other
    store.
    """
    path, first, hidden = (
        bench.folder / "playbooks" / "one.yaml",
        bench.stored,
        memory.WORLD.cell("hidden"),
    )
    path.write_text(
        path.read_text().replace(
            "cell: one}", "cell: one}, {uses: memory, cell: hidden, write_only: true}"
        )
    )
    hidden.values, hidden.version = {"key": Secret(first)}, 1
    assert bench.service.rotate("one", WAIT).code == 0 and hidden.values == {
        "key": Secret(bench.stored)
    }
    memory.WORLD.cell("one").values = {"key": Secret(first)}
    assert "memory hidden holds the key of our last write" in _refused(bench)


def test_what_an_unfinished_rotation_left_so_far_is_no_finding(bench: Bench) -> None:
    memory.WORLD.consumers.pop("one")
    assert bench.service.rotate("one", Request(compromised=True)).code == 4
    memory.WORLD.cell("one").values = None
    assert not preflight.examine(
        bench.service.journal, bench.service.playbooks().get("one"), time.time()
    ).findings


def test_a_plugin_that_the_system_refuses_something_says_what_the_system_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preflight(self: MemoryStore) -> Any:
        raise OSError(19, "No such device")

    monkeypatch.setattr(MemoryStore, "preflight", preflight)
    report = bench.service.rotate("one")
    assert report.code == 6 and report.rotation, report
    assert "No such device" in report.rotation.problem and "plugin" not in report.rotation.problem
    assert bench.live == [bench.stored]
