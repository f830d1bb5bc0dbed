"""`doctor --explain`: what keeps a playbook from going on, what comes next, what would break."""

from __future__ import annotations

from collections.abc import Sequence

from rotator.cli import explained
from rotator.integrations.memory import world as memory
from rotator.secret import Secret
from rotator.usecases import pause
from rotator.usecases.service import Request
from rotator.views.explain import Event, Explanation, Why, explain
from tests.integration.conftest import Bench
from tests.integration.test_rotation import by_hand, patient


def whys(found: Explanation) -> list[Why]:
    """The reasons; each has its sentence."""
    assert len(explained.why(found)) == len(found.reasons)
    return [reason.why for reason in found.reasons]


def events(found: Explanation) -> list[Event]:
    """What comes next; each has its sentence, and only a person's has no time."""
    lines = explained.ahead(found)
    assert [at for at, _ in lines] == [one.at for one in found.next]
    _in_the_order_of_time([at for at, _ in lines])
    return [one.event for one in found.next]


def _in_the_order_of_time(times: Sequence[float | None]) -> None:
    known = [at for at in times if at is not None]
    assert known == sorted(known) and list(times) == known + [None] * (len(times) - len(known))


def test_an_old_key_that_somebody_holds_is_named_with_its_holder(bench: Bench) -> None:
    """It is in grace; a look now would find the store that holds it."""
    patient(bench)
    old = bench.stored
    assert bench.service.rotate("one").code == 0
    quiet = explain(bench.service, "one")
    assert quiet.clean and Event.OLD_KEY_GOES_ON in events(quiet)
    assert any("grace is over" in text for _, text in explained.ahead(quiet))
    memory.WORLD.cell("one").values = {"key": Secret(old)}
    held = explain(bench.service, "one")
    (reason,) = [one for one in held.reasons if one.why is Why.OLD_KEY_HELD]
    assert reason.verdict is not None and reason.verdict.stores == ("memory one",)
    assert reason.debt is not None and reason.debt.key.same(held.status.debts[0].key)
    assert any(
        "would break" in line and "memory one holds it" in line for line in explained.why(held)
    )


def test_a_question_to_a_person_names_the_verb(bench: Bench) -> None:
    by_hand(bench)
    assert bench.service.rotate("one").code == 5
    found = explain(bench.service, "one")
    assert whys(found) == [Why.ROTATION_ASKS] and not found.clean
    assert events(found) == [Event.ROTATION_ANSWERED]
    assert explained.ahead(found) == [(None, "`rotator supply one`")]


def test_a_pause_a_refusal_and_a_missing_consumer_are_told(bench: Bench) -> None:
    pause.begin(bench.service, "all", bench.service.clock.now() + 60, "the launch")
    memory.WORLD.cell("one").values = {"key": Secret("something else")}
    assert bench.service.rotate("one", Request(compromised=True)).code == 6
    found = explain(bench.service, "one")
    assert whys(found) == [Why.PAUSED, Why.ROTATION_FAILED] and found.breaks
    assert Event.PAUSE_ENDS in events(found)
    paused, failed = explained.why(found)
    assert "the launch" in paused and "refused" in failed


def test_an_old_key_that_a_pause_keeps_alive_says_so(bench: Bench) -> None:
    patient(bench)
    assert bench.service.rotate("one").code == 0
    assert whys(explain(bench.service, "one")) == []
    pause.begin(bench.service, "all", bench.service.clock.now() + 60, "the launch")
    found = explain(bench.service, "one")
    assert whys(found) == [Why.PAUSED, Why.OLD_KEY_PAUSED]
    key = found.status.debts[0].key
    assert explained.why(found)[1] == f"old key {key} waits for the end of the pause"


def test_a_stuck_rotation_is_told_with_its_question(bench: Bench) -> None:
    memory.WORLD.consumers.pop("one")
    assert bench.service.rotate("one", Request(compromised=True)).code == 4
    found = explain(bench.service, "one")
    assert Why.ROTATION_STUCK in whys(found) and Event.ROTATION_RESUMED in events(found)
    assert any("needs attention" in line for line in explained.why(found))
    assert (None, "`rotator resume one`") in explained.ahead(found)


def test_a_mistake_in_the_playbook_is_the_reason(bench: Bench) -> None:
    assert bench.service.rotate("one").code == 0
    path = bench.folder / "playbooks" / "one.yaml"
    path.write_text(path.read_text() + "shedule: {every: 30d}\n")
    found = explain(bench.service, "one")
    assert Why.MISTAKE in whys(found)
    assert any("shedule" in line for line in explained.why(found))
