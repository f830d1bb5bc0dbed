"""What rotator believes: a key is destroyed only by an id that its provider shows, and never while
it is in force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rotator.cli import reported, todos
from rotator.core.debt_state import DebtPhase
from rotator.core.order import Order
from rotator.core.state import Outcome, Phase
from rotator.errors import OutcomeUnknown, PermanentError, Rejected, Unreadable, Unsupported
from rotator.integrations.memory import world as memory
from rotator.integrations.memory.provider import MemoryProvider
from rotator.integrations.memory.store import MemoryStore
from rotator.model import Credential, KeyRecord, Label
from rotator.secret import Secret
from rotator.usecases import adopt, orders
from rotator.usecases.service import Request
from rotator.views.status import status_of
from tests.integration.conftest import Bench

WAIT = Request(wait=True)
_generate, _inventory, _probe = (
    MemoryProvider.generate,
    MemoryProvider.inventory,
    MemoryProvider.probe,
)


def _answers(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """The issuer makes the key; what it answers is `change` of it."""
    monkeypatch.setattr(
        MemoryProvider, "generate", lambda self, label, like: change(_generate(self, label, like))
    )


def _lists(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[KeyRecord]], list[KeyRecord]]
) -> None:
    monkeypatch.setattr(MemoryProvider, "inventory", lambda self: change(_inventory(self)))


@pytest.mark.parametrize("answered", ["keys/2", "", "one-key1"])
def test_a_key_answered_under_another_id_than_listed_is_brought_nowhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, answered: str
) -> None:
    """Its sweep would revoke it in production one day.

    No store is written, nothing is revoked, both ids are named.
    """
    before = bench.stored
    _answers(monkeypatch, lambda made: replace(made, id=answered))
    report = bench.service.rotate("one", WAIT)
    assert report.code == 4 and report.rotation is not None and report.rotation.phase is Phase.STUCK
    assert "one-key2" in report.rotation.question and answered in report.rotation.question
    assert bench.stored == before and len(bench.live) == 2
    bench.service.due(Request())
    assert len(bench.live) == 2
    given_up = orders.order(bench.service, "one", Order.UNDO, Request())
    assert given_up.code == 0 and given_up.rotation is not None
    assert (
        given_up.rotation.outcome is Outcome.ROLLED_BACK and not given_up.rotation.possible_orphan
    )
    assert (
        bench.live == [before] == [bench.stored]
    )  # found by its label, and destroyed by the id that the list shows


def test_a_new_key_that_is_given_up_and_cannot_be_found_stays_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its label was never sent, so no list tells which it is: never told as destroyed."""
    _lists(monkeypatch, lambda found: [replace(one, label="") for one in found])
    assert bench.service.rotate("one", WAIT).code == 4
    given_up = orders.order(bench.service, "one", Order.UNDO, Request())
    reported.report(given_up)
    told = capsys.readouterr().out
    assert (
        "one-key2" in told and "may be a key that nobody knows" in told and "destroyed" not in told
    )
    assert len(bench.live) == 2
    lines = todos.worded(status_of(bench.service, "one", None))
    assert any("one-key2" in line.what for line in lines)


def test_a_recovery_that_asks_may_be_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _loses(monkeypatch, lambda made: bench.issuer.use(made.primary.reveal()) and None)
    assert bench.service.rotate("one", WAIT).code == 4
    given_up = orders.order(bench.service, "one", Order.UNDO, Request())
    assert given_up.rotation is not None and given_up.rotation.outcome is Outcome.ROLLED_BACK
    assert given_up.rotation.possible_orphan and len(bench.live) == 2


