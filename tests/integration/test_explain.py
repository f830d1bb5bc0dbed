"""`doctor --explain`: what holds a playbook up, what comes next, what would break."""

from __future__ import annotations

from rotator.integrations.memory import world as memory
from rotator.secret import Secret
from rotator.usecases import orders
from rotator.usecases.service import Request
from rotator.views.explain import explain
from tests.integration.conftest import Bench
from tests.integration.test_rotation import by_hand, patient


def test_an_old_key_that_somebody_holds_is_named_with_its_holder(bench: Bench) -> None:
    """It is in grace; a look now would find the store that holds it."""
    patient(bench)
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    quiet = explain(bench.service, "one")
    assert quiet.clean and any("grace is over" in one.what for one in quiet.next)
    memory.WORLD.cell("one").values = {"key": Secret(old)}
    held = explain(bench.service, "one")
    assert any("would break" in why and "memory one holds it" in why for why in held.why), held.why


def test_a_question_to_a_person_names_the_verb(bench: Bench) -> None:
    by_hand(bench)
    assert bench.service.rotate("one").code == 5
    told = explain(bench.service, "one")
    assert [one.what for one in told.next] == ["`rotator supply one`"] and not told.clean


def test_a_pause_a_refusal_and_a_missing_consumer_are_told(bench: Bench) -> None:
    orders.pause(bench.service, "all", bench.service.clock.now() + 60, "the launch")
    memory.WORLD.cell("one").values = {"key": Secret("something else")}
    assert bench.service.rotate("one", Request(compromised=True)).code == 6
    told = explain(bench.service, "one")
    assert any("the launch" in why for why in told.why) and any(
        "refused" in why for why in told.why
    )


def test_a_stuck_rotation_is_told_with_its_question(bench: Bench) -> None:
    memory.WORLD.consumers.pop("one")
    assert bench.service.rotate("one", Request(compromised=True)).code == 4
    told = explain(bench.service, "one")
    assert any("needs attention" in why for why in told.why)
    assert any(one.at is None and "resume" in one.what for one in told.next)


def test_a_mistake_in_the_playbook_is_the_reason(bench: Bench) -> None:
    assert bench.service.rotate("one").code == 0
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text() + "shedule: {every: 30d}\n")
    told = explain(bench.service, "one")
    assert any("shedule" in why for why in told.why)