@pytest.mark.parametrize("compromised", [True, False])
def test_a_rotation_without_its_playbook_is_no_success(bench: Bench, compromised: bool) -> None:
    """From the wrong directory nothing is rotated: in an incident 0 would mean that the leaked key
    is dying.
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1h"))
    assert bench.service.rotate("one").code == 0
    path.unlink()
    report = bench.service.rotate("one", Request(compromised=compromised))
    assert (
        report.code == 2
        and report.error is not None
        and "no new key was made" in report.error.message
    )
    assert [
        one.code for one in bench.service.due(Request())[0]
    ] == []  # its old key waits in grace as it did


def test_an_issuer_without_a_list_that_answers_the_old_id_is_not_believed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.playbook(provider=", can_list: false, recovery: none")
    _answers(monkeypatch, lambda made: replace(made, id="one-key1"))
    adopt.adopt(bench.service, "one", "one-key1")
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 4
        and report.rotation is not None
        and "key in force" in report.rotation.question
    )
    assert bench.stored in bench.live


@pytest.mark.parametrize("slots", ["two slots", "none"])
def test_a_slot_shows_its_new_key(bench: Bench, slots: str) -> None:
    bench.playbook(provider=f", overlap: {slots}, recovery: reread", more="allow_downtime: true")
    bench.issuer.overlap = memory.Overlap(slots)
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored]


def test_nothing_is_swept_by_a_list_that_lacks_the_key_in_force(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        assert session.case.rotation is not None
        label = Label(session.journal.installation, "one", session.case.rotation.id, 7)
        bench.issuer.create(label.text)
        _lists(monkeypatch, lambda found: [replace(one, id=f"keys/{one.id}") for one in found])
        with pytest.raises(PermanentError, match="one-key2, which is in force"):
            session.reconcile()
        monkeypatch.setattr(MemoryProvider, "probe", _unable)
        with pytest.raises(PermanentError, match="in force"):
            session.reconcile()
    assert len(bench.live) == 2 and bench.stored in bench.live


def _unable(self: MemoryProvider, credential: Credential) -> Any:
    raise Unsupported("no probe")


# --- a create whose answer was lost; or a journal from a backup, to which it seems so ---
def _loses(monkeypatch: pytest.MonkeyPatch, then: Callable[[Any], None]) -> list[Any]:
    """The first create is answered to nobody; `then` is what happens in the world meanwhile."""
    made: list[Any] = []

    def generate(self: MemoryProvider, label: Label, like: Credential | None) -> Any:
        found = _generate(self, label, like)
        made.append(found)
        if len(made) == 1:
            then(found)
            raise OutcomeUnknown("no answer")
        return found

    monkeypatch.setattr(MemoryProvider, "generate", generate)
    return made


def _holds(value: Secret) -> None:
    cell = memory.WORLD.cell("one")
    cell.values, cell.version = {"key": value}, cell.version + 1


@pytest.mark.parametrize("recovery", ["label", "difference"])
@pytest.mark.parametrize("noted", [True, False])
def test_what_a_lost_create_left_is_not_discarded_when_the_stores_hold_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, recovery: str, noted: bool
) -> None:
    """It is this rotation's new key: read from the store, verified; the one before is the debt."""
    bench.playbook(provider=f", recovery: {recovery}, can_deactivate: true")

    def in_production(made: Credential) -> None:
        _holds(made.primary)
        if noted:
            memory.WORLD.cell("one").note = memory.Note(made.id, "i", "r", 0.0)

    made = _loses(monkeypatch, in_production)
    report = bench.service.rotate("one", WAIT)
    assert report.code == 0, report
    assert len(made) == 1 and bench.live == [made[0].primary.reveal()] == [bench.stored] == [
        bench.consumer.holds
    ]


def test_a_strangers_value_in_the_stores_keeps_what_was_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _loses(monkeypatch, lambda made: _holds(Secret("mem-strange-value-of-somebody")))
    report = bench.service.rotate("one", WAIT)
    assert report.code == 4 and report.rotation is not None
    assert (
        "a key that this journal does not know" in report.rotation.question and len(bench.live) == 2
    )


def test_a_store_that_was_written_since_and_cannot_be_read_keeps_what_was_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    assert bench.service.rotate("one", WAIT).code == 0
    path.write_text(path.read_text().replace("cell: one}", "cell: one, write_only: true}"))
    cell = memory.WORLD.cell("one")

    def written(made: Credential) -> None:
        cell.version += 1

    _loses(monkeypatch, written)
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 4
        and report.rotation is not None
        and "cannot be read" in report.rotation.question
    )
    assert len(bench.live) == 2


@pytest.mark.parametrize("store", ["write-only", "emptied"])
def test_a_store_that_nobody_wrote_does_not_hold_what_was_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    path, cell = bench.folder / "playbooks" / "one.yaml", memory.WORLD.cell("one")
    assert bench.service.rotate("one", WAIT).code == 0
    if store == "write-only":
        path.write_text(path.read_text().replace("cell: one}", "cell: one, write_only: true}"))

    def emptied(made: Credential) -> None:
        if store == "emptied":
            cell.values = None

    made = _loses(monkeypatch, emptied)
    bench.service.rotate("one", WAIT)
    assert made[0].primary.reveal() not in bench.live


def test_a_key_in_use_was_not_lost(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    _loses(monkeypatch, lambda made: bench.issuer.use(made.primary.reveal()) and None)
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 4
        and report.rotation is not None
        and "is being used" in report.rotation.question
    )
    assert len(bench.live) == 2
    again = orders.order(
        bench.service, "one", Order.RESUME, Request()
    )  # a person has looked: preflight looks, too
    assert again.rotation is not None and again.rotation.outcome is Outcome.VERIFIED


@pytest.mark.parametrize("alive", [True, False])
def test_a_list_that_lacks_the_key_in_force_is_no_word_to_destroy_by(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """Unless that key is refused: then it is not in force any more."""

    def hidden(made: Credential) -> None:
        bench.issuer.hidden.add("one-key1")
        if not alive:
            bench.issuer.keys["one-key1"].state = "dead"

    made = _loses(monkeypatch, hidden)
    report = bench.service.rotate("one", WAIT)
    assert report.rotation is not None
    if alive:
        assert (
            report.code == 4
            and "which is in force" in report.rotation.question
            and len(bench.live) == 2
        )
    else:
        assert (
            report.code == 0
            and made[0].primary.reveal() not in bench.live
            and bench.live == [bench.stored]
        )


def test_a_create_that_answers_without_a_key_is_made_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def generate(self: MemoryProvider, label: Label, like: Credential | None) -> Any:
        made.append(_generate(self, label, like).id)  # type: ignore[union-attr]
        raise Unreadable("the answer to the create has no key at `answer.secret`")

    monkeypatch.setattr(MemoryProvider, "generate", generate)
    before = bench.stored
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 3
        and report.rotation is not None
        and "answer.secret" in report.rotation.problem
    )
    assert len(made) == 1 and bench.live == [before] == [bench.stored]


def test_the_old_key_may_die_while_it_is_rotated_away_from(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its refusal is not taken for one of the new key, and nothing goes back to it."""

    def dies(made: Credential) -> Credential:
        bench.issuer.keys["one-key1"].state = "dead"
        return made

    _answers(monkeypatch, dies)
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


@pytest.mark.parametrize("alive", [True, False])
def test_a_key_that_the_list_lacks_is_not_quiet_unless_it_is_dead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    bench.playbook()
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("quiet: 0s", "quiet: 1h"))

    def hidden(made: Credential) -> Credential:
        bench.issuer.hidden.add("one-key1")
        if not alive:
            bench.issuer.keys["one-key1"].state = "dead"
        return made

    _answers(monkeypatch, hidden)
    report = bench.service.rotate("one")
    assert (
        report.code == 0
        and bool([debt for debt in report.debts if str(debt.phase) == "quiet"]) is alive
    )
    assert ("one-key1" in bench.issuer.live) is alive


@pytest.mark.parametrize("slots", ["two slots", "none"])
def test_a_slot_is_read_again_when_its_answer_was_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, slots: str
) -> None:
    bench.playbook(provider=f", overlap: {slots}, recovery: reread", more="allow_downtime: true")
    bench.issuer.overlap = memory.Overlap(slots)
    made = _loses(monkeypatch, lambda made: None)
    assert bench.service.rotate("one", WAIT).code == 0
    assert len(made) == 1 and bench.live == [made[0].primary.reveal()] == [bench.stored]


def test_an_id_beside_the_value_tells_which_key_a_store_holds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As IAM's access key ids do; no hint is needed then."""
    told: list[str] = []
    monkeypatch.setattr(MemoryProvider, "id_of", lambda self, beside: told[-1] if told else "")

    def in_production(made: Credential) -> None:
        _holds(made.primary)
        told.append(made.id)

    made = _loses(monkeypatch, in_production)
    _lists(monkeypatch, lambda found: [replace(one, hint="") for one in found] if told else found)
    assert bench.service.rotate("one", WAIT).code == 0
    assert len(made) == 1 and bench.live == [made[0].primary.reveal()] == [bench.stored]


def test_a_current_key_that_is_gone_is_no_debt_when_its_forerunner_was_put_back(
    bench: Bench,
) -> None:
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1h"))
    before = bench.stored
    assert bench.service.rotate("one").code == 0
    bench.issuer.keys["one-key2"].state = "dead"
    _holds(Secret(before))
    memory.WORLD.start("one")
    path.write_text(path.read_text().replace("grace: 1h", "grace: 0s"))
    assert bench.service.rotate("one", WAIT).code == 0
    assert bench.live == [bench.stored] == [bench.consumer.holds]


def test_an_id_that_another_key_had_is_no_id_of_the_new_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are given out again: the debt of the key that had it would destroy the
    one in force.
    """
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1h"))
    assert bench.service.rotate("one").code == 0
    before = bench.stored

    def renamed(found: list[KeyRecord]) -> list[KeyRecord]:
        return [
            replace(one, id="one-key1") if one.id == "one-key3" else one
            for one in found
            if one.id != "one-key1"
        ]

    _lists(monkeypatch, renamed)
    _answers(monkeypatch, lambda made: replace(made, id="one-key1"))
    report = bench.service.rotate("one")
    assert (
        report.code == 4
        and report.rotation is not None
        and "another key had before" in report.rotation.question
    )
    assert bench.stored == before and before in bench.live


def test_a_hint_that_fits_the_new_key_as_well_tells_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one listed key may be a colleague's: its mask shows what all keys end with."""
    before = bench.stored
    _lists(monkeypatch, lambda found: [replace(one, hint="mem-…xxxx") for one in found])
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 4
        and report.rotation is not None
        and "fits the new one as well" in report.rotation.question
    )
    assert bench.stored == before and len(bench.live) == 2


def test_a_create_that_answers_the_key_in_force_made_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.stored
    monkeypatch.setattr(
        MemoryProvider,
        "generate",
        lambda self, label, like: Credential({"key": Secret(before)}, "one-key1"),
    )
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 6 and report.rotation is not None and "in force" in report.rotation.problem
    )
    assert bench.live == [before] == [bench.stored]


def test_an_old_key_is_not_destroyed_while_the_one_in_force_is_refused(bench: Bench) -> None:
    """It may be the last that works, and the way back."""
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("grace: 0s", "grace: 1h"))
    assert bench.service.rotate("one").code == 0
    bench.issuer.keys["one-key2"].state = "dead"
    with bench.service.session("one") as session:
        session.case = session.case.having(
            session.case.debts[0].to(DebtPhase.LOOK)
        )  # its grace is over
        session.advance()
        held = session.case.debts[0]
    assert "refused itself" in held.attention and bench.issuer.live == ["one-key1"]


def test_a_provider_that_refuses_everybody_has_proven_nobodys_death(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(self: MemoryProvider, credential: Credential) -> None:
        monkeypatch.setattr(MemoryProvider, "probe", _refuses)

    monkeypatch.setattr(MemoryProvider, "revoke", nothing)
    report = bench.service.rotate("one")
    assert [debt.attention for debt in report.debts] and "proves nothing" in report.debts[
        0
    ].attention
    assert len(bench.live) == 2


def _refuses(self: MemoryProvider, credential: Credential) -> Any:
    raise Rejected("maintenance")


def test_an_id_that_a_person_gave_is_held_against_the_list_once_there_is_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.issuer.create("a colleague's")
    bench.playbook(provider=", can_list: false, recovery: none")
    adopt.adopt(bench.service, "one", "one-key2")
    bench.playbook()
    report = bench.service.rotate("one", WAIT)
    assert (
        report.code == 6
        and report.rotation is not None
        and "shows that one as" in report.rotation.problem
    )
    assert len(bench.live) == 2


def test_a_key_that_bears_our_label_beside_the_one_that_was_made_is_left_alone(
    bench: Bench,
) -> None:
    """A colleague's, in an account that our create made: its owner's name is our label."""
    assert bench.service.rotate("one", WAIT).code == 0
    theirs = bench.issuer.create(bench.issuer.keys["one-key2"].record.label)
    assert bench.service.rotate("one", WAIT).code == 0
    with bench.service.session("one") as session:
        assert session.reconcile() == 0
    assert theirs.value in bench.live and bench.stored in bench.live and len(bench.live) == 2


def test_one_lucky_answer_of_an_edge_that_lags_brings_a_key_nowhere(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other edge does not know the new key yet: before a store is written it was accepted
    three times in a row.
    """
    old, asked, written = bench.stored, list[bool](), MemoryStore.write
    real = MemoryProvider.probe

    def probe(self: MemoryProvider, credential: Credential) -> Any:
        if credential.primary.reveal() == old:
            return real(self, credential)
        asked.append(len(asked) > 6 or len(asked) % 2 == 0)
        if not asked[-1]:
            raise Rejected("this edge does not know it yet")
        return real(self, credential)

    def write(self: MemoryStore, *given: Any) -> Any:
        assert asked[-3:] == [True] * 3 and False in asked
        return written(self, *given)

    monkeypatch.setattr(MemoryProvider, "probe", probe)
    monkeypatch.setattr(MemoryStore, "write", write)
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text().replace("step: 2s", "step: 2m"))
    report = bench.service.rotate("one")
    assert report.code == 0, report
    assert bench.live == [bench.stored] == [bench.consumer.holds] and bench.stored != old
